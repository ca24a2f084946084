#include "ipfix/exporter.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

#include <fmt/format.h>

#include "control/log.hpp"

namespace sekisho::ipfix {

using control::log;
using control::LogLevel;

Exporter::Exporter(ExporterOptions options) : options_(std::move(options)), log_(options_.log_directory) {
    resume();
}

// The events before the cursor are read again and not sent, for what they leave in force.
void Exporter::resume() {
    std::ifstream stream(options_.cursor);
    Place from;
    if (!(stream >> from.file >> from.offset)) {
        log_.begin_with(log_.latest());
        return;
    }
    log_.begin_with(from.file);
    if (log_.place().file != from.file)
        log(LogLevel::warning, fmt::format("the log {} is gone, and what it had that was not sent; going on with {}",
                                           from.file, log_.place().file));
    std::vector<Event> known;
    while (log_.place().file == from.file && log_.place().offset < from.offset) {
        const auto line = log_.next();
        if (!line) break;
        changes_.take(*line, known);
    }
    done_ = saved_ = log_.place();
}

Expected<void> Exporter::save() {
    if (done_ == saved_) return {};
    const auto failed = [&] {
        return Error{ErrorCode::unavailable, fmt::format("cursor {}: {}", options_.cursor, std::strerror(errno))};
    };
    const std::string fresh = options_.cursor + ".new";
    {
        const FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        const std::string text = fmt::format("{} {}\n", done_.file, done_.offset);
        if (!file || ::write(file.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            return failed();
    }
    if (std::rename(fresh.c_str(), options_.cursor.c_str()) != 0) return failed();
    saved_ = done_;
    return {};
}

void Exporter::read(Clock::time_point now) {
    std::vector<Event> events;
    const auto add = [&] {
        for (Event& event : events) waiting_.push_back({std::move(event), log_.place()});
        events.clear();
    };
    while (waiting_.size() < kMostWaiting) {
        const auto line = log_.next();
        if (!line) {
            if (now - last_line_ < options_.settle) break;
            changes_.settle(events);
            add();
            break;
        }
        last_line_ = now;
        if (!changes_.take(*line, events)) ++counts_.unreadable;
        add();
    }
    if (waiting_.empty()) done_ = log_.place();
}

bool Exporter::connect(Clock::time_point now) {
    if (link_) return true;
    if (now < next_try_) return false;
    auto link = Link::connect(options_.collector, options_.patience);
    auto messages = link ? Messages::make(options_.domain) : Expected<std::unique_ptr<Messages>>(link.error());
    if (!messages) {
        lose(messages.error(), now);
        return false;
    }
    link_.emplace(std::move(*link));
    messages_ = std::move(*messages);
    next_templates_ = now;
    ++counts_.connections;
    log(LogLevel::info, fmt::format("connected to {}", options_.collector.text()));
    return true;
}

void Exporter::lose(const Error& error, Clock::time_point now) {
    ++counts_.failures;
    pause_ = std::min(std::max(pause_ * 2, std::chrono::milliseconds(500)), options_.longest_pause);
    next_try_ = now + pause_;
    for (std::size_t n = 0; n < sent_; ++n) waiting_[n].sent_before = true;
    sent_ = 0;
    link_.reset();
    messages_.reset();
    log(LogLevel::warning,
        fmt::format("{}: {}; {} events wait", options_.collector.text(), error.words, waiting_.size()));
}

void Exporter::take_arrived() {
    if (sent_ == 0 || !link_->has_arrived()) return;
    pause_ = std::chrono::milliseconds(0);
    counts_.events += sent_;
    done_ = waiting_[sent_ - 1].after;
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(sent_));
    sent_ = 0;
}

Expected<void> Exporter::send(Clock::time_point now) {
    if (auto there = link_->tend(); !there) {
        if (options_.collector.transport == Transport::udp) counts_.lost += sent_;
        return there;
    }
    take_arrived();
    if (now >= next_templates_ && link_->is_free()) {
        auto templates = messages_->templates();
        if (!templates) return templates.error();
        const bool again = options_.collector.transport == Transport::udp;
        next_templates_ = again ? now + options_.templates_every : Clock::time_point::max();
        ++counts_.messages;
        if (auto sent = link_->send(std::move(*templates)); !sent) return sent;
    }
    std::vector<Event> events;
    while (link_->is_free() && sent_ < waiting_.size()) {
        events.clear();
        for (std::size_t n = sent_; n < std::min(sent_ + 64, waiting_.size()); ++n) events.push_back(waiting_[n].event);
        auto made = messages_->of(events);
        if (!made) return made.error();
        for (std::size_t n = sent_; n < sent_ + made->events; ++n) counts_.again += waiting_[n].sent_before ? 1U : 0U;
        if (auto sent = link_->send(std::move(made->message)); !sent) return sent;
        ++counts_.messages;
        sent_ += made->events;
    }
    return {};
}

void Exporter::round(Clock::time_point now) {
    read(now);
    if (connect(now))
        if (auto sent = send(now); !sent) lose(sent.error(), now);
    counts_.waiting = waiting_.size();
}

}  // namespace sekisho::ipfix

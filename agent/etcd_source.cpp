#include "agent/etcd_source.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "agent/back_off.hpp"

namespace sekisho::agent {

namespace {

// etcd walks all keys from the page's first to the end of what was asked for, whatever the limit: few large pages cost
// it much less than many small ones. The first shows how large the values are, and how fast they come.
constexpr std::int64_t kFirstPageKeys = 500;
constexpr std::size_t kPageBytes = std::size_t{16} << 20;  // wanted; EtcdClient takes twice as much

// So many keys of this page's kind make the largest page that is wanted and comes in well under the longest wait.
std::int64_t keys_of_next(const std::vector<KeyValue>& page, std::chrono::duration<double> took,
                          std::chrono::duration<double> longest) {
    double bytes = 1;
    for (const KeyValue& item : page) bytes += static_cast<double>(item.key.size() + item.value.size());
    const double times = std::min(kPageBytes / bytes, longest / 4 / std::max(took, decltype(took)(1e-6)));
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(times * static_cast<double>(page.size())));
}

Error error_of(const EtcdError& error) {
    return {error.fault == EtcdFault::refused ? ErrorCode::permission : ErrorCode::unavailable, error.words};
}

}  // namespace

EtcdSource::EtcdSource(Options options) : options_(std::move(options)), reader_(options_.etcd) {}

EtcdSource::~EtcdSource() {
    stop_following();
}

std::string EtcdSource::label_at(std::int64_t revision) const {
    return fmt::format("etcd:{:x}:{}@{}", cluster_, options_.prefix, revision);
}

Expected<Position> EtcdSource::begin(const std::string& label) {
    stop_following();
    auto newest = reader_.range(options_.prefix, end_of_prefix(options_.prefix), 0, 1, true);
    if (const auto* error = std::get_if<EtcdError>(&newest)) return error_of(*error);
    known_ = {};
    cluster_ = std::get<Page>(newest).cluster;
    revision_ = std::get<Page>(newest).revision;

    // The label's own revision, if it is of this cluster and these keys and not compacted yet.
    std::int64_t asked = 0;
    const std::size_t at = label.rfind('@');
    if (at != std::string::npos) std::from_chars(label.data() + at + 1, label.data() + label.size(), asked);
    if (asked > 0 && asked <= revision_ && label == label_at(asked)) {
        auto then = reader_.range(options_.prefix, end_of_prefix(options_.prefix), asked, 1, true);
        if (const auto* error = std::get_if<EtcdError>(&then)) {
            if (error->fault != EtcdFault::compacted) return error_of(*error);
            return Position{label_at(revision_), false};
        }
        revision_ = asked;
        return Position{label, true};
    }
    return Position{label_at(revision_), false};
}

Expected<void> EtcdSource::read(const std::string& below, const std::function<void(Item)>& take) {
    const std::string first = options_.prefix + below;
    const std::string end = end_of_prefix(first);
    std::string from = first;
    for (std::int64_t limit = kFirstPageKeys;;) {
        const auto asked = std::chrono::steady_clock::now();
        auto answer = reader_.range(from, end, revision_, limit);
        if (const auto* error = std::get_if<EtcdError>(&answer)) {
            // Large values: fewer of them at a time.
            if (error->fault == EtcdFault::too_large && limit > 1) {
                limit = std::max<std::int64_t>(1, limit / 8);
                continue;
            }
            return error_of(*error);
        }
        Page& page = std::get<Page>(answer);
        if (!page.items.empty()) {
            from = page.items.back().key + '\0';
            limit = keys_of_next(page.items, std::chrono::steady_clock::now() - asked, options_.etcd.answer_within);
        }
        for (KeyValue& item : page.items) {
            if (item.mod_revision > known_.revision) known_ = {item.key, item.mod_revision, false};
            take({item.key.substr(options_.prefix.size()), std::move(item.value), item.mod_revision});
        }
        if (!page.more) return {};
    }
}

Event EtcdSource::next(std::chrono::milliseconds longest) {
    if (!thread_.joinable()) {
        watcher_ = std::make_unique<EtcdClient>(options_.etcd);
        thread_ = std::thread([this] { follow(); });
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, longest, [this] { return !events_.empty(); });
    if (events_.empty()) return {};
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
}

void EtcdSource::push(Event event) {
    const std::lock_guard lock(mutex_);
    // Word of progress, and of failures, replaces the one before it.
    if (!events_.empty() && event.changes.empty() && events_.back().changes.empty() &&
        events_.back().what == event.what)
        events_.back() = std::move(event);
    else
        events_.push_back(std::move(event));
    changed_.notify_all();
}

std::optional<EtcdError> EtcdSource::check_history(std::int64_t revision) {
    if (known_.key.empty()) return std::nullopt;
    const auto answer = watcher_->range(known_.key, "", revision, 1, true);
    if (const auto* error = std::get_if<EtcdError>(&answer)) return *error;
    const std::vector<KeyValue>& items = std::get<Page>(answer).items;
    const bool same = known_.deleted ? items.empty() : !items.empty() && items.front().mod_revision == known_.revision;
    if (same) return std::nullopt;
    return EtcdError{
        EtcdFault::compacted,
        fmt::format(
            "etcd: {} did not change at revision {} as it did before: the store was put back to an earlier state",
            known_.key, known_.revision)};
}

void EtcdSource::follow() {
    BackOff back_off(std::chrono::milliseconds(100), options_.longest_back_off);
    std::int64_t from = revision_ + 1;
    const auto tell = [&](WatchChanges told) {
        back_off.reset();
        from = told.revision + 1;
        Event event{Event::What::changes, {}, label_at(told.revision), {}};
        event.changes.reserve(told.changes.size());
        if (!told.changes.empty()) {
            const WatchChanges::Change& last = told.changes.back();
            known_ = {last.key, last.revision, !last.value};
        }
        for (auto& change : told.changes)
            event.changes.push_back(
                {change.key.substr(options_.prefix.size()), std::move(change.value), change.revision});
        push(std::move(event));
    };
    for (;;) {
        auto error = check_history(from - 1);
        if (!error) error = watcher_->watch(options_.prefix, from, options_.watch_life, tell);
        if (error && error->fault == EtcdFault::compacted)
            return push({Event::What::start_again, {}, {}, error->words});
        if (error) push({Event::What::failed, {}, {}, error->words});
        std::unique_lock lock(mutex_);
        if (error) changed_.wait_for(lock, back_off.next(), [this] { return stopping_; });
        if (stopping_) return;
    }
}

void EtcdSource::stop_following() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    watcher_->stop();
    thread_.join();
    stopping_ = false;
    events_.clear();
}

}  // namespace sekisho::agent

// What the store says, and what follows from it. What is asked of the node is agent/sa_keeper_node.cpp.
#include "agent/sa_keeper.hpp"

#include <algorithm>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/log.hpp"

namespace sekisho::agent {

using control::log;
using control::LogLevel;

namespace {

constexpr std::size_t kMostTold = 100;      // complaints on the board
constexpr int kMostRounds = 16;             // of work before the store is looked at again
constexpr std::size_t kMostRetries = 1000;  // in a look

std::string tunnel_of(const std::string& name) {
    return name.substr(0, name.find('/'));
}

}  // namespace

SaKeeper::SaKeeper(SaKeeperOptions options, Source& source, StandingBoard& board)
    : options_(std::move(options)), source_(source), board_(board) {}

void SaKeeper::round(std::chrono::milliseconds longest) {
    const auto until = Clock::now() + longest;
    const auto left = [&](Clock::time_point then) {
        return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(then - Clock::now()),
                          std::chrono::milliseconds(0), longest);
    };
    if (!loaded_ && Clock::now() >= next_load_) load();
    if (Clock::now() >= next_look_) watch_node();
    auto then = std::min(until, next_look_);
    if (!dirty_.empty()) then = std::min(then, next_try_);
    if (!due_.empty()) then = std::min(then, Clock::now() + (due_.begin()->first - WallClock::now()));
    if (loaded_)
        take_events(left(then));
    else
        std::this_thread::sleep_for(std::min(left(then), std::chrono::milliseconds(50)));
    while (!due_.empty() && due_.begin()->first <= WallClock::now()) {
        dirty_.insert(due_.begin()->second);
        due_.erase(due_.begin());
    }
    if (loaded_ && looked_ && Clock::now() >= next_try_) work();
    tell();
}

// --- the store

void SaKeeper::load() {
    std::set<std::string> seen;
    const auto read = [&]() -> Expected<void> {
        if (const auto begun = source_.begin(""); !begun) return begun.error();
        return source_.read("", [&](Item item) {
            seen.insert(item.key);
            absorb(item.key, std::move(item.value), item.version);
        });
    }();
    if (!read) {
        store_failed(read.error().words);
        next_load_ = Clock::now() + load_back_off_.next();
        return;
    }
    std::vector<std::string> deleted;
    for (const auto& [name, tunnel] : tunnels_)
        for (const auto& [object, sa] : tunnel.wanted)
            if (!seen.contains(object)) deleted.push_back(object);
    for (const auto& [object, words] : broken_)
        if (!seen.contains(object)) deleted.push_back(object);
    for (const std::string& object : deleted) absorb(object, std::nullopt, 0);
    loaded_ = true;
    load_back_off_.reset();
    store_trouble_.clear();
    log(LogLevel::info, fmt::format("keys: {} objects read", seen.size()));
}

void SaKeeper::take_events(std::chrono::milliseconds longest) {
    Event event = source_.next(longest);
    while (event.what != Event::What::nothing) {
        switch (event.what) {
            case Event::What::nothing: return;
            case Event::What::failed: store_failed(event.words); break;
            case Event::What::replaced:
            case Event::What::start_again:
                log(LogLevel::info, "keys: " + event.words + ": reading all of them again");
                loaded_ = false;
                next_load_ = {};
                return;
            case Event::What::changes:
                store_trouble_.clear();
                for (Change& change : event.changes) absorb(change.key, std::move(change.value), change.version);
                break;
        }
        changed_ = true;
        event = source_.next(std::chrono::milliseconds(0));
    }
}

void SaKeeper::store_failed(const std::string& words) {
    if (store_trouble_ != words) log(LogLevel::warning, "keys: " + words);
    store_trouble_ = words;
    changed_ = true;
}

void SaKeeper::absorb(const std::string& name, std::optional<std::string> value, std::int64_t revision) {
    const std::string tunnel_name = tunnel_of(name);
    TunnelSas& tunnel = tunnels_[tunnel_name];
    dirty_.insert(tunnel_name);
    changed_ = true;
    const auto known = tunnel.wanted.find(name);
    broken_.erase(name);
    tunnel.broken.erase(name);
    if (!value) {
        if (known != tunnel.wanted.end()) {
            refused_.erase(known->second.label);
            tunnel.wanted.erase(known);
        }
        told_.erase(name);
        for (const auto& [label, sa] : tunnel.there)
            if (sa.name == name) tunnel.gone.insert(label);
        return;
    }
    auto read = read_wrapped(options_.node, name, revision, std::move(*value));
    if (!read) {  // what was there of it stays
        broken_[name] = read.error().words;
        tunnel.broken.insert(name);
        if (std::exchange(told_[name], read.error().words) != read.error().words)
            log(LogLevel::error, fmt::format("keys/{}/{} is refused: {}", options_.node, name, read.error().words));
        return;
    }
    if (known != tunnel.wanted.end()) refused_.erase(known->second.label);
    tunnel.wanted[name] = std::move(*read);
}

// --- from the one to the other

void SaKeeper::work() {
    for (int round = 0; round < kMostRounds && !dirty_.empty(); ++round) {
        std::map<SaStep::What, std::deque<Todo>> todo;
        plan(todo);
        using What = SaStep::What;
        if (!send_names(std::move(todo[What::remove]), What::remove) ||
            !send_orders(std::move(todo[What::install]), What::install) ||
            !send_orders(std::move(todo[What::rekey]), What::rekey) ||
            !send_names(std::move(todo[What::switch_over]), What::switch_over))
            return;
        try_back_off_.reset();
        node_trouble_.clear();
    }
    if (installed_ + removed_ == 0) return;
    log(LogLevel::info,
        fmt::format("keys: {} SAs installed, {} removed", std::exchange(installed_, 0), std::exchange(removed_, 0)));
}

// Takes from the tunnels that may want something those that want nothing now.
void SaKeeper::plan(std::map<SaStep::What, std::deque<Todo>>& todo) {
    const auto now = WallClock::now();
    const auto blocked = [this](const std::string& label) { return refused_.contains(label); };
    std::erase_if(dirty_, [&](const std::string& name) {
        const auto found = tunnels_.find(name);
        if (found == tunnels_.end()) return true;
        TunnelSas& tunnel = found->second;
        for (const auto& [object, sa] : tunnel.wanted)
            if (!blocked(sa.label))
                if (const std::string words = tunnel.conflict(sa); !words.empty())
                    refuse({name, {SaStep::What::install, sa.label, {}, {}, {}}}, words, false);
        std::vector<SaStep> steps = tunnel.next(now, blocked);
        if (steps.empty()) {
            if (const auto due = tunnel.due(now)) due_.emplace(*due, name);
            if (tunnel.is_empty()) tunnels_.erase(found);
            return true;
        }
        for (SaStep& step : steps) todo[step.what].push_back({name, std::move(step)});
        return false;
    });
}

void SaKeeper::refuse(const Todo& one, const std::string& words, bool until_policy) {
    std::string name;
    for (const auto& [object, sa] : tunnels_[one.tunnel].wanted)
        if (sa.label == one.step.label) name = object;
    refused_[one.step.label] = {one.tunnel, name, words, until_policy, Clock::now() + options_.try_refused};
    changed_ = true;
    if (std::exchange(told_[name], words) != words)
        log(LogLevel::error, fmt::format("keys/{}/{} is refused: {}", options_.node, name, words));
}

void SaKeeper::done(const Todo& one) {
    if (one.step.what == SaStep::What::install || one.step.what == SaStep::What::rekey)
        installed_ += std::size_t{one.step.halves.inbound} + std::size_t{one.step.halves.outbound};
    if (one.step.what == SaStep::What::remove)
        removed_ += std::size_t{one.step.inbound.has_value()} + std::size_t{one.step.outbound.has_value()};
    tunnels_[one.tunnel].done(one.step);
    changed_ = true;
}

void SaKeeper::try_refused(bool policy_changed) {
    const auto now = Clock::now();
    std::size_t left = kMostRetries;
    std::erase_if(refused_, [&](const auto& one) {
        if (left == 0 || !(one.second.until <= now || (policy_changed && one.second.until_policy))) return false;
        --left;
        dirty_.insert(one.second.tunnel);
        return true;
    });
}

void SaKeeper::wait(const std::string& trouble) {
    if (node_trouble_ != trouble) log(LogLevel::warning, "keys: " + trouble);
    node_trouble_ = trouble;
    changed_ = true;
    next_try_ = Clock::now() + try_back_off_.next();
}

void SaKeeper::tell() {
    if (!changed_ || Clock::now() < next_tell_) return;
    changed_ = false;
    next_tell_ = Clock::now() + std::chrono::milliseconds(100);
    KeysStanding standing;
    standing.trouble = store_trouble_.empty() ? node_trouble_ : store_trouble_;
    standing.objects = broken_.size();
    for (const auto& [name, tunnel] : tunnels_) {
        for (const auto& [object, sa] : tunnel.wanted) standing.objects += !tunnel.broken.contains(object);
        for (const auto& [label, sa] : tunnel.there)
            standing.sas += std::size_t{sa.inbound.has_value()} + std::size_t{sa.outbound.has_value()};
    }
    standing.refused_total = broken_.size() + refused_.size();
    const auto add = [&](const std::string& name, const std::string& words) {
        if (standing.refused.size() < kMostTold)
            standing.refused.push_back({fmt::format("keys/{}/{}", options_.node, name), words});
    };
    for (const auto& [name, words] : broken_) add(name, words);
    for (const auto& [label, one] : refused_) add(one.name, one.words);
    board_.change([&](Standing& all) { all.keys = std::move(standing); });
}

}  // namespace sekisho::agent

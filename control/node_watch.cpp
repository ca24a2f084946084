#include "control/node_watch.hpp"

#include <cmath>

namespace sekisho::control {

Expected<std::unique_ptr<NodeWatch>> NodeWatch::make(EventLoop& loop, Node& node, Events& events, WatchLimits limits) {
    std::unique_ptr<NodeWatch> watch(new NodeWatch(node, events, limits));
    auto timer = Timer::make(loop, Timer::Clock::steady, [self = watch.get()] { self->look(); });
    if (!timer) return timer.error();
    watch->timer_ = std::move(*timer);
    return watch;
}

void NodeWatch::start() {
    if (std::exchange(running_, true)) return;
    first_ = true;
    has_drops_ = false;
    ports_.clear();
    neighbours_.clear();
    high_.clear();
    look();
}

void NodeWatch::stop() {
    running_ = false;
    timer_->clear();
}

void NodeWatch::look() {
    if (!running_) return;
    const auto now = std::chrono::steady_clock::now();
    look_at_ports(std::chrono::duration<double>(now - looked_).count());
    looked_ = now;
    look_at_neighbours();
    look_at_drops(std::chrono::duration<double>(now - counted_).count());
    counted_ = now;
    first_ = false;
    timer_->set(limits_.every);
}

void NodeWatch::look_at_ports(double seconds) {
    auto ports = node_.ports();
    for (std::size_t i = 0; i < ports.size() && i < ports_.size(); ++i) {
        const dataplane::PortInfo& port = ports[i];
        if (port.link_up != ports_[i].link_up)
            events_.post(EventKind::link, {{"port", port.name}, {"state", port.link_up ? "up" : "down"}});
        judge("missed", port.name, ports_[i].missed, port.missed, seconds, limits_.missed_a_second);
    }
    ports_ = std::move(ports);
}

void NodeWatch::look_at_neighbours() {
    using State = dataplane::Neighbours::State;
    decltype(neighbours_) now;  // one that was forgotten, unused, is no news
    for (const auto& entry : node_.neighbours()) {
        const State state = entry.link.is_known() ? State::reachable : entry.link.state();
        const std::pair key(entry.attachment.index(), entry.address.text());
        const auto before = neighbours_.find(key);
        const State was = before == neighbours_.end() ? State::incomplete : before->second;
        now[key] = state;
        if (was == state) continue;
        if (first_ || state == State::incomplete) continue;  // being asked is no news
        nlohmann::json details = {{"attachment", node_.attachment_name(entry.attachment)},
                                  {"address", entry.address.text()},
                                  {"state", state == State::reachable ? "reachable" : "failed"}};
        if (state == State::reachable) details["mac"] = entry.link.mac().text();
        events_.post(EventKind::neighbour, std::move(details));
    }
    neighbours_ = std::move(now);
}

void NodeWatch::look_at_drops(double seconds) {
    const auto counters = node_.counters();
    if (!counters) {
        has_drops_ = false;  // a rate over that time would be of no time in particular
        return;
    }
    std::array<std::uint64_t, kDropReasonCount> drops{};
    for (const auto& port : counters->ports)
        for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) drops[reason] += port.dropped[reason];
    if (has_drops_)
        for (std::size_t reason = 0; reason < kDropReasonCount; ++reason)
            judge("dropped", std::string(kDropReasons[reason].name), drops_[reason], drops[reason], seconds,
                  limits_.drops_a_second);
    drops_ = drops;
    has_drops_ = true;
}

void NodeWatch::judge(const std::string& what, const std::string& name, std::uint64_t before, std::uint64_t now,
                      double seconds, std::uint64_t limit) {
    const double rate = now > before && seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
    const auto known = high_.find({what, name});
    const bool was_high = known != high_.end();
    const bool is_high = was_high ? rate * 2 >= static_cast<double>(limit) : rate >= static_cast<double>(limit);
    if (is_high == was_high) return;
    if (is_high)
        high_.insert({what, name});
    else
        high_.erase(known);
    events_.post(EventKind::overload, {{"what", what},
                                       {what == "missed" ? "port" : "reason", name},
                                       {"state", is_high ? "high" : "normal"},
                                       {"per_second", std::llround(rate)}});
}

}  // namespace sekisho::control

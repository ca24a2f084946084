// Looks at the node now and then, and posts what changed: links, neighbours, overload.
//
// Workers tell nothing by themselves: they count. So this compares, twice a second while somebody listens and not at
// all otherwise, what the node shows with what it showed before. Loop's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/event_loop.hpp"
#include "control/events.hpp"
#include "control/node.hpp"

namespace sekisho::control {

struct WatchLimits {
    std::chrono::milliseconds every{500};
    std::uint64_t drops_a_second = 1'000;  // of one reason, from which on it is an overload
    std::uint64_t missed_a_second = 1;     // of one port
};

class NodeWatch {
  public:
    // The others outlive it.
    static Expected<std::unique_ptr<NodeWatch>> make(EventLoop& loop, Node& node, Events& events,
                                                     WatchLimits limits = {});
    // From here on changes are posted; what is already so is not news.
    void start();
    void stop();

  private:
    NodeWatch(Node& node, Events& events, WatchLimits limits) : node_(node), events_(events), limits_(limits) {}
    void look();
    void look_at_ports(double seconds);
    void look_at_neighbours();
    void look_at_drops(double seconds);
    // Posts when a counter's rate crosses its limit, upwards, or downwards to half of it.
    void judge(const std::string& what, const std::string& name, std::uint64_t before, std::uint64_t now,
               double seconds, std::uint64_t limit);

    Node& node_;
    Events& events_;
    WatchLimits limits_;
    std::unique_ptr<Timer> timer_;
    bool running_ = false;
    bool first_ = true;  // nothing to compare with yet
    std::chrono::steady_clock::time_point looked_, counted_;
    std::vector<dataplane::PortInfo> ports_;
    std::map<std::pair<std::uint16_t, std::string>, dataplane::Neighbours::State> neighbours_;
    std::array<std::uint64_t, kDropReasonCount> drops_{};
    bool has_drops_ = false;
    std::set<std::pair<std::string, std::string>> high_;  // what is in overload
};

}  // namespace sekisho::control

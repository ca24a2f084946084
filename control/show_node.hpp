// What `show` tells of the node: ports, counters, drops, stages, workers, neighbours; and `explain`.
//
// Asks the Node and writes JSON; the words of drops and stages come from their tables. Control thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>

#include <nlohmann/json_fwd.hpp>

#include "control/node.hpp"
#include "control/params.hpp"
#include "control/show_policy.hpp"

namespace sekisho::control {

Result show_ports(Node& node, Params params);
Result show_counters(Node& node, Params params);
Result show_drops(Node& node, Params params);  // parameter all: the reasons that never happened, too
Result show_stages(Node& node, Params params);
Result show_workers(Node& node, Params params);
Result show_taps(Node& node, Params params);
Result show_neighbours(Node& node, Params params);  // in pages: after (a number), limit
// Which nexthops of routes with several were usable when this was made.
class UsableNexthops {
  public:
    explicit UsableNexthops(Node& node);
    // The route's, each with `usable` and `used`; empty for a route with one.
    nlohmann::json of(const Route& route) const;

  private:
    std::map<std::tuple<std::string, Family, std::optional<IpAddress>>, bool> usable_;  // by attachment and gateway
};
Result explain(Node& node, Params params);

}  // namespace sekisho::control

// What `show` tells of the node: ports, counters, drops, stages, workers, neighbours; and `explain`.
//
// Asks the Node and writes JSON; the words of drops and stages come from their tables. Control thread.
#pragma once

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
Result show_neighbours(Node& node, Params params);  // in pages: after (a number), limit
// Of a route with several: each with `usable` and `used`; empty otherwise.
nlohmann::json nexthops_of(Node& node, const Route& route);
Result explain(Node& node, Params params);

}  // namespace sekisho::control

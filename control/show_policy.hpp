// What `show` tells of the running generation: its number and sizes, and the policy's objects with their state now.
//
// Lists come in pages, so that no answer is large: an answer names the id to go on after. Reads the generation that it
// is given; control thread.
#pragma once

#include <functional>

#include <nlohmann/json_fwd.hpp>

#include "control/generations.hpp"
#include "control/json_rpc.hpp"
#include "control/params.hpp"

namespace sekisho::control {

using Result = std::variant<nlohmann::json, RpcError, JsonText>;

nlohmann::json to_json(const CompileReport& report);
nlohmann::json to_json(const CommitTimes& times);  // in microseconds
nlohmann::json to_json(const HandGates& gates, WallTime now);
nlohmann::json counts_of(const DocumentDiff& diff);  // as to_json(diff) has them

nlohmann::json show_generation(const Generation& generation);
// Parameters: after (an id), limit. {"generation", "items": [{"id", "object", "state", "closed_by"}], "next"}; state
// and closed_by where the kind has them.
// Of gates, the first page has "by_hand" too: [{"id", "object", "state", "since", "uid"}].
// More members of an item, as JSON text that begins with a comma, by the object's id.
using MoreOfObject = std::function<std::string(const std::string& id)>;
Result show_objects(const Generation& generation, const HandGates& gates, Kind kind, Params params, WallTime now,
                    const MoreOfObject& more = {});
// Parameters: kind, after, limit: the objects as they were written. {"generation", "kind", "objects", "next"}.
Result show_policy(const Generation& generation, Params params);

}  // namespace sekisho::control

// A worker that stalls or goes on again, in words for the log and as an event's details. Pure.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "dataplane/engine.hpp"

namespace sekisho::control {

// "worker 1 is stalled: it has finished no round for 120 ms".
std::string words_of(const dataplane::StallWatch::Event& event);
// {"worker": 1, "state": "stalled", "milliseconds": 120}: of EventKind::worker.
nlohmann::json details_of(const dataplane::StallWatch::Event& event);

}  // namespace sekisho::control

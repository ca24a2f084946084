// What `show` tells of generations that are kept, of changes that wait for their time, and of drift, as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "control/generations.hpp"

namespace sekisho::control {

// {"running", "items": [a record's members, "state", "confirm_by"]}, ascending.
nlohmann::json show_generations(const Generations& generations);
// {"items": [{"id", "effective_at", "staged", "uid", "base", "hash", "counts", "signed", "fits", "words"}]}.
nlohmann::json show_schedule(const Generations& generations);
nlohmann::json to_json(const Drift& drift);

}  // namespace sekisho::control

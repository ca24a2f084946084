// Whether an object fits the published schema, and where it does not: valijson's part of control/schema.
//
// A room of its own because valijson's headers take a compiler the better part of a minute, and several under
// sanitizers, from which this one file is therefore left out. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace sekisho::control {

struct Misfit {
    std::vector<std::string> path;  // from the object down: "links", "0", "cpe"
    std::string words;              // valijson's
};

// The kind must be one of the schema's.
bool fits_schema(std::string_view kind, const nlohmann::json& object);

// What does not fit, the innermost places only: that a member does not fit is not said of what is around it. Slower.
std::vector<Misfit> misfits(std::string_view kind, const nlohmann::json& object);

}  // namespace sekisho::control

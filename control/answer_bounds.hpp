// Lists of an answer, cut to what one answer may hold. Used by the methods of control/service.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/diff.hpp"

namespace sekisho::control {

// The first of the words, and at the end how many more there are.
nlohmann::json bounded(const std::vector<std::string>& words);
// The changes, as many as one answer may hold; "omitted" counts the others.
nlohmann::json bounded(const DocumentDiff& diff);

}  // namespace sekisho::control

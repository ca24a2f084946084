// The published JSON Schema of the policy document (docs/policy.schema.json), held in the program and applied to
// objects.
//
// It decides what an object looks like: fields, types, closed enums, lengths. valijson decides whether an object fits;
// the words of the errors are ours. What fields mean to each other is control/validate's business. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "net/expected.hpp"

namespace sekisho::control {

// The schema's text, as published.
std::string_view schema_text() noexcept;

// Whether an object is one of the kind ("institutions"), which must be one of the schema's.
bool fits(std::string_view kind, const nlohmann::json& object);

// Checks one object of the kind and appends what is wrong to `errors`, each with `place` and the field
// before it and with what was expected. False when anything was. The kind must be one of the schema's.
bool check_schema(std::string_view kind, const nlohmann::json& object, const std::string& place,
                  std::vector<Error>& errors);

}  // namespace sekisho::control

// The published schema as trees that an object is held against in microseconds, where valijson takes a tenth of a
// millisecond: half a million objects come with one commit.
//
// It knows the keywords that docs/policy.schema.json uses and no others. It only ever says that an object fits; of what
// does not, or is said by a keyword or pattern that it does not know, valijson decides (control/schema_fit.hpp), and
// finds the words. Any thread.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace sekisho::control {

// False: it does not fit, or that cannot be told here. The kind must be one of the schema's.
bool surely_fits(std::string_view kind, const nlohmann::json& object);

}  // namespace sekisho::control

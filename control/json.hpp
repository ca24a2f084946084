// JSON from strangers: read strictly, bounded, and with the place of what is wrong.
//
// Stricter than RFC 8259 where it leaves freedom: a key given twice in one object is refused, and so are values nested
// deeper than the limit. No comments, no trailing commas, no NaN, UTF-8 only. Does not know what the values mean. Any
// thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "net/expected.hpp"

namespace sekisho::control {

inline constexpr std::size_t kMaxJsonDepth = 32;

// The value that `text` is. Errors: "line 3, column 7: ..." for what is not JSON; ".links[0]: the key \"cpe\" is given
// twice" and the like, with the path from the root, for what we refuse.
Expected<nlohmann::json> parse_json(std::string_view text, std::size_t max_depth = kMaxJsonDepth);

// An element of an array that is a member of the root object: taken as soon as it is read.
using TakeElement = std::function<void(const std::string& key, std::size_t index, nlohmann::json&& element)>;

// As parse_json(), but the elements of the root object's arrays go to `take` one by one and are not in the result,
// whose arrays are empty: so that a document of a hundred thousand objects is never whole in memory.
Expected<nlohmann::json> parse_json_elements(std::string_view text, const TakeElement& take,
                                             std::size_t max_depth = kMaxJsonDepth);

// The same of a text that comes in pieces, until one is empty: it is never whole in memory either.
using NextPiece = std::function<std::string_view()>;
Expected<nlohmann::json> parse_json_elements(const NextPiece& next, const TakeElement& take,
                                             std::size_t max_depth = kMaxJsonDepth);

}  // namespace sekisho::control

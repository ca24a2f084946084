// Takes the keys out of a request before anything else reads it.
//
// A JSON reader copies strings to where nobody wipes them. So whatever is the value of a member "key" is looked for in
// the line itself, made a Secret, and overwritten there by a mark that says which one it was; what reads the line
// afterwards has no key to copy, log or show. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "net/expected.hpp"
#include "net/secret.hpp"

namespace sekisho::control {

// Every string that is the value of a member "key", wherever it stands, in its order. One that is no row of pairs of
// hexadecimal digits gives an empty Secret, and is overwritten all the same.
std::vector<Secret> take_keys(std::span<char> line);

// The Secret that a mark stands for; nullptr for what is no mark of take_keys().
const Secret* key_of(std::string_view mark, const std::vector<Secret>& keys) noexcept;

}  // namespace sekisho::control

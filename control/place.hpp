// How errors name an object and a field of the document: `institutions "sato-clinic" .prefixes[1]`.
//
// One spelling for the reader, the schema, validation and the diff, safe to print on a terminal. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace sekisho::control {

// The text between quotation marks, for an error: control characters and bytes that are not UTF-8 replaced by '?', and
// cut after 80 bytes.
std::string in_quotes(std::string_view text);

// `institutions "sato-clinic"`.
std::string place_of(std::string_view kind, std::string_view id);

// `institutions "sato-clinic" .prefixes[1]`: `field` as "prefixes[1]". Without a field, the object's own place.
std::string place_of(std::string_view kind, std::string_view id, std::string_view field);

// "prefixes[1]".
std::string indexed(std::string_view field, std::size_t index);

}  // namespace sekisho::control

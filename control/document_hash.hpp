// The hash of a document: SHA-256 of its canonical text, which names what a generation says in 64 digits.
//
// Two nodes that run the same document have the same hash, whatever order and spaces it was written in; so have the
// store's copy and the one in the state directory. `tail -n +2 generation | sha256sum` says it too. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/document.hpp"

namespace sekisho::control {

struct DocumentHash {
    std::string text;         // 64 hexadecimal digits, small letters
    std::uint64_t bytes = 0;  // of the canonical text
};

DocumentHash hash_of(const Document& document);
std::string sha256_text(std::string_view bytes);  // of anything, as DocumentHash::text
bool is_hash(std::string_view text) noexcept;     // 64 hexadecimal digits, small letters

}  // namespace sekisho::control

// Parse, for any frame, and anything that was opened: what the quick way of parse.cpp leaves.
#pragma once

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

// Where a parsed packet goes on.
enum class Way : std::uint8_t {
    outer_fragments,
    local,
    esp,
    ipv4,
    ipv6,
    errors4,
    errors6,
    fragments4,
    fragments6,
    dropped,
    unusual  // the quick way's: it has not looked at all of it
};

// The frame in packet `index`. Never `unusual`.
Way parse_any(Walk& walk, std::size_t index) noexcept;
// What was opened in it: see parse_inner().
Way parse_any_inner(Walk& walk, std::size_t index, AttachmentId attachment, std::span<std::uint8_t> bytes,
                    Family family) noexcept;

}  // namespace sekisho::dataplane

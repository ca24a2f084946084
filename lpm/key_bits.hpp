// Keys as bits, for lookups: the first ones, and those from any position on.
//
// Included by lpm/walk.hpp only, for several instruction sets: all functions are inlined by force.
#pragma once

#include <cstdint>

#include "lpm/types.hpp"

namespace sekisho::lpm {

// The first 64 bits of an address; an IPv4 address fills the upper half.
[[gnu::always_inline]] inline std::uint64_t first_bits(Key4 key) noexcept {
    return std::uint64_t{key} << 32;
}
[[gnu::always_inline]] inline std::uint64_t first_bits(const Key6& key) noexcept {
    return key.high;
}

// As many of its first bits as one register has, and needs: all of an IPv4 address, half of an IPv6 one.
[[gnu::always_inline]] inline std::uint32_t bits_at_once(Key4 key) noexcept {
    return key;
}
[[gnu::always_inline]] inline std::uint64_t bits_at_once(const Key6& key) noexcept {
    return key.high;
}

// 64 bits of the address from `position` on, zeros after its end.
[[gnu::always_inline]] inline std::uint64_t bits_from(Key4 key, unsigned position) noexcept {
    return first_bits(key) << position;
}
[[gnu::always_inline]] inline std::uint64_t bits_from(const Key6& key, unsigned position) noexcept {
    const std::uint64_t here = position < 64 ? key.high : key.low;
    const std::uint64_t after = position < 64 ? key.low : 0;
    const unsigned shift = position % 64;
    return here << shift | after >> 1 >> (63 - shift);
}

}  // namespace sekisho::lpm

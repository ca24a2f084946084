// Addresses as strings of bits, most significant first: what tries and builders need beyond net/prefix.hpp.
//
// Bit 0 is the first bit on the wire. Values only; no allocation; any thread.
#pragma once

#include <bit>
#include <cstdint>

#include "net/address.hpp"

namespace sekisho::lpm {

// The bit at `index` (0 to kBits - 1), 0 or 1.
constexpr unsigned bit_at(Ipv4Address address, int index) noexcept {
    return (address.value() >> (31 - index)) & 1U;
}
constexpr unsigned bit_at(const Ipv6Address& address, int index) noexcept {
    const std::uint64_t half = index < 64 ? address.high() : address.low();
    return static_cast<unsigned>(half >> (63 - (index & 63))) & 1U;
}

// How many first bits two addresses share: kBits when they are equal.
constexpr int common_length(Ipv4Address a, Ipv4Address b) noexcept {
    return std::countl_zero(a.value() ^ b.value());
}
constexpr int common_length(const Ipv6Address& a, const Ipv6Address& b) noexcept {
    if (a.high() != b.high()) return std::countl_zero(a.high() ^ b.high());
    return 64 + std::countl_zero(a.low() ^ b.low());
}

// The address after this one; the last address wraps to the first.
constexpr Ipv4Address next_address(Ipv4Address address) noexcept {
    return Ipv4Address(address.value() + 1);
}
constexpr Ipv6Address next_address(const Ipv6Address& address) noexcept {
    const std::uint64_t low = address.low() + 1;
    return {address.high() + (low == 0 ? 1U : 0U), low};
}

}  // namespace sekisho::lpm

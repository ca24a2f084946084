// The words of lpm/: a row is what a lookup returns, a table is one operator space, a route ties a prefix to a row.
#pragma once

#include <cstdint>

#include "net/prefix.hpp"

namespace sekisho::lpm {

// An index into rows that the caller keeps; lpm/ never looks behind it. kNoRow: no prefix of the table covers the
// address.
using Row = std::uint32_t;
inline constexpr Row kNoRow = 0xffff'ffffU;

// Which of a Fib's tables; 0 up to the number of tables it was made for.
using TableId = std::uint16_t;

template <class Address>
struct Route {
    Prefix<Address> prefix;
    Row row = kNoRow;

    friend bool operator==(const Route&, const Route&) = default;
};

// What the lookups take: an address as a host-order number.
using Key4 = std::uint32_t;
struct Key6 {
    std::uint64_t high;
    std::uint64_t low;
};

template <class Address>
struct KeyOf;
template <>
struct KeyOf<Ipv4Address> {
    using type = Key4;
    static constexpr Key4 of(Ipv4Address address) noexcept { return address.value(); }
};
template <>
struct KeyOf<Ipv6Address> {
    using type = Key6;
    static constexpr Key6 of(const Ipv6Address& address) noexcept { return {address.high(), address.low()}; }
};

}  // namespace sekisho::lpm

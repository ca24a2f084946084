// Keys for tests of sessions, and what random tests begin with.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "nat/session.hpp"
#include "tests/support/random.hpp"

namespace sekisho::test {

// How many times longer a random test goes on.
inline std::size_t rounds() {
    const char* const given = std::getenv("SEKISHO_TEST_ROUNDS");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

template <class Key>
struct KeyMaker;
template <>
struct KeyMaker<nat::SessionKey4> {
    static Ipv4Address address(std::uint64_t n) { return Ipv4Address(static_cast<std::uint32_t>(0x0a00'0000 + n)); }
};
template <>
struct KeyMaker<nat::SessionKey6> {
    static Ipv6Address address(std::uint64_t n) { return {0x2001'0db8'0000'0000ULL, n}; }
};

// The `n`th key: all differ, some in the space alone, some in a port alone.
template <class Key>
Key key_of(std::uint64_t n) {
    Key key;
    key.space = static_cast<std::uint16_t>(n % 7);
    key.source_port = static_cast<std::uint16_t>(1024 + n / 7 % 11);
    key.destination_port = 443;
    key.protocol = n / 77 % 2 == 0 ? kProtocolTcp : kProtocolUdp;
    key.source = KeyMaker<Key>::address(n / 154);
    key.destination = KeyMaker<Key>::address(0x40'0000);
    return key;
}

}  // namespace sekisho::test

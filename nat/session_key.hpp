// What a session is looked up by: a packet's endpoints, its protocol, and the space that its addresses are of.
//
// Operator spaces overlap, so an address without its space names nobody: 0 is hub space, anything else an operator's
// VRF. IPv4 and IPv6 are classes of their own, in tables of their own. Host order; ICMP's query identifier stands in
// both ports. Pure values.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "net/address.hpp"

namespace sekisho::nat {

inline constexpr std::uint16_t kHubSpace = 0;

struct alignas(16) SessionKey4 {
    using Address = Ipv4Address;

    Ipv4Address source;
    Ipv4Address destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint16_t space = kHubSpace;
    std::uint8_t protocol = 0;
    std::uint8_t unused = 0;  // zero, always: keys are compared as bytes
};
static_assert(sizeof(SessionKey4) == 16 && std::has_unique_object_representations_v<SessionKey4>);

struct alignas(8) SessionKey6 {
    using Address = Ipv6Address;

    Ipv6Address source;
    Ipv6Address destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint16_t space = kHubSpace;
    std::uint8_t protocol = 0;
    std::uint8_t unused = 0;
};
static_assert(sizeof(SessionKey6) == 40 && std::has_unique_object_representations_v<SessionKey6>);

// Word `i` of a key, as it lies in memory.
template <class Key>
std::uint64_t word_of(const Key& key, std::size_t i) noexcept {
    std::uint64_t word;
    std::memcpy(&word, reinterpret_cast<const std::byte*>(&key) + 8 * i, sizeof word);
    return word;
}

// Without a branch on where they differ.
template <class Key>
bool same_key(const Key& a, const Key& b) noexcept {
    std::uint64_t difference = 0;
    for (std::size_t i = 0; i < sizeof(Key) / 8; ++i) difference |= word_of(a, i) ^ word_of(b, i);
    return difference == 0;
}

// The key of the answers.
template <class Key>
Key turned_round(const Key& key) noexcept {
    Key answer = key;
    std::swap(answer.source, answer.destination);
    std::swap(answer.source_port, answer.destination_port);
    return answer;
}

// The one key of both directions of a flow that is not translated: the lower endpoint is its source. `turned` says
// whether this packet's own is the higher one.
template <class Key>
struct Canonical {
    Key key;
    bool turned = false;
};
template <class Key>
Canonical<Key> canonical(const Key& key) noexcept {
    const bool turned =
        key.source != key.destination ? key.destination < key.source : key.destination_port < key.source_port;
    return {turned ? turned_round(key) : key, turned};
}

}  // namespace sekisho::nat

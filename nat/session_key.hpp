// What a session is looked up by: a packet's endpoints, its protocol, and the space that its addresses are of.
//
// Operator spaces overlap, so an address without its space names nobody: 0 is hub space, anything else an operator's
// VRF. IPv4 and IPv6 are classes of their own, in tables of their own. Host order; ICMP's query identifier stands in
// both ports. Pure values.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
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

// What a packet's key is made of goes there in whole words: parts that were stored one by one are waited for by whoever
// loads them as a word next, and the hash does. Space and protocol come with the ports.
template <class Key>
void set_ports(Key& key, std::uint16_t source, std::uint16_t destination, std::uint16_t space,
               std::uint8_t protocol) noexcept {
    static_assert(std::endian::native == std::endian::little && offsetof(Key, source_port) + 8 == sizeof(Key));
    const std::uint64_t word = std::uint64_t{protocol} << 48 | std::uint64_t{space} << 32 |
                               std::uint64_t{destination} << 16 | std::uint64_t{source};
    std::memcpy(reinterpret_cast<std::byte*>(&key) + offsetof(Key, source_port), &word, sizeof word);
}
inline void set_addresses(SessionKey4& key, Ipv4Address source, Ipv4Address destination) noexcept {
    static_assert(offsetof(SessionKey4, source) == 0 && offsetof(SessionKey4, destination) == 4);
    const std::uint64_t word = std::uint64_t{destination.value()} << 32 | source.value();
    std::memcpy(reinterpret_cast<std::byte*>(&key), &word, sizeof word);
}
inline void set_addresses(SessionKey6& key, const Ipv6Address& source, const Ipv6Address& destination) noexcept {
    key.source = source;
    key.destination = destination;
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
// Made in place, for a copy would load as a whole what was stored in parts. Without a branch on which end of an IPv4
// flow is the lower one.
inline void make_canonical(Canonical<SessionKey4>& flow, Ipv4Address source, std::uint16_t source_port,
                           Ipv4Address destination, std::uint16_t destination_port, std::uint16_t space,
                           std::uint8_t protocol) noexcept {
    const std::uint64_t from = std::uint64_t{source.value()} << 16 | source_port;
    const std::uint64_t to = std::uint64_t{destination.value()} << 16 | destination_port;
    const std::uint64_t low = std::min(from, to);
    const std::uint64_t high = std::max(from, to);
    set_addresses(flow.key, Ipv4Address(static_cast<std::uint32_t>(low >> 16)),
                  Ipv4Address(static_cast<std::uint32_t>(high >> 16)));
    set_ports(flow.key, static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(high), space, protocol);
    flow.turned = to < from;
}
inline void make_canonical(Canonical<SessionKey6>& flow, const Ipv6Address& source, std::uint16_t source_port,
                           const Ipv6Address& destination, std::uint16_t destination_port, std::uint16_t space,
                           std::uint8_t protocol) noexcept {
    const bool turned = source != destination ? destination < source : destination_port < source_port;
    set_addresses(flow.key, turned ? destination : source, turned ? source : destination);
    set_ports(flow.key, turned ? destination_port : source_port, turned ? source_port : destination_port, space,
              protocol);
    flow.turned = turned;
}
template <class Key>
Canonical<Key> canonical(const Key& key) noexcept {
    Canonical<Key> flow;
    make_canonical(flow, key.source, key.source_port, key.destination, key.destination_port, key.space, key.protocol);
    return flow;
}

}  // namespace sekisho::nat

// The packet that an ICMP error quotes (RFC 792, RFC 4443): read within what was quoted, which may end after eight
// bytes of L4.
//
// A quote is what a router or host received: here, a packet that the hub sent into the operator's space. Used to admit
// the error and to translate what it quotes. Worker threads, on packets of their own.
#pragma once

#include <optional>

#include "dataplane/packet.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

template <class Header>
struct Quote {
    Header* header = nullptr;    // inside the error's own bytes
    std::span<std::uint8_t> l4;  // what was quoted behind the IP header and its options or extensions
    std::uint8_t protocol = 0;
    // Ports as the quoted packet has them, and its ICMP type; kL4Known as in Packet.
    Packet fields;
    bool is_icmp_error = false;  // an error about an error: to be refused
};

// nullopt: the quote cannot be read: too short, another version, lengths that contradict, a fragment that is not the
// first.
std::optional<Quote<Ipv4Header>> read_quote4(Packet& error) noexcept;
std::optional<Quote<Ipv6Header>> read_quote6(Packet& error) noexcept;

template <class Address>
auto read_quote(Packet& error) noexcept {
    if constexpr (Address::kFamily == Family::ipv4)
        return read_quote4(error);
    else
        return read_quote6(error);
}

}  // namespace sekisho::dataplane

// Packet Too Big and Fragmentation Needed about the hub's own ESP (RFC 4301 §8.2, RFC 1191, RFC 8201).
//
// Whoever sends one is a router that nobody knows. So a worker only looks whether it quotes a packet that the hub could
// have sealed, and hands control what it says, at a limited rate for each underlay; control believes it if SPI, peer
// and sequence number are those of an outbound SA. Worker threads.
#pragma once

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

// An ICMP error that came by an underlay, for the hub itself. True: it was about ESP, and the packet has ended here.
template <class Address>
bool take_path_mtu(Walk& walk, std::size_t packet) noexcept;

}  // namespace sekisho::dataplane

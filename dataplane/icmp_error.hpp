// ICMP errors that the hub sends: made from the packet as its sender sent it, before any byte of it is rewritten.
//
// RFC 792, 1191, 1812 §4.3.2 and RFC 4443 §2.4: never about an ICMP error, a redirect, a multicast or broadcast, a
// source that is no single host, or a fragment that is not the first (but for IPv6's packet too big); at most 576
// (IPv4) or 1,280 (IPv6) bytes in all; limited per VRF; from an address of the attachment that it came by.
#pragma once

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

enum class IcmpError : std::uint8_t {
    admin_prohibited,  // 3/13, IPv6 1/1
    time_exceeded,     // 11/0, IPv6 3/0
    too_big,           // 3/4 with the next-hop MTU, IPv6 2/0
};

// Drops the packet for `reason` and sends its sender an error, if one is due. `mtu` in bytes, for too_big.
void refuse(Walk& walk, std::size_t packet, DropReason reason, IcmpError error, std::uint16_t mtu = 0) noexcept;

}  // namespace sekisho::dataplane

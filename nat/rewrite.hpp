// The one header rewriter: new addresses, one hop less, and every checksum that covers them (RFC 1624).
//
// The IP packet must have been parsed: its header, and of TCP, UDP or ICMP the first bytes, lie within it. Stateless:
// the caller brings the new addresses and what they do to a checksum. Any thread, on packets of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::nat {

// Where the checksum lies in an L4 header that has one over the pseudo-header, or 0. `ipv6`: ICMPv6 has one, ICMP has
// not.
constexpr std::size_t pseudo_checksum_offset(std::uint8_t protocol, bool ipv6) noexcept {
    switch (protocol) {
        case kProtocolTcp: return 16;
        case kProtocolUdp:
        case kProtocolUdpLite:
        case kProtocolDccp: return 6;
        case kProtocolIcmpv6: return ipv6 ? 2 : 0;
        default: return 0;
    }
}

// Adjusts one that is there. RFC 768: over IPv4 a UDP checksum of zero means none and stays so; one that becomes zero
// is sent as all ones.
inline void adjust_checksum(Be16& field, bool udp, ChecksumDelta delta) noexcept {
    if (udp && field == Be16()) return;
    field = delta.apply(field);
    if (udp && field == Be16()) field = Be16::from_host(0xffff);
}

// Adjusts the L4 checksum at `l4` for a change of addresses. Nothing happens when the bytes end before it.
inline void adjust_l4_checksum(std::span<std::uint8_t> l4, std::uint8_t protocol, bool ipv6,
                               ChecksumDelta delta) noexcept {
    const std::size_t offset = pseudo_checksum_offset(protocol, ipv6);
    if (offset == 0) return;
    auto* const field = header_at<Be16>(l4, offset);
    if (field != nullptr) adjust_checksum(*field, protocol == kProtocolUdp, delta);
}

// Sets the ports of TCP or UDP, or the identifier of an ICMP echo over IPv4, which is both; and adjusts the checksum,
// to which new addresses do `addresses`. Bytes that are not there are left out. Returns what the ports do to a
// checksum.
inline ChecksumDelta set_ports(std::span<std::uint8_t> l4, std::uint8_t protocol, std::uint16_t source_port,
                               std::uint16_t destination_port, ChecksumDelta addresses) noexcept {
    if (protocol == kProtocolIcmp) {
        auto* const echo = header_at<IcmpHeader>(l4, 0);
        if (echo == nullptr) return {};
        const Be16 identifier = Be16::from_host(source_port);
        const auto delta = ChecksumDelta::replace(echo->identifier, identifier);
        echo->identifier = identifier;
        echo->checksum = delta.apply(echo->checksum);
        return delta;
    }
    auto* const both = header_at<Be32>(l4, 0);
    if (both == nullptr) return {};
    const Be32 ports = Be32::from_host(std::uint32_t{source_port} << 16 | destination_port);
    const auto delta = ChecksumDelta::replace(*both, ports);
    *both = ports;
    adjust_l4_checksum(l4, protocol, false, addresses + delta);
    return delta;
}

// What both new addresses do to a checksum.
inline ChecksumDelta replaced_addresses(const Ipv4Header& header, Ipv4Address source,
                                        Ipv4Address destination) noexcept {
    return ChecksumDelta::replace(header.source, source.wire(), header.destination, destination.wire());
}

// What taking one from the TTL, the high byte of its 16-bit word, adds to the sum of the header: m - 0x0100 + ~m (RFC
// 1624).
inline constexpr ChecksumDelta kOneHopLess = ChecksumDelta::replace(Be16::from_host(0x0100), Be16::from_host(0x0000));

// Takes one from the TTL or hop limit, which must be over zero, of a header with new addresses; keeps IPv4's header
// checksum right. `delta` is what both new addresses together do to a checksum.
inline void take_one_hop(Ipv4Header& header, ChecksumDelta delta) noexcept {
    --header.ttl;
    header.checksum = (delta + kOneHopLess).apply(header.checksum);
}
inline void take_one_hop(Ipv6Header& header, ChecksumDelta) noexcept {
    --header.hop_limit;
}

// Sets both addresses and takes one hop.
inline void forward_header(Ipv4Header& header, Ipv4Address source, Ipv4Address destination,
                           ChecksumDelta delta) noexcept {
    header.source = source.wire();
    header.destination = destination.wire();
    take_one_hop(header, delta);
}
inline void forward_header(Ipv6Header& header, const Ipv6Address& source, const Ipv6Address& destination,
                           ChecksumDelta delta) noexcept {
    header.source = Ipv6Wire::from(source);
    header.destination = Ipv6Wire::from(destination);
    take_one_hop(header, delta);
}

// Sets both addresses only: of a packet that an ICMP error quotes.
inline void set_addresses(Ipv4Header& header, Ipv4Address source, Ipv4Address destination,
                          ChecksumDelta delta) noexcept {
    header.source = source.wire();
    header.destination = destination.wire();
    header.checksum = delta.apply(header.checksum);
}
inline void set_addresses(Ipv6Header& header, const Ipv6Address& source, const Ipv6Address& destination,
                          ChecksumDelta) noexcept {
    header.source = Ipv6Wire::from(source);
    header.destination = Ipv6Wire::from(destination);
}

}  // namespace sekisho::nat

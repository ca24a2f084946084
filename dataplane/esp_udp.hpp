// ESP in UDP (RFC 3948): what came to the hub's UDP port for it, UDP around what was sealed, peers that move,
// keepalives.
//
// The first word behind the UDP header tells ESP from IKE, which is the kernel's. Over IPv4 no UDP checksum is sent and
// none is asked for, for the ICV says more; over IPv6 it is made and must be right (RFC 8200 §8.1). A tunnel's peer is
// followed to another address or port only behind an authentic packet that is newer than all before. Worker threads.
#pragma once

#include <cstring>
#include <optional>
#include <span>

#include "crypto/esp.hpp"
#include "dataplane/peer_word.hpp"
#include "dataplane/walk.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

// What the payload of a UDP packet to that port is (RFC 3948 §2.2 to §2.4).
enum class UdpPayload : std::uint8_t { esp, ike, keepalive, truncated };
inline UdpPayload udp_payload(std::span<const std::uint8_t> bytes) noexcept {
    if (bytes.size() == 1 && bytes[0] == 0xff) return UdpPayload::keepalive;
    std::uint32_t marker;
    if (bytes.size() < sizeof marker) return UdpPayload::truncated;
    std::memcpy(&marker, bytes.data(), sizeof marker);
    return marker == 0 ? UdpPayload::ike : UdpPayload::esp;
}

// Whether the UDP packet, header and all, that `ipv6` carries has a checksum, and the right one.
bool udp_checksum_is_good(const Ipv6Header& ipv6, std::span<const std::uint8_t> udp) noexcept;

// Where the tunnel's peer is now.
UdpEndpoint peer_of(const Tunnel& tunnel, const PeerWord* word) noexcept;

// `packet` was opened, and came in UDP: if it is the newest of its SA and came from another address or port than the
// tunnel's packets go to, they go there from now on. Not to an address that no peer can have, nor where no underlay
// leads.
void follow_peer(Walk& walk, const Packet& packet, const crypto::OpenPacket& opened) noexcept;

// The sealed packet, with room before it, becomes a UDP packet around the same ESP.
void put_in_udp(crypto::SealPacket& sealed, const UdpAround& around) noexcept;

// Sends a keepalive to each peer whose time has come (RFC 3948 §4). The keeper, about ten times a second, between
// walks.
void send_keepalives(Walk& walk) noexcept;

}  // namespace sekisho::dataplane

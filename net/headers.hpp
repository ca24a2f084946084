// The headers of the protocols that the hub reads and writes, as they lie in a packet.
//
// Every field is of alignment 1 and in network byte order; a header is reached only through header_at(), which checks
// that all of it lies within the bytes. Nothing here interprets a packet: dataplane/parse does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "net/address.hpp"
#include "net/byte_order.hpp"
#include "net/ids.hpp"

namespace sekisho {

// ---- Ethernet (IEEE 802.3, 802.1Q)
enum class EtherType : std::uint16_t { ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd, qinq = 0x88a8 };

struct EthernetHeader {
    MacAddress destination;
    MacAddress source;
    Be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14);

struct VlanTag {
    Be16 control;  // priority (3 bits), drop eligible (1), VLAN id (12)
    Be16 ether_type;

    VlanId vlan() const noexcept { return VlanId(static_cast<std::uint16_t>(control.to_host() & 0x0fff)); }
};
static_assert(sizeof(VlanTag) == 4);

// ---- ARP for IPv4 over Ethernet (RFC 826)
inline constexpr std::uint16_t kArpRequest = 1;
inline constexpr std::uint16_t kArpReply = 2;

struct ArpHeader {
    Be16 hardware_type;  // 1: Ethernet
    Be16 protocol_type;  // 0x0800
    std::uint8_t hardware_length;
    std::uint8_t protocol_length;
    Be16 operation;
    MacAddress sender_mac;
    Be32 sender_address;
    MacAddress target_mac;
    Be32 target_address;
};
static_assert(sizeof(ArpHeader) == 28);

// ---- IPv4 (RFC 791)
inline constexpr std::uint16_t kIpv4DontFragment = 0x4000;
inline constexpr std::uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr std::uint16_t kIpv4OffsetMask = 0x1fff;

struct Ipv4Header {
    std::uint8_t version_ihl;
    std::uint8_t dscp_ecn;
    Be16 total_length;
    Be16 identification;
    Be16 flags_offset;
    std::uint8_t ttl;
    std::uint8_t protocol;
    Be16 checksum;
    Be32 source;
    Be32 destination;

    int version() const noexcept { return version_ihl >> 4; }
    std::size_t header_length() const noexcept { return std::size_t{4} * (version_ihl & 0x0fU); }
};
static_assert(sizeof(Ipv4Header) == 20);

// ---- IPv6 (RFC 8200)
struct Ipv6Header {
    Be32 version_class_flow;
    Be16 payload_length;
    std::uint8_t next_header;
    std::uint8_t hop_limit;
    Ipv6Wire source;
    Ipv6Wire destination;

    int version() const noexcept { return static_cast<int>(version_class_flow.to_host() >> 28); }
};
static_assert(sizeof(Ipv6Header) == 40);

// Hop-by-hop, destination options and routing headers begin alike; the length is in 8-byte units, the first not
// counted.
struct Ipv6ExtensionHeader {
    std::uint8_t next_header;
    std::uint8_t length;
    std::uint8_t type;           // routing header: its type
    std::uint8_t segments_left;  // routing header only

    std::size_t bytes() const noexcept { return (std::size_t{length} + 1) * 8; }
};
static_assert(sizeof(Ipv6ExtensionHeader) == 4);

inline constexpr std::uint16_t kIpv6OffsetMask = 0xfff8;  // in bytes
inline constexpr std::uint16_t kIpv6MoreFragments = 0x0001;

struct Ipv6FragmentHeader {
    std::uint8_t next_header;
    std::uint8_t reserved;
    Be16 offset_more;  // offset in 8-byte units (13 bits), reserved (2), more fragments (1)
    Be32 identification;
};
static_assert(sizeof(Ipv6FragmentHeader) == 8);

enum IpProtocol : std::uint8_t {
    kProtocolHopByHop = 0,
    kProtocolIcmp = 1,
    kProtocolTcp = 6,
    kProtocolUdp = 17,
    kProtocolDccp = 33,
    kProtocolRouting = 43,
    kProtocolFragment = 44,
    kProtocolEsp = 50,
    kProtocolAuthentication = 51,
    kProtocolIcmpv6 = 58,
    kProtocolNoNext = 59,
    kProtocolDestinationOptions = 60,
    kProtocolUdpLite = 136,
};

// ---- TCP (RFC 9293), UDP (RFC 768)
inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpAck = 0x10;

struct TcpHeader {
    Be16 source_port;
    Be16 destination_port;
    Be32 sequence;
    Be32 acknowledgement;
    std::uint8_t data_offset;  // in 4-byte units, in the high four bits
    std::uint8_t flags;
    Be16 window;
    Be16 checksum;
    Be16 urgent;
};
static_assert(sizeof(TcpHeader) == 20);

struct UdpHeader {
    Be16 source_port;
    Be16 destination_port;
    Be16 length;
    Be16 checksum;
};
static_assert(sizeof(UdpHeader) == 8);

// ---- ICMP (RFC 792, 1191, 1812) and ICMPv6 (RFC 4443)
struct IcmpHeader {
    std::uint8_t type;
    std::uint8_t code;
    Be16 checksum;
    Be16 identifier;  // echo; in IPv4's 3/4 the upper half of what holds the next-hop MTU
    Be16 sequence;    // echo; in IPv4's 3/4 the next-hop MTU (RFC 1191 §4)
};
static_assert(sizeof(IcmpHeader) == 8);

inline constexpr std::uint8_t kIcmpEchoReply = 0;
inline constexpr std::uint8_t kIcmpUnreachable = 3;
inline constexpr std::uint8_t kIcmpEchoRequest = 8;
inline constexpr std::uint8_t kIcmpTimeExceeded = 11;
inline constexpr std::uint8_t kIcmpParameterProblem = 12;
inline constexpr std::uint8_t kIcmpCodeFragmentationNeeded = 4;
inline constexpr std::uint8_t kIcmpCodeAdminProhibited = 13;

inline constexpr std::uint8_t kIcmpv6Unreachable = 1;
inline constexpr std::uint8_t kIcmpv6PacketTooBig = 2;
inline constexpr std::uint8_t kIcmpv6TimeExceeded = 3;
inline constexpr std::uint8_t kIcmpv6ParameterProblem = 4;
inline constexpr std::uint8_t kIcmpv6EchoRequest = 128;
inline constexpr std::uint8_t kIcmpv6EchoReply = 129;
inline constexpr std::uint8_t kIcmpv6CodeAdminProhibited = 1;

// Whether an ICMP (1) or ICMPv6 (58) message of this type reports an error, and so quotes the packet it is about.
constexpr bool is_icmp_error(std::uint8_t protocol, std::uint8_t type) noexcept {
    if (protocol == kProtocolIcmpv6) return type < 128;                                        // RFC 4443 §2.1
    return type == kIcmpUnreachable || type == 4 || type == 5 || type == kIcmpTimeExceeded ||  // 4: quench, 5: redirect
           type == kIcmpParameterProblem;                                                      // RFC 1122 §3.2.2
}

// Whether an ICMP (1) or ICMPv6 (58) message of this type is an echo request or reply.
constexpr bool is_icmp_echo(std::uint8_t protocol, std::uint8_t type) noexcept {
    if (protocol == kProtocolIcmpv6) return type == kIcmpv6EchoRequest || type == kIcmpv6EchoReply;
    return type == kIcmpEchoRequest || type == kIcmpEchoReply;
}

// ---- Neighbour discovery (RFC 4861): the messages begin as ICMPv6 does, with a target behind
inline constexpr std::uint8_t kNdRouterSolicitation = 133;
inline constexpr std::uint8_t kNdRouterAdvertisement = 134;
inline constexpr std::uint8_t kNdNeighbourSolicitation = 135;
inline constexpr std::uint8_t kNdNeighbourAdvertisement = 136;
inline constexpr std::uint8_t kNdRedirect = 137;
inline constexpr std::uint32_t kNdFlagRouter = 0x8000'0000;
inline constexpr std::uint32_t kNdFlagSolicited = 0x4000'0000;
inline constexpr std::uint32_t kNdFlagOverride = 0x2000'0000;
inline constexpr std::uint8_t kNdOptionSourceLinkLayer = 1;
inline constexpr std::uint8_t kNdOptionTargetLinkLayer = 2;

struct NeighbourMessage {  // solicitation and advertisement
    std::uint8_t type;
    std::uint8_t code;
    Be16 checksum;
    Be32 flags;  // advertisement only
    Ipv6Wire target;
};
static_assert(sizeof(NeighbourMessage) == 24);

struct LinkLayerOption {
    std::uint8_t type;
    std::uint8_t length;  // in 8-byte units: 1
    MacAddress mac;
};
static_assert(sizeof(LinkLayerOption) == 8);

// ---- The one way to a header: all of it lies within `bytes`, or nullptr.
template <class Header>
const Header* header_at(std::span<const std::uint8_t> bytes, std::size_t offset) noexcept {
    static_assert(alignof(Header) == 1);
    if (offset > bytes.size() || bytes.size() - offset < sizeof(Header)) return nullptr;
    return reinterpret_cast<const Header*>(bytes.data() + offset);
}
template <class Header>
Header* header_at(std::span<std::uint8_t> bytes, std::size_t offset) noexcept {
    static_assert(alignof(Header) == 1);
    if (offset > bytes.size() || bytes.size() - offset < sizeof(Header)) return nullptr;
    return reinterpret_cast<Header*>(bytes.data() + offset);
}

}  // namespace sekisho

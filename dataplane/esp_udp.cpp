// UDP around ESP, and whoever is behind a NAT.
#include "dataplane/esp_udp.hpp"

#include "dataplane/admit.hpp"
#include "dataplane/stages.hpp"
#include "net/checksum.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kKeepalive = 0xff;  // RFC 3948 §2.3
constexpr std::uint8_t kKeepaliveTtl = 64;

bool is_host(Ipv4Address address) noexcept {
    return !address.is_this_network() && !address.is_loopback() && !address.is_multicast() && !address.is_reserved();
}
bool is_host(const Ipv6Address& address) noexcept {
    return !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !address.is_mapped_ipv4();
}

UdpEndpoint source_of(const Packet& packet) noexcept {
    if (packet.is(Packet::kIpv6)) return {address_of(header_of<Ipv6Address>(packet).source), packet.source_port};
    return {address_of(header_of<Ipv4Address>(packet).source), packet.source_port};
}

// The packet's number is the highest of its SA so far. All numbers in the window differ in their low halves.
bool is_newest(const crypto::OpenPacket& opened) noexcept {
    Be32 low;
    std::memcpy(&low, opened.esp + sizeof(Be32), sizeof low);
    return low.to_host() == static_cast<std::uint32_t>(opened.sa->window().top());
}

template <class Address>
bool may_be_peer(const Walk& walk, const Packet& packet, const Address& address) noexcept {
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    return is_host(address) && !is_own(attachment, address) && !is_broadcast(attachment, address);
}

// A keepalive from `tunnel`'s end of it, as a packet of our own.
bool write_keepalive(Walk& walk, const Tunnel& tunnel, const UdpEndpoint& to, Packet& packet) noexcept {
    rte_mbuf* const mbuf = walk.new_buffer();
    if (mbuf == nullptr) return false;
    const bool ipv4 = to.address.is_ipv4();
    const std::size_t header = ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
    constexpr std::size_t kLength = sizeof(UdpHeader) + 1;
    packet.mbuf = mbuf;
    packet.attachment = tunnel.underlay;
    packet.vrf = walk.tables.attachments[tunnel.underlay.index()].vrf;
    packet.l3 = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
    packet.l3_length = static_cast<std::uint16_t>(header + kLength);
    packet.mark(Packet::kReturn | (ipv4 ? 0 : Packet::kIpv6));
    auto& udp = *reinterpret_cast<UdpHeader*>(packet.l3 + header);
    udp.source_port = Be16::from_host(tunnel.local_port.value());
    udp.destination_port = Be16::from_host(to.port.value());
    udp.length = Be16::from_host(kLength);
    udp.checksum = Be16();
    packet.l3[header + sizeof udp] = kKeepalive;
    if (ipv4) {
        Ipv4Header ip{};
        ip.version_ihl = 0x45;
        ip.total_length = Be16::from_host(packet.l3_length);
        ip.flags_offset = Be16::from_host(kIpv4DontFragment);
        ip.ttl = kKeepaliveTtl;
        ip.protocol = kProtocolUdp;
        ip.source = tunnel.local.ipv4().wire();
        ip.destination = to.address.ipv4().wire();
        ip.checksum = checksum_of({reinterpret_cast<const std::uint8_t*>(&ip), sizeof ip});
        std::memcpy(packet.l3, &ip, sizeof ip);
        return true;
    }
    Ipv6Header ip{};
    ip.version_class_flow = Be32::from_host(0x6000'0000);
    ip.payload_length = Be16::from_host(kLength);
    ip.next_header = kProtocolUdp;
    ip.hop_limit = kKeepaliveTtl;
    ip.source = Ipv6Wire::from(tunnel.local.ipv6());
    ip.destination = Ipv6Wire::from(to.address.ipv6());
    std::memcpy(packet.l3, &ip, sizeof ip);
    const std::uint64_t pseudo = pseudo_header_sum(ip.source, ip.destination, kProtocolUdp, kLength);
    udp.checksum = checksum_of(pseudo + sum_of({packet.l3 + header, kLength}));
    return true;
}

}  // namespace

bool udp_checksum_is_good(const Ipv6Header& ipv6, std::span<const std::uint8_t> udp) noexcept {
    const auto* const header = header_at<UdpHeader>(udp, 0);
    return header != nullptr && header->checksum != Be16() &&
           checksum_is_good(pseudo_header_sum(ipv6.source, ipv6.destination, kProtocolUdp, udp.size()) + sum_of(udp));
}

UdpEndpoint peer_of(const Tunnel& tunnel, const PeerWord* word) noexcept {
    if (word != nullptr)
        if (const auto moved = word->now()) return *moved;
    return {tunnel.peer, tunnel.peer_port};
}

void follow_peer(Walk& walk, const Packet& packet, const crypto::OpenPacket& opened) noexcept {
    const TunnelId id = opened.sa->tunnel();
    PeerWord* const word = walk.worker.associations->peer_word(id);
    if (word == nullptr) return;
    const UdpEndpoint from = source_of(packet);
    if (from == peer_of(walk.tables.tunnels[id.index()], word)) [[likely]]
        return;
    // RFC 7296 §2.23: behind an authentic packet that is newer, or an old one that was held back would win.
    if (!is_newest(opened) || from.port == L4Port(0)) return;
    const bool possible = from.address.is_ipv4() ? may_be_peer(walk, packet, from.address.ipv4())
                                                 : may_be_peer(walk, packet, from.address.ipv6());
    Packet answer = packet;
    if (possible && !take_tunnel_way(walk.tables, answer, id, &from.address)) word->follow(from);
}

void put_in_udp(crypto::SealPacket& sealed, const UdpAround& around) noexcept {
    const bool ipv4 = sealed.sa->hot().outer_length == sizeof(Ipv4Header);
    const std::size_t header = sealed.sa->hot().outer_length;
    std::uint8_t* const ip = sealed.data - sizeof(UdpHeader);
    std::memmove(ip, sealed.data, header);
    const std::size_t length = sealed.length - header + sizeof(UdpHeader);
    UdpHeader udp;
    udp.source_port = Be16::from_host(around.from);
    udp.destination_port = Be16::from_host(around.to);
    udp.length = Be16::from_host(static_cast<std::uint16_t>(length));
    std::memcpy(ip + header, &udp, sizeof udp);
    if (ipv4) {
        // RFC 3948 §2.1: the UDP checksum is 0.
        auto& outer = *reinterpret_cast<Ipv4Header*>(ip);
        outer.total_length = Be16::from_host(static_cast<std::uint16_t>(header + length));
        outer.protocol = kProtocolUdp;
        outer.destination = Ipv4Address(static_cast<std::uint32_t>(around.low)).wire();
        outer.checksum = Be16();
        outer.checksum = checksum_of({ip, header});
    } else {
        auto& outer = *reinterpret_cast<Ipv6Header*>(ip);
        outer.payload_length = udp.length;
        outer.next_header = kProtocolUdp;
        outer.destination = Ipv6Wire::from(Ipv6Address(around.high, around.low));
        const std::uint64_t pseudo = pseudo_header_sum(outer.source, outer.destination, kProtocolUdp, length);
        const Be16 checksum = checksum_of(pseudo + sum_of({ip + header, length}));
        // RFC 8200 §8.1: one that comes out as 0 is sent as 0xffff.
        reinterpret_cast<UdpHeader*>(ip + header)->checksum = checksum == Be16() ? Be16::from_host(0xffff) : checksum;
    }
    sealed.data = ip;
    sealed.length = static_cast<std::uint32_t>(header + length);
}

void send_keepalives(Walk& walk) noexcept {
    if (walk.worker.associations == nullptr) return;
    for (const TunnelId id : walk.tables.kept_alive) {
        const Tunnel& tunnel = walk.tables.tunnels[id.index()];
        std::uint64_t& next = walk.worker.next_keepalive[id];
        // Without SAs there is nothing to be kept alive.
        if (walk.worker.associations->outbound(id) == nullptr) continue;
        if (walk.now < next) continue;
        if (walk.worker.resume[walk.origin.index()].room() == 0) return;
        Packet packet;
        if (!write_keepalive(walk, tunnel, peer_of(tunnel, walk.worker.associations->peer_word(id)), packet)) return;
        next = walk.now + tunnel.keepalive * walk.worker.tsc_hz;
        walk.resume(packet);
    }
}

}  // namespace sekisho::dataplane

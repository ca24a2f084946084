// Stage 7, seal: what leaves by a tunnel becomes ESP, and then is a packet of the tunnel's underlay (RFC 4303 §3.3).
//
// What comes in here is translated and fit, or our own; it goes on sealed or it is dropped. Longer than its tunnel
// carries, it is cut first, so that the peer need not put outer fragments together (RFC 4303 §3.3.4). The way of the
// sealed packet was looked up when the tables were made; a tunnel is one flow to a group of nexthops. Sequence numbers
// are taken in the order of the lane.
#include "dataplane/admit.hpp"
#include "dataplane/cut.hpp"
#include "dataplane/esp_udp.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

using crypto::EspOutcome;
using crypto::OutboundSa;
using crypto::SealPacket;

constexpr std::size_t kLinkRoom = sizeof(EthernetHeader) + sizeof(VlanTag);

bool may_fragment(const Packet& packet) noexcept {
    return !packet.is(Packet::kIpv6) &&
           (header_of<Ipv4Address>(packet).flags_offset.to_host() & kIpv4DontFragment) == 0;
}

// What a tunnel's packets have in common.
struct Found {
    OutboundSa* sa = nullptr;
    NexthopId nexthop;
    AttachmentId egress;
    const Tunnel* in_udp = nullptr;  // the tunnel, if it is
    UdpEndpoint peer = {};           // in UDP
};

// In UDP: where the peer is.
[[gnu::noinline]] std::optional<DropReason> find_in_udp(const Walk& walk, Packet& packet, TunnelId id,
                                                        const Associations& associations, Found& found) noexcept {
    const Tunnel& tunnel = walk.tables.tunnels[id.index()];
    found.in_udp = &tunnel;
    found.peer = peer_of(tunnel, associations.peer_word(id));
    if (found.peer.address == tunnel.peer) return take_tunnel_way(walk.tables, packet, id);
    return take_tunnel_way(walk.tables, packet, id, &found.peer.address);
}

std::optional<DropReason> find(const Walk& walk, Packet packet, const Associations& associations,
                               Found& found) noexcept {
    found.sa = nullptr;
    found.in_udp = nullptr;
    const TunnelId tunnel = walk.tables.attachments[packet.egress.index()].tunnel;
    const bool in_udp = tunnel.index() < walk.tables.tunnels.size() && walk.tables.tunnels[tunnel.index()].in_udp;
    const auto reason =
        in_udp ? find_in_udp(walk, packet, tunnel, associations, found) : take_tunnel_way(walk.tables, packet, tunnel);
    if (reason) return reason;
    OutboundSa* const sa = associations.outbound(tunnel);
    if (sa == nullptr) return DropReason::sa_missing;
    sa->prefetch();
    found.sa = sa;
    found.nexthop = packet.nexthop;
    found.egress = packet.egress;
    return std::nullopt;
}

// As many packets of the lane as the cipher takes at once.
struct Sealing {
    explicit Sealing(crypto::Esp& esp) noexcept : packets(esp.to_seal()) {}

    std::size_t count = 0;
    const std::span<SealPacket, crypto::Esp::kBurst> packets;
    std::array<Lane::Index, crypto::Esp::kBurst> places;
    std::size_t runs_in_udp = 0;  // how many of the worker's `arounds` are of this burst
    std::size_t run = 0;          // where the run of the present tunnel begins
};

// Another tunnel comes, or the burst is full: what is there of a tunnel in UDP is noted.
[[gnu::noinline]] void note_run(Sealing& sealing, WorkerState& worker, const Found& found) noexcept {
    UdpAround& around = worker.arounds[sealing.runs_in_udp++];
    const bool ipv4 = found.peer.address.is_ipv4();
    around.high = ipv4 ? 0 : found.peer.address.ipv6().high();
    around.low = ipv4 ? found.peer.address.ipv4().value() : found.peer.address.ipv6().low();
    around.from = found.in_udp->local_port.value();
    around.to = found.peer.port.value();
    around.first = static_cast<std::uint16_t>(sealing.run);
    around.end = static_cast<std::uint16_t>(sealing.count);
}
void end_run(Sealing& sealing, WorkerState& worker, const Found& found) noexcept {
    if (found.in_udp != nullptr && sealing.run != sealing.count) [[unlikely]]
        note_run(sealing, worker, found);
    sealing.run = sealing.count;
}

void refuse(Walk& walk, std::size_t i, OutboundSa* sa, DropReason reason) noexcept {
    sa->failures().count(reason);
    walk.drop(i, reason);
}

// The room before an ESP packet suffices for the outer header, but maybe not for UDP's.
[[gnu::noinline]] void put_runs_in_udp(Walk& walk, const Sealing& sealing) noexcept {
    for (const UdpAround& around : std::span(walk.worker.arounds).first(sealing.runs_in_udp))
        for (std::size_t n = around.first; n < around.end; ++n) {
            SealPacket& sealed = sealing.packets[n];
            if (sealed.outcome != EspOutcome::done) continue;
            const auto* const buffer = static_cast<const std::uint8_t*>(walk.packets[sealing.places[n]].mbuf->buf_addr);
            if (static_cast<std::size_t>(sealed.data - buffer) < kLinkRoom + sizeof(UdpHeader)) {
                sealed.outcome = EspOutcome::dropped;
                sealed.reason = DropReason::no_room;
                continue;
            }
            put_in_udp(sealed, around);
        }
}

void seal_burst(Walk& walk, Sealing& sealing, Lane& sealed) noexcept {
    const std::span packets(sealing.packets.data(), sealing.count);
    walk.worker.esp->seal(packets);
    if (sealing.runs_in_udp != 0) [[unlikely]]
        put_runs_in_udp(walk, sealing);
    const Tables& tables = walk.tables;
    const auto generation = Packet::low_bits(tables.generation);
    AttachmentId before;
    std::uint16_t mtu = 0;
    for (std::size_t n = 0; n < packets.size(); ++n) {
        const SealPacket& done = packets[n];
        const std::size_t i = sealing.places[n];
        Packet& packet = walk.packets[i];
        if (done.outcome != EspOutcome::done) [[unlikely]] {
            refuse(walk, i, done.sa, done.reason);
            continue;
        }
        if (n == 0 || packet.egress != before) {
            before = packet.egress;
            mtu = tables.attachments[before.index()].mtu;
        }
        // The compiler has set the tunnel's MTU by the underlay's; another member of its way may have a smaller one.
        if (done.length > mtu) [[unlikely]] {
            refuse(walk, i, done.sa, DropReason::packet_too_big);
            continue;
        }
        packet.l3 = done.data;
        packet.l3_length = static_cast<std::uint16_t>(done.length);
        const std::uint32_t inner_ipv6 = packet.is(Packet::kIpv6) ? Packet::kSealedIpv6 : 0;
        const std::uint32_t outer_ipv6 = done.sa->hot().outer_length == sizeof(Ipv6Header) ? Packet::kIpv6 : 0;
        packet.unmark(Packet::kIpv6);
        packet.mark(Packet::kSealed | inner_ipv6 | outer_ipv6);
        packet.decided_in = generation;
        sealed.add(i);
    }
    sealing.count = 0;
    sealing.runs_in_udp = 0;
    sealing.run = 0;
}

}  // namespace

namespace {

// `where` of the underlay's VRF for a peer that the tables do not know.
NexthopId way_to(const Tables& tables, const Tunnel& tunnel, const IpAddress& peer) noexcept {
    const auto vrf = tables.attachments[tunnel.underlay.index()].vrf.value();
    const lpm::Row row =
        peer.is_ipv4() ? tables.ipv4.where.find(vrf, peer.ipv4()) : tables.ipv6.where.find(vrf, peer.ipv6());
    return row == lpm::kNoRow ? kNoNexthop : NexthopId(row);
}

}  // namespace

std::optional<DropReason> take_tunnel_way(const Tables& tables, Packet& packet, TunnelId id,
                                          const IpAddress* moved_to) noexcept {
    if (id.index() >= tables.tunnels.size() || !tables.tunnels[id.index()].exists) return DropReason::sa_missing;
    const Tunnel& tunnel = tables.tunnels[id.index()];
    if (!tables.attachments[tunnel.underlay.index()].open) return DropReason::egress_closed;
    NexthopId way = moved_to != nullptr ? way_to(tables, tunnel, *moved_to) : tunnel.way;
    if (way == kNoNexthop) return DropReason::no_route;
    if (tables.nexthops[way.index()].kind == Nexthop::Kind::group) {
        const std::uint32_t number = tables.nexthops[way.index()].group;
        const NexthopGroup& group = tables.groups[number];
        const auto hash = static_cast<std::uint32_t>(id.value() * std::uint64_t{0x9e37'79b9'7f4a'7c15} >> 32);
        const std::size_t member = group.choose(hash, tables.usable_members[number].load(std::memory_order_relaxed));
        if (member == NexthopGroup::kNone) return DropReason::no_nexthop;
        way = group.member(member).nexthop;
    }
    const Nexthop& nexthop = tables.nexthops[way.index()];
    if (nexthop.kind == Nexthop::Kind::blackhole) return DropReason::blackhole;
    const Attachment& egress = tables.attachments[nexthop.attachment.index()];
    if (egress.tunnel != TunnelId()) return DropReason::no_route;              // none in another
    if (moved_to != nullptr && !egress.underlay) return DropReason::no_route;  // else the compiler has looked
    if (!egress.open) return DropReason::egress_closed;
    packet.nexthop = way;
    packet.egress = nexthop.attachment;
    return std::nullopt;
}

void seal(Walk& walk, const Lane& in, Lane& sealed) noexcept {
    const Associations* const associations = walk.worker.associations;
    if (associations == nullptr) [[unlikely]] {
        for (const std::size_t i : in) walk.drop(i, DropReason::sa_missing);
        return;
    }
    // 1. What is too long is cut; the tunnels and their words are asked for.
    Lane fitting;
    AttachmentId asked;
    std::uint16_t mtu = 0;
    for (const std::size_t i : in) {
        const Packet& packet = walk.packets[i];
        if (fitting.empty() || packet.egress != asked) {
            asked = packet.egress;
            const Attachment& egress = walk.tables.attachments[asked.index()];
            mtu = egress.mtu;
            associations->prefetch_outbound(egress.tunnel);
            prefetch(walk.tables.tunnels.data() + egress.tunnel.index());
        }
        if (packet.l3_length <= mtu) [[likely]] {
            fitting.add(i);
        } else if (!may_fragment(packet)) {  // our own: fit has told the others' senders
            walk.drop(i, DropReason::packet_too_big);
        } else if (const auto reason = cut_to_be_sealed(walk, i, mtu, fitting)) {
            walk.drop(i, *reason);
        }
    }
    // 2. The ways and the SAs, whose first lines are asked for a burst ahead of the cipher. Packets of one tunnel
    // mostly follow each other.
    Sealing sealing(*walk.worker.esp);
    AttachmentId before;
    Found found;
    for (const std::size_t i : fitting) {
        Packet& packet = walk.packets[i];
        packet.egress_was = packet.egress.value();
        if (found.sa == nullptr || packet.egress != before) {
            before = packet.egress;
            end_run(sealing, walk.worker, found);
            if (const auto reason = find(walk, packet, *associations, found)) [[unlikely]] {
                walk.drop(i, *reason);
                continue;
            }
        }
        packet.nexthop = found.nexthop;
        packet.egress = found.egress;
        SealPacket& to_seal = sealing.packets[sealing.count];
        const auto* const buffer = static_cast<const std::uint8_t*>(packet.mbuf->buf_addr);
        const auto head = static_cast<std::size_t>(packet.l3 - buffer);
        to_seal.sa = found.sa;
        to_seal.data = packet.l3;
        to_seal.length = packet.l3_length;
        to_seal.headroom = static_cast<std::uint16_t>(head < kLinkRoom ? 0 : head - kLinkRoom);
        to_seal.tailroom = static_cast<std::uint16_t>(packet.mbuf->buf_len - head - packet.l3_length);
        sealing.places[sealing.count++] = static_cast<Lane::Index>(i);
        if (sealing.count == sealing.packets.size()) {
            end_run(sealing, walk.worker, found);
            seal_burst(walk, sealing, sealed);
        }
    }
    // 3. Sequence numbers, headers, cipher; and the way on.
    end_run(sealing, walk.worker, found);
    if (sealing.count != 0) seal_burst(walk, sealing, sealed);
}

}  // namespace sekisho::dataplane

// Stage 7, seal: what leaves by a tunnel becomes ESP, and then is a packet of the tunnel's underlay (RFC 4303 §3.3).
//
// What comes in here is translated and fit, or our own; it goes on sealed or it is dropped. Longer than its tunnel
// carries, it is cut first, so that the peer need not put outer fragments together (RFC 4303 §3.3.4). The way of the
// sealed packet was looked up when the tables were made; a tunnel is one flow to a group of nexthops. Sequence numbers
// are taken in the order of the lane.
#include <algorithm>

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

struct Way {
    NexthopId nexthop;
    AttachmentId egress;
};

// `where` of the underlay's VRF for a peer that the tables do not know.
NexthopId way_to(const Tables& tables, const Tunnel& tunnel, const IpAddress& peer) noexcept {
    const auto vrf = tables.attachments[tunnel.underlay.index()].vrf.value();
    const lpm::Row row =
        peer.is_ipv4() ? tables.ipv4.where.find(vrf, peer.ipv4()) : tables.ipv6.where.find(vrf, peer.ipv6());
    return row == lpm::kNoRow ? kNoNexthop : NexthopId(row);
}

// See take_tunnel_way().
std::optional<DropReason> find_way(const Tables& tables, TunnelId id, const IpAddress* moved_to, Way& found) noexcept {
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
    found = {way, nexthop.attachment};
    return std::nullopt;
}

// What a tunnel's packets have in common.
struct Found {
    OutboundSa* sa = nullptr;
    Way way;
    const Tunnel* in_udp = nullptr;  // the tunnel, if it is
    UdpEndpoint peer = {};           // in UDP
};

// In UDP: where the peer is.
[[gnu::noinline]] std::optional<DropReason> find_in_udp(const Walk& walk, TunnelId id, const Associations& associations,
                                                        Found& found) noexcept {
    const Tunnel& tunnel = walk.tables.tunnels[id.index()];
    found.in_udp = &tunnel;
    found.peer = peer_of(tunnel, associations.peer_word(id));
    return find_way(walk.tables, id, found.peer.address == tunnel.peer ? nullptr : &found.peer.address, found.way);
}

std::optional<DropReason> find(const Walk& walk, TunnelId tunnel, Found& found) noexcept {
    const Associations& associations = *walk.worker.associations;
    const bool in_udp = tunnel.index() < walk.tables.tunnels.size() && walk.tables.tunnels[tunnel.index()].in_udp;
    const auto reason =
        in_udp ? find_in_udp(walk, tunnel, associations, found) : find_way(walk.tables, tunnel, nullptr, found.way);
    if (reason) return reason;
    found.sa = associations.outbound(tunnel);
    if (found.sa == nullptr) return DropReason::sa_missing;
    found.sa->prefetch();
    return std::nullopt;
}

// Packets of one tunnel that follow each other. Not initialized, for there is an array of them.
struct Run {
    std::uint32_t end;  // of it in Sealing
    std::uint32_t mtu;  // by which they leave sealed
};

// As many packets of the lane as the cipher takes at once.
struct Sealing {
    explicit Sealing(crypto::Esp& esp) noexcept : packets(esp.to_seal()) {}

    std::size_t count = 0;
    const std::span<SealPacket, crypto::Esp::kBurst> packets;
    std::array<Lane::Index, crypto::Esp::kBurst> places;
    std::size_t run_count = 0;
    std::array<Run, crypto::Esp::kBurst> runs;
    std::size_t runs_in_udp = 0;  // how many of the worker's `arounds` are of this burst
};

// A run of a tunnel in UDP, from `first` to what is the last now.
[[gnu::noinline]] void note_in_udp(Sealing& sealing, WorkerState& worker, const Found& found,
                                   std::size_t first) noexcept {
    UdpAround& around = worker.arounds[sealing.runs_in_udp++];
    const bool ipv4 = found.peer.address.is_ipv4();
    around.high = ipv4 ? 0 : found.peer.address.ipv6().high();
    around.low = ipv4 ? found.peer.address.ipv4().value() : found.peer.address.ipv6().low();
    around.from = found.in_udp->local_port.value();
    around.to = found.peer.port.value();
    around.first = static_cast<std::uint16_t>(first);
    around.end = static_cast<std::uint16_t>(sealing.count);
}

// The packets from `place` on that go by the same tunnel as the first: they get its way, and go to the cipher. Returns
// where another tunnel's begin, or `end`.
const Lane::Index* take_run(Walk& walk, const Lane::Index* place, const Lane::Index* end, Sealing& sealing) noexcept {
    // Copies: what is written might change what they are read from.
    Packet* const packets = walk.packets.data();
    const AttachmentId tunnelled = packets[*place].egress;
    Found found;
    if (const auto reason = find(walk, walk.tables.attachments[tunnelled.index()].tunnel, found)) [[unlikely]] {
        for (; place != end && packets[*place].egress == tunnelled; ++place) {
            packets[*place].egress_was = tunnelled.value();
            walk.drop(*place, *reason);
        }
        return place;
    }
    OutboundSa* const sa = found.sa;
    const Way way = found.way;
    const std::size_t first = sealing.count;
    SealPacket* to_seal = sealing.packets.data() + first;
    Lane::Index* kept = sealing.places.data() + first;
    do {
        Packet& packet = packets[*place];
        packet.egress_was = tunnelled.value();
        packet.nexthop = way.nexthop;
        packet.egress = way.egress;
        const rte_mbuf& mbuf = *packet.mbuf;
        const auto head = static_cast<std::int32_t>(packet.l3 - static_cast<const std::uint8_t*>(mbuf.buf_addr));
        to_seal->sa = sa;
        to_seal->data = packet.l3;
        to_seal->length = packet.l3_length;
        to_seal->headroom = head - static_cast<std::int32_t>(kLinkRoom);
        to_seal->tailroom = mbuf.buf_len - head - packet.l3_length;
        ++to_seal;
        *kept++ = *place;
    } while (++place != end && packets[*place].egress == tunnelled);
    sealing.count = static_cast<std::size_t>(to_seal - sealing.packets.data());
    if (found.in_udp != nullptr) [[unlikely]]
        note_in_udp(sealing, walk.worker, found, first);
    // The compiler has set the tunnel's MTU by the underlay's; another member of its way may have a smaller one.
    sealing.runs[sealing.run_count++] = {static_cast<std::uint32_t>(sealing.count),
                                         walk.tables.attachments[way.egress.index()].mtu};
    return place;
}

[[gnu::noinline]] void refuse(Walk& walk, std::size_t i, const SealPacket& refused) noexcept {
    const DropReason reason =
        refused.outcome == EspOutcome::dropped ? refused.reason : DropReason::packet_too_big;  // by the way it leaves
    refused.sa->failures().count(reason);
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

// Sequence numbers, headers, cipher; and the way on.
void seal_burst(Walk& walk, Sealing& sealing, Lane& sealed) noexcept {
    walk.worker.esp->seal(std::span(sealing.packets.data(), sealing.count));
    if (sealing.runs_in_udp != 0) [[unlikely]]
        put_runs_in_udp(walk, sealing);
    Packet* const packets = walk.packets.data();
    const auto generation = Packet::low_bits(walk.tables.generation);
    std::size_t n = 0;
    for (const Run run : std::span(sealing.runs.data(), sealing.run_count)) {
        // Read only now: the SA's first line was still on its way when the run was taken.
        const bool outer_ipv6 = sealing.packets[n].sa->hot().outer_length == sizeof(Ipv6Header);
        const std::uint32_t marks = Packet::kSealed | (outer_ipv6 ? Packet::kIpv6 : 0);
        for (; n < run.end; ++n) {
            const SealPacket& done = sealing.packets[n];
            const std::size_t i = sealing.places[n];
            if (done.outcome != EspOutcome::done || done.length > run.mtu) [[unlikely]] {
                refuse(walk, i, done);
                continue;
            }
            Packet& packet = packets[i];
            packet.l3 = done.data;
            packet.l3_length = static_cast<std::uint16_t>(done.length);
            const std::uint32_t inner_ipv6 = (packet.marks & Packet::kIpv6) * (Packet::kSealedIpv6 / Packet::kIpv6);
            packet.marks = (packet.marks & ~Packet::kIpv6) | inner_ipv6 | marks;
            packet.decided_in = generation;
            sealed.add(i);
        }
    }
}

// Asks for the tunnels and their words. False: some packets are longer than their tunnels carry.
bool ask_ahead(const Walk& walk, const Lane& in) noexcept {
    const Packet* const packets = walk.packets.data();
    AttachmentId asked = Tables::kNoAttachment;
    std::uint16_t mtu = 0;
    bool all_fit = true;
    for (const std::size_t i : in) {
        const Packet& packet = packets[i];
        if (packet.egress != asked) {
            asked = packet.egress;
            const Attachment& egress = walk.tables.attachments[asked.index()];
            mtu = egress.mtu;
            walk.worker.associations->prefetch_outbound(egress.tunnel);
            walk.tables.prefetch_tunnel(egress.tunnel);
        }
        all_fit &= packet.l3_length <= mtu;
    }
    return all_fit;
}

[[gnu::noinline]] void cut_too_long(Walk& walk, const Lane& in, Lane& fitting) noexcept {
    for (const std::size_t i : in) {
        const Packet& packet = walk.packets[i];
        const std::uint16_t mtu = walk.tables.attachments[packet.egress.index()].mtu;
        if (packet.l3_length <= mtu) {
            fitting.add(i);
        } else if (!may_fragment(packet)) {  // our own: fit has told the others' senders
            walk.drop(i, DropReason::packet_too_big);
        } else if (const auto reason = cut_to_be_sealed(walk, i, mtu, fitting)) {
            walk.drop(i, *reason);
        }
    }
}

}  // namespace

std::optional<DropReason> take_tunnel_way(const Tables& tables, Packet& packet, TunnelId id,
                                          const IpAddress* moved_to) noexcept {
    Way way;
    if (const auto reason = find_way(tables, id, moved_to, way)) return reason;
    packet.nexthop = way.nexthop;
    packet.egress = way.egress;
    return std::nullopt;
}

void seal(Walk& walk, const Lane& in, Lane& sealed) noexcept {
    const Associations* const associations = walk.worker.associations;
    if (associations == nullptr) [[unlikely]] {
        for (const std::size_t i : in) walk.drop(i, DropReason::sa_missing);
        return;
    }
    // 1. The tunnels and their words are asked for; what is too long is cut.
    Lane cut;
    const bool all_fit = ask_ahead(walk, in);
    if (!all_fit) [[unlikely]]
        cut_too_long(walk, in, cut);
    const Lane& fitting = all_fit ? in : cut;
    // 2. Burst by burst: the ways and the SAs, whose first lines are asked for ahead of the cipher, and the cipher.
    for (const Lane::Index* place = fitting.begin(); place != fitting.end();) {
        Sealing sealing(*walk.worker.esp);
        const auto left = static_cast<std::size_t>(fitting.end() - place);
        const Lane::Index* const end = place + std::min(left, sealing.packets.size());
        while (place != end) place = take_run(walk, place, end, sealing);
        if (sealing.count != 0) seal_burst(walk, sealing, sealed);
    }
}

}  // namespace sekisho::dataplane

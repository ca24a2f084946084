// Stages 7 and 8: the way back of our own packets, and the next hop's Ethernet header.
//
// depart() finds the neighbour behind a packet's nexthop, through a hint in the tables for gateways, and puts the frame
// into the outbox of its port. While a neighbour is unknown it holds a few packets and asks (RFC 1122 §2.3.2.2, RFC
// 4861 §7.2.2).
#include "dataplane/admit.hpp"
#include "dataplane/cut.hpp"
#include "dataplane/link.hpp"
#include "dataplane/local.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

// The neighbour's number; kNone when the keeper has no room for another, or another worker does not find it.
template <class Address>
std::uint32_t number_of(Walk& walk, AttachmentId attachment, const Address& address) noexcept {
    Neighbours& neighbours = walk.worker.neighbours;
    return walk.worker.is_keeper() ? neighbours.find_or_add(attachment, address) : neighbours.find(attachment, address);
}

// The neighbour that the packet goes to next, or kNone: see number_of().
[[gnu::noinline]] std::uint32_t look_for_neighbour(Walk& walk, const Packet& packet) noexcept {
    const Nexthop& nexthop = walk.tables.nexthops[packet.nexthop.index()];
    const bool ipv6 = packet.is(Packet::kIpv6);
    if (nexthop.kind == Nexthop::Kind::gateway) {
        const std::uint32_t found = ipv6 ? number_of(walk, nexthop.attachment, nexthop.gateway6)
                                         : number_of(walk, nexthop.attachment, nexthop.gateway4);
        if (found != Neighbours::kNone)
            walk.tables.neighbour_hints[packet.nexthop.index()].store(found, std::memory_order_relaxed);
        return found;
    }
    if (ipv6) return number_of(walk, packet.egress, header_of<Ipv6Address>(packet).destination.address());
    return number_of(walk, packet.egress, Ipv4Address(header_of<Ipv4Address>(packet).destination));
}

// The same, quick for a gateway that was found before: only gateways have hints.
[[gnu::always_inline]] inline std::uint32_t find_neighbour(Walk& walk, const Packet& packet) noexcept {
    const std::uint32_t known = walk.tables.neighbour_hints[packet.nexthop.index()].load(std::memory_order_relaxed);
    return known != Tables::kNoHint ? known : look_for_neighbour(walk, packet);
}

void to_outbox(Walk& walk, const Packet& packet, PortId port) noexcept {
    Outbox& outbox = walk.worker.outbox[port.index()];
    outbox.frames[outbox.count++] = packet.mbuf;
}

// A sealed packet outlives no generation, so whose its egress is cannot change.
void note_egress(const Walk& walk, Packet& packet) noexcept {
    if (!packet.is(Packet::kSealed)) packet.egress_was = walk.tables.attachments[packet.egress.index()].vrf.value();
}

// A neighbour that is not known, or not by its MAC address, is the keeper's to ask; so are the packets that wait for
// it.
void to_keeper(Walk& walk, std::size_t i) noexcept {
    Packet& packet = walk.packets[i];
    packet.mark(Packet::kWaited);
    note_egress(walk, packet);
    if (!packet.is(Packet::kResolved)) packet.generation = Packet::low_bits(walk.tables.generation);
    walk.hand_over(i, Team::kKeeper, Entry::depart);
}

void no_neighbour(Walk& walk, std::size_t i) noexcept {
    if (walk.worker.is_keeper()) return walk.drop(i, DropReason::neighbour_table_full);
    to_keeper(walk, i);
}

void hold(Walk& walk, std::size_t i) noexcept {
    Packet& packet = walk.packets[i];
    packet.mark(Packet::kResolved);
    packet.generation = Packet::low_bits(walk.worker.neighbours.version(packet.neighbour));
    if (!walk.worker.is_keeper()) return to_keeper(walk, i);
    packet.mark(Packet::kWaited);
    note_egress(walk, packet);
    switch (walk.worker.neighbours.hold(packet.neighbour, packet, walk.origin, walk.now)) {
        case Neighbours::HoldOutcome::held_and_ask:
            ++walk.account.held;
            return ask_neighbour(walk, walk.worker.neighbours.question(packet.neighbour));
        case Neighbours::HoldOutcome::held: ++walk.account.held; return;
        case Neighbours::HoldOutcome::full: return walk.drop(i, DropReason::neighbour_hold_full);
        case Neighbours::HoldOutcome::unresolved: return walk.drop(i, DropReason::neighbour_unresolved);
    }
}

// Marks of packets that did not come here by fit, in this walk.
constexpr std::uint32_t kNotFromFit = Packet::kLinkReady | Packet::kResolved | Packet::kOwn | Packet::kWaited;

// A packet that waited is of an earlier generation: its attachment may be closed or gone by now, or its agreement.
std::optional<DropReason> reason_not_to_leave(const Walk& walk, const Packet& packet) noexcept {
    const Tables& tables = walk.tables;
    if (packet.egress.index() >= tables.attachments.size() || !tables.attachments[packet.egress.index()].open)
        return DropReason::egress_closed;
    // By name the same attachment, and a tunnel by now.
    if (tables.attachments[packet.egress.index()].tunnel != TunnelId()) return DropReason::sa_missing;
    if (!packet.is(Packet::kWaited)) return std::nullopt;
    // It names a nexthop of tables that may not be these, or a neighbour that may have been forgotten.
    const std::uint64_t names_of =
        packet.is(Packet::kResolved) ? walk.worker.neighbours.version(packet.neighbour) : tables.generation;
    if (packet.generation != Packet::low_bits(names_of)) return DropReason::handover_stale;
    return reason_to_stay(tables, packet);
}

// The member of the group by this attachment; kNoRow: none is.
lpm::Row member_on(const Tables& tables, const NexthopGroup& group, AttachmentId attachment) noexcept {
    for (std::size_t m = 0; m < group.size(); ++m) {
        const NexthopId id = group.member(m).nexthop;
        if (tables.nexthops[id.index()].attachment == attachment) return id.value();
    }
    return lpm::kNoRow;
}

// `where` of the VRF says the way; it must be by the attachment that the packet belongs to. kNoRow: there is none.
template <class Address>
lpm::Row way_back(const Walk& walk, const Packet& packet) noexcept {
    const Address destination = address_of(header_of<Address>(packet).destination);
    const lpm::Row row = walk.tables.family<Address>().where.find(packet.vrf.value(), destination);
    if (row == lpm::kNoRow) return lpm::kNoRow;
    if (walk.tables.nexthops[row].kind == Nexthop::Kind::group)
        return member_on(walk.tables, walk.tables.groups[walk.tables.nexthops[row].group], packet.attachment);
    const Nexthop& nexthop = walk.tables.nexthops[row];
    if (nexthop.kind == Nexthop::Kind::blackhole || nexthop.attachment != packet.attachment) return lpm::kNoRow;
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    const bool nobody = is_broadcast(attachment, destination) || is_own(attachment, destination);
    return nexthop.kind == Nexthop::Kind::connected && nobody ? lpm::kNoRow : row;
}

}  // namespace

void route_back(Walk& walk, const Lane& in, Lane& routed, Lane& tunnelled) noexcept {
    for (const std::size_t i : in) {
        Packet& packet = walk.packets[i];
        packet.egress = packet.attachment;
        packet.unmark(Packet::kReturn);
        packet.mark(Packet::kOwn);
        if (packet.egress.index() >= walk.tables.attachments.size()) {
            walk.drop(i, DropReason::egress_closed);
            continue;
        }
        const bool is_tunnel = walk.tables.attachments[packet.egress.index()].tunnel != TunnelId();
        if (packet.is(Packet::kIpv6) && !is_tunnel) {
            const Ipv6Address destination = header_of<Ipv6Address>(packet).destination.address();
            if (destination.is_link_local()) {  // never routed: a neighbour on the link it came by
                packet.neighbour = number_of(walk, packet.egress, destination);
                if (packet.neighbour == Neighbours::kNone) {
                    packet.mark(Packet::kReturn);  // a keeper who gets it looks for its way back itself
                    no_neighbour(walk, i);
                    continue;
                }
                packet.mark(Packet::kResolved);
                packet.generation = Packet::low_bits(walk.worker.neighbours.version(packet.neighbour));
                routed.add(i);
                continue;
            }
        }
        const lpm::Row row =
            packet.is(Packet::kIpv6) ? way_back<Ipv6Address>(walk, packet) : way_back<Ipv4Address>(walk, packet);
        if (row == lpm::kNoRow) {
            walk.drop(i, DropReason::no_return_path);
            continue;
        }
        packet.nexthop = NexthopId(row);
        (is_tunnel ? tunnelled : routed).add(i);
    }
}

namespace {

// A packet that did not come here by fit in this walk, before what all others need: false, and it ends here.
[[gnu::noinline]] bool goes_on(Walk& walk, std::size_t i) noexcept {
    const Packet& packet = walk.packets[i];
    if (const auto reason = reason_not_to_leave(walk, packet)) {
        walk.drop(i, *reason);
        return false;
    }
    if (!packet.is(Packet::kLinkReady)) return true;
    to_outbox(walk, packet, walk.tables.attachments[packet.egress.index()].port);
    return false;
}

template <bool kInFragments>
void leave(Walk& walk, const Lane& in) noexcept {
    for (const std::size_t i : in) {
        Packet& packet = walk.packets[i];
        const bool is_from_fit = !packet.is(kNotFromFit);
        if (!is_from_fit && !goes_on(walk, i)) continue;
        const Attachment& egress = walk.tables.attachments[packet.egress.index()];
        if (is_from_fit || !packet.is(Packet::kResolved)) {
            packet.neighbour = find_neighbour(walk, packet);
            if (packet.neighbour == Neighbours::kNone) {
                no_neighbour(walk, i);
                continue;
            }
        }
        const Neighbours::Link link = walk.worker.neighbours.link(packet.neighbour);
        if (link.state() != Neighbours::State::reachable) {
            if (!link.is_known()) {
                hold(walk, i);
                continue;
            }
            if (link.state() == Neighbours::State::stale) walk.worker.neighbours.mark_used(packet.neighbour);
        }
        if (!write_link(packet, egress, link.mac_bits(),
                        packet.is(Packet::kIpv6) ? EtherType::ipv6 : EtherType::ipv4)) {
            walk.drop(i, DropReason::no_room);
            continue;
        }
        if (kInFragments && packet.l3_length > egress.mtu) {  // while it waited, the MTU may have grown
            if (const auto reason = send_in_fragments(walk, packet, egress.port, egress.mtu)) walk.drop(i, *reason);
            continue;
        }
        to_outbox(walk, packet, egress.port);
    }
}

}  // namespace

void depart(Walk& walk, const Lane& in) noexcept {
    leave<false>(walk, in);
}
void depart_in_fragments(Walk& walk, const Lane& in) noexcept {
    leave<true>(walk, in);
}

void retry_neighbours(Walk& walk) noexcept {
    Neighbours& neighbours = walk.worker.neighbours;
    const auto may_ask = [&](AttachmentId attachment) {
        const auto& attachments = walk.tables.attachments;
        return attachment.index() < attachments.size() && attachments[attachment.index()].open &&
               attachments[attachment.index()].tunnel == TunnelId();
    };
    for (const AttachmentId line : walk.tables.lines)
        neighbours.set_reachable_time(line, walk.tables.attachments[line.index()].reachable_time);
    neighbours.tick(
        walk.now, walk.worker.resume[walk.origin.index()].room(),
        [&](const Neighbours::Question& question) noexcept {
            if (may_ask(question.attachment)) ask_neighbour(walk, question);
        },
        [&](Neighbours::Held& held) noexcept {
            PortCounters& account = walk.worker.counters.ports[held.origin.index()];
            --account.held;
            ++account.dropped[static_cast<std::size_t>(DropReason::neighbour_unresolved)];
            rte_pktmbuf_free(held.packet.mbuf);
        });
}

}  // namespace sekisho::dataplane

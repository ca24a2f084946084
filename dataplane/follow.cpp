// Stage 3 for fragments, follow: a later fragment takes the ports, flags or type of its datagram's first one, and goes
// on to admit as if they were its own; before the first one has come, it waits.
//
// RFC 791 §3.2, RFC 8200 §4.5. Every fragment is judged by the tables of its own walk, so a gate that closes or a
// generation that comes between two of them counts for the second. No byte of a datagram passes twice, and a datagram
// whose fragments contradict each other goes no further (RFC 5722, RFC 1858): what an agreement was asked about is what
// the receiver gets. A source that may not send here leaves nothing behind.
#include <optional>

#include "dataplane/admit.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

using Datagram = Fragments::Datagram;
using State = Fragments::State;

Fragments::Key key_of(const Packet& packet, const FragmentPlace& place, const Ipv4Header& header) noexcept {
    const auto mapped = [](Be32 wire) { return Ipv6Address(0, 0xffff'0000'0000ULL | wire.to_host()); };
    return {mapped(header.source), mapped(header.destination), place.identification, packet.attachment, packet.vrf,
            header.protocol};
}
Fragments::Key key_of(const Packet& packet, const FragmentPlace& place, const Ipv6Header& header) noexcept {
    return {
        header.source.address(), header.destination.address(), place.identification, packet.attachment, packet.vrf, 0};
}

// The silent half of admit, for packets that would take a place in the table.
template <class Address>
std::optional<DropReason> reason_of_source(const Tables& tables, const Packet& packet) noexcept {
    const FamilyTables<Address>& family = tables.family<Address>();
    const Address source = address_of(header_of<Address>(packet).source);
    const lpm::Row who = family.who.find(packet.vrf.value(), source);
    if (who == lpm::kNoRow) return reason_of_unknown_source(family, source);
    if (!tables.attachment_sets.has(family.who_rows[who].attachments, packet.attachment))
        return DropReason::source_elsewhere;
    return std::nullopt;
}

void drop_held(Walk& walk, Fragments::Held& held, DropReason reason) noexcept {
    PortCounters& account = walk.worker.counters.ports[held.origin.index()];
    --account.held;
    ++account.dropped[static_cast<std::size_t>(reason)];
    rte_pktmbuf_free(held.packet.mbuf);
}

// Nothing more of this datagram passes.
void refuse_all(Walk& walk, Datagram& datagram, DropReason reason) noexcept {
    Fragments& fragments = walk.worker.fragments;
    datagram.reason = reason;
    fragments.release(datagram, [&](Fragments::Held& held) noexcept { drop_held(walk, held, reason); });
    fragments.settle(datagram, State::refused, walk.now);
}

void learn(Datagram& datagram, const Packet& first) noexcept {
    datagram.protocol = first.protocol;
    datagram.l4_type = first.l4_type;
    datagram.l4_known = first.is(Packet::kL4Known);
    datagram.source_port = first.source_port;
    datagram.destination_port = first.destination_port;
}
void take_after_first(const Datagram& datagram, Packet& later) noexcept {
    later.protocol = datagram.protocol;
    later.l4_type = datagram.l4_type;
    later.source_port = datagram.source_port;
    later.destination_port = datagram.destination_port;
    if (datagram.l4_known) later.mark(Packet::kL4Known);
}

// What waited for this datagram's first fragment joins the next walk of the port that it came by, at admit.
void let_go(Walk& walk, Datagram& datagram) noexcept {
    walk.worker.fragments.release(datagram, [&](Fragments::Held& held) noexcept {
        take_after_first(datagram, held.packet);
        held.packet.mark(Packet::kFollowing);
        if (!walk.worker.resume[held.origin.index()].push(held.packet))
            drop_held(walk, held, DropReason::fragment_hold_full);
    });
}

template <class Address>
void follow_one(Walk& walk, std::size_t i, Lane& known) noexcept {
    Fragments& fragments = walk.worker.fragments;
    Packet& packet = walk.packets[i];
    const FragmentPlace& place = walk.worker.places[i];
    const bool first = !packet.is(Packet::kLaterFragment);

    // 1. The datagram.
    const Fragments::Key key = key_of(packet, place, header_of<Address>(packet));
    Datagram* datagram = fragments.find(key);
    if (datagram == nullptr)
        if (const auto reason = reason_of_source<Address>(walk.tables, packet)) return walk.drop(i, *reason);
    const bool waits = !first && (datagram == nullptr || datagram->state == State::waiting);
    if (waits && !fragments.may_hold(packet.attachment)) return walk.drop(i, DropReason::fragment_hold_full);
    if (datagram == nullptr) datagram = fragments.add(key, walk.now);
    if (datagram == nullptr) return walk.drop(i, DropReason::fragment_table_full);
    if (datagram->state == State::refused) return walk.drop(i, datagram->reason);

    // 2. Its bytes are new.
    switch (datagram->coverage.add(place.begin, place.end, place.last)) {
        case Coverage::Outcome::known: return walk.drop(i, DropReason::fragment_duplicate);
        case Coverage::Outcome::scattered: return walk.drop(i, DropReason::fragment_scattered);
        case Coverage::Outcome::overlaps:
            refuse_all(walk, *datagram, DropReason::fragment_overlap);
            return walk.drop(i, DropReason::fragment_overlap);
        case Coverage::Outcome::added: break;
    }

    // 3. It says what the others belong to, or follows, or waits.
    if (waits) {
        fragments.hold(*datagram, packet, walk.origin);
        ++walk.account.held;
        return;
    }
    if (packet.is(Packet::kIcmpError)) {  // first: its quote would have to be translated with the rest of it
        refuse_all(walk, *datagram, DropReason::fragment_of_error);
        return walk.drop(i, DropReason::fragment_of_error);
    }
    if (first) {
        learn(*datagram, packet);
        let_go(walk, *datagram);
    } else {
        take_after_first(*datagram, packet);
    }
    known.add(i);
    if (datagram->coverage.complete())
        fragments.forget(*datagram);
    else
        fragments.settle(*datagram, State::known, walk.now);
}

}  // namespace

template <class Address>
void follow(Walk& walk, const Lane& in, Lane& known) noexcept {
    for (const std::size_t i : in) follow_one<Address>(walk, i, known);
}

void expire_fragments(Walk& walk) noexcept {
    walk.worker.fragments.expire(
        walk.now, [&](Fragments::Held& held) noexcept { drop_held(walk, held, DropReason::fragment_without_first); });
}

template void follow<Ipv4Address>(Walk&, const Lane&, Lane&) noexcept;
template void follow<Ipv6Address>(Walk&, const Lane&, Lane&) noexcept;

}  // namespace sekisho::dataplane

// Stage 4 for ICMP errors: admitted by what they quote, turned round (RFC 5508 §4.2, and the hub's own order).
//
// An error arrives from operator space, to a hub-space address, about a packet that the hub delivered there: quoted
// source is the hub-space sender, quoted destination the operator-space receiver. It passes if the outer destination is
// the quoted source and if a packet from the quoted destination to the quoted source, ports swapped, would pass from
// this attachment, the tests of flags and of replies left out. An outer source in hub space that is not its operator's
// own is a spoof; one that no map covers (a router inside the operator) will leave with the hub address of the quoted
// destination.
#include "dataplane/admit.hpp"
#include "dataplane/behind.hpp"
#include "dataplane/quote.hpp"
#include "dataplane/recall.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kIcmpSourceQuench = 4;  // RFC 6633: not forwarded
constexpr std::uint8_t kIcmpRedirect = 5;      // RFC 1812 §5.2.7.2: of one link only

// About a packet of a session with an end behind a port block, or of none. By its rewrite the quote becomes what the
// error's receiver has sent. Whoever is behind a block, and is not what the quote tells of, has no hub address: the
// error is from that of the quoted destination.
void admit_error_behind(Walk& walk, std::size_t i, const Quote<Ipv4Header>& quote, lpm::Row reporter,
                        Lane& admitted) noexcept {
    const FamilyTables<Ipv4Address>& family = walk.tables.ipv4;
    Packet& packet = walk.packets[i];
    const auto flow = flow_between(turned_round(quote.fields), packet.vrf, family.who_rows[packet.who_row],
                                   address_of(quote.header->destination), family.hub_rows[packet.hub_row],
                                   address_of(quote.header->source));
    if (const WorkerId owner = owner_of(walk, flow, family.who_rows[packet.who_row], family.hub_rows[packet.hub_row]);
        owner != walk.worker.self)
        return walk.hand_over(i, owner, Entry::parse);
    const nat::Slot slot = session_of(walk, flow);
    if (slot == nat::kNoSlot) return walk.drop(i, DropReason::icmp_error_unmatched);
    const auto& rewrite = walk.worker.tracker.of<Ipv4Address>()[slot].rewrite;
    if (const auto reason = take_rewrite(walk, i, rewrite)) return walk.drop(i, *reason);
    if (reporter == lpm::kNoRow || family.who_rows[reporter].is_behind())
        packet.mark(Packet::kRouterError);
    else
        packet.who_row = reporter;
    admitted.add(i);
}

template <class Address>
void admit_error(Walk& walk, std::size_t i, Lane& admitted) noexcept {
    const Tables& tables = walk.tables;
    const FamilyTables<Address>& family = tables.family<Address>();
    Packet& packet = walk.packets[i];
    const auto& header = header_of<Address>(packet);
    if (Address::kFamily == Family::ipv4 && (packet.l4_type == kIcmpSourceQuench || packet.l4_type == kIcmpRedirect))
        return walk.drop(i, DropReason::icmp_refused);
    const auto quote = read_quote<Address>(packet);
    if (!quote || quote->is_icmp_error) return walk.drop(i, DropReason::icmp_error_malformed);

    // 1. Whose packet is it about: (quoted destination -> quoted source) from this attachment.
    const lpm::TableId vrf = packet.vrf.value();
    const Address receiver = address_of(quote->header->destination);
    const Address sender = address_of(quote->header->source);
    const Address outer_source = address_of(header.source);
    if (address_of(header.destination) != sender) return walk.drop(i, DropReason::icmp_error_unmatched);
    const lpm::Row who = family.who.find(vrf, receiver);
    const lpm::Row hub = family.hub.find(lpm::TableId{0}, sender);
    if (who == lpm::kNoRow || hub == lpm::kNoRow) return walk.drop(i, DropReason::icmp_error_unmatched);

    // 2. Who sends the error.
    const lpm::Row reporter = family.who.find(vrf, outer_source);
    if (reporter == lpm::kNoRow) {
        const DropReason reason = reason_of_unknown_source(family, outer_source);
        if (reason != DropReason::source_unknown) return walk.drop(i, reason);
        packet.mark(Packet::kRouterError);
    } else if (!tables.attachment_sets.has(family.who_rows[reporter].attachments, packet.attachment)) {
        return walk.drop(i, DropReason::source_elsewhere);
    }

    // 3. The cell and the gates, as for any packet.
    const WhoRow<Address>& source = family.who_rows[who];
    const HubRow<Address>& destination = family.hub_rows[hub];
    if (!tables.attachment_sets.has(source.attachments, packet.attachment))
        return walk.drop(i, DropReason::source_elsewhere);
    const bool reporter_closed = reporter != lpm::kNoRow && tables.is_closed(family.who_rows[reporter].institution);
    const bool destination_closed = !destination.is_pool() && tables.is_closed(destination.institution);
    if (reporter_closed || tables.is_closed(source.institution) || destination_closed)
        return walk.drop(i, DropReason::institution_closed);
    if constexpr (Address::kFamily == Family::ipv4)
        if (source.is_behind() || destination.is_pool()) {
            packet.who_row = who;
            packet.hub_row = hub;
            return admit_error_behind(walk, i, *quote, reporter, admitted);
        }
    const Permissions::Index permission =
        tables.matrices[packet.vrf.index()].cell(source.matrix_row, destination.group);
    if (!may_have_been_sent(tables, permission, turned_round(quote->fields))) {
        if (!tables.tracks) return walk.drop(i, DropReason::icmp_error_unmatched);
        // 4. Or it is about a packet of a session. It neither opens, ends nor renews one (RFC 5508 §4.2).
        const auto flow = flow_of(quote->fields, sender, source.to_hub.apply(receiver));
        if (const WorkerId owner = owner_of(walk, flow, source, destination); owner != walk.worker.self)
            return walk.hand_over(i, owner, Entry::parse);
        if (session_of(walk, flow) == nat::kNoSlot) return walk.drop(i, DropReason::icmp_error_unmatched);
    }

    packet.who_row = packet.is(Packet::kRouterError) ? who : reporter;
    packet.hub_row = hub;
    admitted.add(i);
}

}  // namespace

template <class Address>
void admit_errors(Walk& walk, const Lane& in, Lane& admitted) noexcept {
    for (const std::size_t i : in) admit_error<Address>(walk, i, admitted);
}

template void admit_errors<Ipv4Address>(Walk&, const Lane&, Lane&) noexcept;
template void admit_errors<Ipv6Address>(Walk&, const Lane&, Lane&) noexcept;

}  // namespace sekisho::dataplane

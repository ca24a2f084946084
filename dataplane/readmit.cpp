// A packet that waited for a neighbour is admitted again before it leaves: a generation may have come in between.
//
// By then it is translated, so it is looked up as the answer to it would be: its destination in `who` of the VRF that
// it leaves to, its source in `hub`, the cell turned round, as for the quote of an ICMP error. Only packets that waited
// come here. No error is made: the sender's packet is no longer there to be quoted. One that is sealed, or was
// rewritten by its session, cannot be looked up any more, and does not outlive the generation in which it was.
#include "dataplane/admit.hpp"
#include "dataplane/recall.hpp"

namespace sekisho::dataplane {
namespace {

template <class Address>
std::optional<DropReason> reason_to_stay(const Tables& tables, const Packet& packet) noexcept {
    const FamilyTables<Address>& family = tables.family<Address>();
    const auto& header = header_of<Address>(packet);
    const lpm::Row who = family.who.find(packet.egress_vrf().value(), address_of(header.destination));
    const lpm::Row hub = family.hub.find(lpm::TableId{0}, address_of(header.source));
    if (who == lpm::kNoRow || hub == lpm::kNoRow) return DropReason::no_agreement;
    const WhoRow<Address>& receiver = family.who_rows[who];
    const HubRow<Address>& sender = family.hub_rows[hub];
    if (sender.vrf != packet.vrf) return DropReason::no_agreement;
    if (tables.is_closed(receiver.institution) || tables.is_closed(sender.institution))
        return DropReason::institution_closed;
    if (packet.is(Packet::kIcmpError)) return std::nullopt;  // it was admitted by its quote, not by a cell of its own
    const Permissions::Index permission =
        tables.matrices[packet.egress_vrf().index()].cell(receiver.matrix_row, sender.group);
    if (may_have_been_sent(tables, permission, turned_round(packet))) return std::nullopt;
    // It was of a session a moment ago, which another worker may have: what can have changed is the agreement.
    const Address to = receiver.to_hub.apply(address_of(header.destination));
    const Address from = address_of(header.source);
    if (tables.tracks && (is_tracked(tables, flow_of(packet, from, to).key, nat::Direction::forward) ||
                          is_tracked(tables, flow_of(packet, from, to).key, nat::Direction::reverse)))
        return std::nullopt;
    return DropReason::no_agreement;
}

// Of a packet that is sealed only its rows tell who is in it, and only in the generation that it was sealed in.
template <class Address>
bool is_closed(const Tables& tables, const Packet& packet) noexcept {
    const FamilyTables<Address>& family = tables.family<Address>();
    return tables.is_closed(family.hub_rows[packet.hub_row].institution) ||
           tables.is_closed(family.who_rows[packet.who_row].institution);
}
std::optional<DropReason> reason_for_sealed_to_stay(const Tables& tables, const Packet& packet) noexcept {
    if (packet.decided_in != Packet::low_bits(tables.generation)) return DropReason::handover_stale;
    if (!tables.attachments[packet.tunnelled().index()].open) return DropReason::egress_closed;
    if (packet.is(Packet::kOwn)) return std::nullopt;
    if (packet.is(Packet::kSealedIpv6) ? is_closed<Ipv6Address>(tables, packet)
                                       : is_closed<Ipv4Address>(tables, packet))
        return DropReason::institution_closed;
    return std::nullopt;
}

// Nor can one that a session has rewritten: the worker that has the session may be another.
std::optional<DropReason> reason_for_rewritten_to_stay(const Tables& tables, const Packet& packet) noexcept {
    if (packet.decided_in != Packet::low_bits(tables.generation)) return DropReason::handover_stale;
    if (is_closed<Ipv4Address>(tables, packet)) return DropReason::institution_closed;
    return std::nullopt;
}

}  // namespace

std::optional<DropReason> reason_to_stay(const Tables& tables, const Packet& packet) noexcept {
    const Attachment& egress = tables.attachments[packet.egress.index()];
    if (packet.is(Packet::kSealed)) return reason_for_sealed_to_stay(tables, packet);
    if (egress.vrf != packet.egress_vrf()) return DropReason::egress_closed;
    if (packet.is(Packet::kOwn)) return std::nullopt;
    if (egress.underlay) return DropReason::underlay_plain;
    if (packet.is(Packet::kBySession)) return reason_for_rewritten_to_stay(tables, packet);
    return packet.is(Packet::kIpv6) ? reason_to_stay<Ipv6Address>(tables, packet)
                                    : reason_to_stay<Ipv4Address>(tables, packet);
}

}  // namespace sekisho::dataplane

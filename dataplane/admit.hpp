// What the rooms of the path share about addresses: where they lie in a header, what they are on an attachment, and for
// the two of stage 4, admit and admit_errors, the reasons for which either end fails.
#pragma once

#include <optional>
#include <utility>

#include "dataplane/walk.hpp"
#include "lpm/types.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

// The IP header of a packet of that family; parse has found it whole.
template <class Address>
struct FamilyHeader;
template <>
struct FamilyHeader<Ipv4Address> {
    using type = Ipv4Header;
};
template <>
struct FamilyHeader<Ipv6Address> {
    using type = Ipv6Header;
};
template <class Address>
typename FamilyHeader<Address>::type& header_of(const Packet& packet) noexcept {
    return *reinterpret_cast<typename FamilyHeader<Address>::type*>(packet.l3);
}
inline Ipv4Address address_of(Be32 wire) noexcept {
    return Ipv4Address(wire);
}
inline Ipv6Address address_of(const Ipv6Wire& wire) noexcept {
    return wire.address();
}

// TTL or hop limit.
inline std::uint8_t ttl_of(const Ipv4Header& header) noexcept {
    return header.ttl;
}
inline std::uint8_t ttl_of(const Ipv6Header& header) noexcept {
    return header.hop_limit;
}

// Whether the address is the hub's own on that attachment.
inline bool is_own(const Attachment& attachment, Ipv4Address address) noexcept {
    return address == attachment.ipv4;
}
inline bool is_own(const Attachment& attachment, const Ipv6Address& address) noexcept {
    return address == attachment.ipv6 || address == attachment.link_local;
}

// Whether a packet to the address would be a broadcast on the attachment's link (RFC 2644).
inline bool is_broadcast(const Attachment& attachment, Ipv4Address address) noexcept {
    const Prefix4& subnet = attachment.subnet4;
    return subnet.length() < 31 && (address == subnet.last() || address == subnet.first());
}
inline bool is_broadcast(const Attachment&, const Ipv6Address&) noexcept {
    return false;
}

// Why a source that `who` does not know is dropped: impossible, a hub-space address that is not the operator's own, or
// of no institution. Silent, all of them.
DropReason reason_of_unknown_source(const FamilyTables<Ipv4Address>& tables, Ipv4Address source) noexcept;
DropReason reason_of_unknown_source(const FamilyTables<Ipv6Address>& tables, const Ipv6Address& source) noexcept;

// Why a destination that `hub` does not know is not forwarded: no_agreement for any that could exist, so that a sender
// cannot tell.
DropReason reason_of_unknown_destination(const Attachment& attachment, Ipv4Address destination) noexcept;
DropReason reason_of_unknown_destination(const Attachment& attachment, const Ipv6Address& destination) noexcept;

// Whether a permission lets a packet pass that an ICMP error is about, turned round: the tests of flags and replies are
// left out.
bool may_have_been_sent(const Tables& tables, Permissions::Index permission, const Packet& quoted) noexcept;

// Where the packet will be: its destination in the space of whoever it goes to.
template <class Address>
Address target_of(const Walk& walk, std::size_t i) noexcept {
    const Packet& packet = walk.packets[i];
    if constexpr (Address::kFamily == Family::ipv4)
        if (packet.is(Packet::kBySession)) return walk.worker.rewrites[i].destination;
    const HubRow<Address>& row = walk.tables.family<Address>().hub_rows[packet.hub_row];
    return row.to_operator.apply(address_of(header_of<Address>(packet).destination));
}

// The answer that a packet would have: ports swapped.
inline Packet turned_round(const Packet& packet) noexcept {
    Packet answer = packet;
    std::swap(answer.source_port, answer.destination_port);
    return answer;
}

// Why a translated packet that has waited since an earlier walk does not leave now; nullopt: it may. Its egress is an
// attachment of these tables.
std::optional<DropReason> reason_to_stay(const Tables& tables, const Packet& packet) noexcept;

}  // namespace sekisho::dataplane

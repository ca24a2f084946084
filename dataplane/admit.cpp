// Stage 4, admit: who is asking, where to, and may they.
//
// Two batch lookups, `who` by source and `hub` by destination; then one matrix cell and two gate bits a packet. A
// source that is not its operator's dies silently; what only a session could let pass is left to recall; a missing
// agreement gives 3/13 (IPv6 1/1), the same whether or not the destination exists. Nothing is rewritten here: errors
// quote the packet as its sender sent it.
#include "dataplane/admit.hpp"

#include <algorithm>

#include "dataplane/flow.hpp"
#include "dataplane/icmp_error.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

template <class Address>
bool in_hub_space(const FamilyTables<Address>& tables, const Address& address) noexcept {
    return std::any_of(tables.hub_space.begin(), tables.hub_space.end(),
                       [&](const auto& pool) { return pool.contains(address); });
}

// What a permission says to a packet.
enum class Verdict : std::uint8_t { passes, no_agreement, not_a_reply, icmp_refused };

// The class of an ICMP message: echo has one, nothing else passes here.
Verdict judge_icmp(const Permissions& permissions, Permissions::Index permission, std::uint8_t type,
                   std::uint8_t request, std::uint8_t reply) noexcept {
    if (type == request) {
        if (permissions.forward(permission, kEchoClass)) return Verdict::passes;
        return permissions.reverse(permission, kEchoClass) ? Verdict::not_a_reply : Verdict::no_agreement;
    }
    if (type != reply) return Verdict::icmp_refused;
    return permissions.reverse(permission, kEchoClass) ? Verdict::passes : Verdict::no_agreement;
}

[[gnu::always_inline]] inline Verdict judge(const Tables& tables, Permissions::Index permission,
                                            const Packet& packet) noexcept {
    const Permissions& permissions = tables.permissions;
    if (permission == Permissions::kNothing) return Verdict::no_agreement;
    if (!packet.is(Packet::kL4Known)) {
        const bool passes =
            permissions.forward(permission, kOtherClass) || permissions.reverse(permission, kOtherClass);
        return passes ? Verdict::passes : Verdict::no_agreement;
    }
    const std::uint16_t to = packet.destination_port.value();
    const std::uint16_t from = packet.source_port.value();
    const Permissions::Sets sets = permissions[permission];
    switch (packet.protocol) {
        case kProtocolTcp:
            if (sets.forward(tables.tcp_classes.of(to))) return Verdict::passes;
            if (!sets.reverse(tables.tcp_classes.of(from))) return Verdict::no_agreement;
            return (packet.l4_type & (kTcpAck | kTcpRst)) != 0 ? Verdict::passes : Verdict::not_a_reply;
        case kProtocolUdp: {
            const bool passes = sets.forward(tables.udp_classes.of(to)) || sets.reverse(tables.udp_classes.of(from));
            return passes ? Verdict::passes : Verdict::no_agreement;
        }
        case kProtocolIcmp:
            return judge_icmp(permissions, permission, packet.l4_type, kIcmpEchoRequest, kIcmpEchoReply);
        default: return judge_icmp(permissions, permission, packet.l4_type, kIcmpv6EchoRequest, kIcmpv6EchoReply);
    }
}

// From or to an institution behind a port block: only a session says who it is, or to whom.
void leave_to_recall(Walk& walk, std::size_t i, Lane& unsettled) noexcept {
    const Packet& packet = walk.packets[i];
    if (packet.protocol == kProtocolIcmp && !is_icmp_echo(kProtocolIcmp, packet.l4_type))
        return walk.drop(i, DropReason::icmp_refused);
    walk.reasons[i] = DropReason::no_agreement;
    unsettled.add(i);
}

// Of a pool's address nobody knows yet whose it is.
template <class Address>
bool is_closed(const Tables& tables, const HubRow<Address>& destination) noexcept {
    return !destination.is_pool() && tables.is_closed(destination.institution);
}

}  // namespace

DropReason reason_of_unknown_source(const FamilyTables<Ipv4Address>& tables, Ipv4Address source) noexcept {
    if (source.is_this_network() || source.is_loopback() || source.is_multicast() || source.is_reserved())
        return DropReason::martian_source;
    if (source.is_link_local()) return DropReason::link_local;
    return in_hub_space(tables, source) ? DropReason::source_spoofed : DropReason::source_unknown;
}
DropReason reason_of_unknown_source(const FamilyTables<Ipv6Address>& tables, const Ipv6Address& source) noexcept {
    if (source.is_unspecified() || source.is_loopback() || source.is_multicast() || source.is_mapped_ipv4())
        return DropReason::martian_source;
    if (source.is_link_local()) return DropReason::link_local;
    return in_hub_space(tables, source) ? DropReason::source_spoofed : DropReason::source_unknown;
}

DropReason reason_of_unknown_destination(const Attachment& attachment, Ipv4Address destination) noexcept {
    if (destination.is_multicast()) return DropReason::multicast;
    if (destination.is_this_network() || destination.is_loopback() || destination.is_reserved())
        return DropReason::martian_destination;
    if (destination.is_link_local()) return DropReason::link_local;
    const Prefix4& subnet = attachment.subnet4;
    return subnet.length() < 31 && destination == subnet.last() ? DropReason::directed_broadcast
                                                                : DropReason::no_agreement;
}
DropReason reason_of_unknown_destination(const Attachment&, const Ipv6Address& destination) noexcept {
    if (destination.is_multicast()) return DropReason::multicast;
    if (destination.is_unspecified() || destination.is_loopback() || destination.is_mapped_ipv4())
        return DropReason::martian_destination;
    return destination.is_link_local() ? DropReason::link_local : DropReason::no_agreement;
}

bool may_have_been_sent(const Tables& tables, Permissions::Index permission, const Packet& quoted) noexcept {
    const Permissions& permissions = tables.permissions;
    const auto either = [&](PortClass to, PortClass from) {
        return permissions.forward(permission, to) || permissions.reverse(permission, from);
    };
    if (!quoted.is(Packet::kL4Known)) return either(kOtherClass, kOtherClass);
    const std::uint16_t to = quoted.destination_port.value();
    const std::uint16_t from = quoted.source_port.value();
    if (quoted.protocol == kProtocolTcp) return either(tables.tcp_classes.of(to), tables.tcp_classes.of(from));
    if (quoted.protocol == kProtocolUdp) return either(tables.udp_classes.of(to), tables.udp_classes.of(from));
    // Of ICMP, the hub forwards echo only: nothing else can be quoted.
    const bool echo = quoted.protocol == kProtocolIcmp
                          ? quoted.l4_type == kIcmpEchoRequest || quoted.l4_type == kIcmpEchoReply
                          : quoted.l4_type == kIcmpv6EchoRequest || quoted.l4_type == kIcmpv6EchoReply;
    return echo && either(kEchoClass, kEchoClass);
}

template <class Address>
void admit(Walk& walk, const Lane& in, AdmitOut out) noexcept {
    using Key = typename lpm::KeyOf<Address>::type;
    const Tables& tables = walk.tables;
    const FamilyTables<Address>& family = tables.family<Address>();
    std::array<Key, kWalkPackets> sources;
    std::array<Key, kWalkPackets> destinations;
    std::array<lpm::Row, kWalkPackets> who;
    std::array<lpm::Row, kWalkPackets> hub;

    // 1. One pass over the headers.
    const std::size_t count = in.size();
    if (count == 0) return;
    const VrfId vrf = walk.packets[in[0]].vrf;
    bool one_vrf = true;
    for (std::size_t n = 0; n < count; ++n) {
        const Packet& packet = walk.packets[in[n]];
        const auto& header = header_of<Address>(packet);
        one_vrf &= packet.vrf == vrf;
        sources[n] = lpm::KeyOf<Address>::of(address_of(header.source));
        destinations[n] = lpm::KeyOf<Address>::of(address_of(header.destination));
    }
    // 2. Who is asking. 3. Where it wants to go.
    if (one_vrf) {  // a port with one line, or one operator's
        family.who.find(vrf.value(), sources.data(), who.data(), count);
    } else {
        std::array<lpm::TableId, kWalkPackets> vrfs;
        for (std::size_t n = 0; n < count; ++n) vrfs[n] = walk.packets[in[n]].vrf.value();
        family.who.find(vrfs.data(), sources.data(), who.data(), count);
    }
    family.hub.find(lpm::TableId{0}, destinations.data(), hub.data(), count);
    const WhoRow<Address>* const who_rows = family.who_rows.data();
    const HubRow<Address>* const hub_rows = family.hub_rows.data();
    // 4. The cells. Loops of their own, for what a load waits for is then other packets', and short ones overlap: in a
    // large table no row is in the cache, and a prefetch of each would be forgotten (net/prefetch.hpp).
    std::array<std::uint16_t, kWalkPackets> matrix_rows;
    std::array<std::uint16_t, kWalkPackets> groups;
    for (std::size_t n = 0; n < count; ++n)
        if (who[n] != lpm::kNoRow) [[likely]]
            matrix_rows[n] = who_rows[who[n]].matrix_row;
    for (std::size_t n = 0; n < count; ++n)
        if (hub[n] != lpm::kNoRow) [[likely]]
            groups[n] = hub_rows[hub[n]].group;
    std::array<Permissions::Index, kWalkPackets> cells;
    const auto find_cells = [&](const auto& matrix_of) {
        for (std::size_t n = 0; n < count; ++n)
            if (who[n] != lpm::kNoRow && hub[n] != lpm::kNoRow) [[likely]]
                cells[n] = matrix_of(n).cell(matrix_rows[n], groups[n]);
    };
    if (one_vrf)
        find_cells([matrix = Matrix::Finder(tables.matrices[vrf.index()])](std::size_t) { return matrix; });
    else
        find_cells([&](std::size_t n) { return Matrix::Finder(tables.matrices[walk.packets[in[n]].vrf.index()]); });

    // 5. May it pass.
    const bool gates = tables.any_institution_closed;
    const bool pools = !tables.port_pools.empty();
    for (std::size_t n = 0; n < count; ++n) {
        const std::size_t i = in[n];
        Packet& packet = walk.packets[i];
        if (who[n] == lpm::kNoRow) {
            walk.drop(i, reason_of_unknown_source(family, address_of(header_of<Address>(packet).source)));
            continue;
        }
        const WhoRow<Address>& source = who_rows[who[n]];
        if (!tables.attachment_sets.has(source.attachments, packet.attachment)) {
            walk.drop(i, DropReason::source_elsewhere);
            continue;
        }
        if (hub[n] == lpm::kNoRow) {
            const Attachment& attachment = tables.attachments[packet.attachment.index()];
            const DropReason reason =
                reason_of_unknown_destination(attachment, address_of(header_of<Address>(packet).destination));
            if (reason == DropReason::no_agreement)
                refuse(walk, i, reason, IcmpError::admin_prohibited);
            else
                walk.drop(i, reason);
            continue;
        }
        const HubRow<Address>& destination = hub_rows[hub[n]];
        if (gates && (tables.is_closed(source.institution) || is_closed(tables, destination))) {
            refuse(walk, i, DropReason::institution_closed, IcmpError::admin_prohibited);
            continue;
        }
        packet.who_row = who[n];
        packet.hub_row = hub[n];
        if (pools && (source.is_behind() || destination.is_pool())) {
            leave_to_recall(walk, i, out.unsettled);
            continue;
        }
        const Verdict verdict = judge(tables, cells[n], packet);
        if (verdict == Verdict::passes) [[likely]] {
            out.admitted.add(i);
        } else if (verdict == Verdict::icmp_refused) {
            walk.drop(i, DropReason::icmp_refused);
        } else {
            DropReason reason = verdict == Verdict::not_a_reply ? DropReason::not_a_reply : DropReason::no_agreement;
            if (tables.tracks) {
                if (lets_open<Address>(tables, cells[n], packet.protocol, packet.destination_port.value()))
                    reason = DropReason::no_session;
                walk.reasons[i] = reason;
                out.unsettled.add(i);
            } else {
                refuse(walk, i, reason, IcmpError::admin_prohibited);
            }
        }
    }
}

template void admit<Ipv4Address>(Walk&, const Lane&, AdmitOut) noexcept;
template void admit<Ipv6Address>(Walk&, const Lane&, AdmitOut) noexcept;

}  // namespace sekisho::dataplane

// Stage 5, fit: TTL, the way out, and whether the packet fits through it.
//
// RFC 1812 §5.3.1 and RFC 8200 §3 for the TTL and hop limit, RFC 1191 and RFC 8201 for the MTU. Errors are made before
// any byte is rewritten. The way out is the hub row's nexthop, or, when the row says so, `where` of the egress VRF, in
// one batch.
#include "dataplane/admit.hpp"
#include "dataplane/icmp_error.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

std::uint8_t ttl_of(const Ipv4Header& header) noexcept {
    return header.ttl;
}
std::uint8_t ttl_of(const Ipv6Header& header) noexcept {
    return header.hop_limit;
}

bool may_fragment(const Ipv4Header& header) noexcept {
    return (header.flags_offset.to_host() & kIpv4DontFragment) == 0;
}
bool may_fragment(const Ipv6Header&) noexcept {
    return false;
}  // RFC 8200 §4.5: only by its source

bool serves(const Attachment& attachment, Ipv4Address) noexcept {
    return attachment.serves_ipv4;
}
bool serves(const Attachment& attachment, const Ipv6Address&) noexcept {
    return attachment.serves_ipv6;
}

// The packet's nexthop is known: may it leave by it?
template <class Address>
[[gnu::noinline]] void judge_way_out(Walk& walk, std::size_t i, FitOut out) noexcept {
    const Tables& tables = walk.tables;
    Packet& packet = walk.packets[i];
    const Nexthop& nexthop = tables.nexthops[packet.nexthop.index()];
    if (nexthop.kind == Nexthop::Kind::blackhole) return walk.drop(i, DropReason::blackhole);
    packet.egress = nexthop.attachment;
    const Attachment& egress = tables.attachments[packet.egress.index()];
    if (!egress.open) return refuse(walk, i, DropReason::egress_closed, IcmpError::admin_prohibited);
    if (!serves(egress, Address())) return refuse(walk, i, DropReason::egress_family, IcmpError::admin_prohibited);
    if (nexthop.kind == Nexthop::Kind::connected) {
        const HubRow<Address>& row = tables.family<Address>().hub_rows[packet.hub_row];
        const Address target = row.to_operator.apply(address_of(header_of<Address>(packet).destination));
        if (is_broadcast(egress, target)) return walk.drop(i, DropReason::directed_broadcast);
        if (is_own(egress, target)) return walk.drop(i, DropReason::no_kernel_port);
    }
    if (packet.l3_length > egress.mtu) {
        if (may_fragment(header_of<Address>(packet))) {
            packet.mark(Packet::kTooLong);
            return out.too_long.add(i);
        }
        return refuse(walk, i, DropReason::packet_too_big, IcmpError::too_big, egress.mtu);
    }
    out.fitting.add(i);
}

// The same, quick for what nearly every packet is: short enough for an open attachment, and sent to a gateway.
template <class Address>
[[gnu::always_inline]] inline void check_way_out(Walk& walk, std::size_t i, FitOut out) noexcept {
    Packet& packet = walk.packets[i];
    const Nexthop& nexthop = walk.tables.nexthops[packet.nexthop.index()];
    const Attachment& egress = walk.tables.attachments[nexthop.attachment.index()];
    const bool usual = nexthop.kind == Nexthop::Kind::gateway && egress.open && serves(egress, Address()) &&
                       packet.l3_length <= egress.mtu;
    if (!usual) [[unlikely]]
        return judge_way_out<Address>(walk, i, out);
    packet.egress = nexthop.attachment;
    out.fitting.add(i);
}

}  // namespace

template <class Address>
void fit(Walk& walk, const Lane& in, FitOut out) noexcept {
    using Key = typename lpm::KeyOf<Address>::type;
    const FamilyTables<Address>& family = walk.tables.family<Address>();
    Lane unresolved;
    for (const std::size_t i : in) {
        Packet& packet = walk.packets[i];
        if (ttl_of(header_of<Address>(packet)) <= 1) {
            refuse(walk, i, DropReason::ttl_expired, IcmpError::time_exceeded);
            continue;
        }
        packet.nexthop = family.hub_rows[packet.hub_row].nexthop;
        if (packet.nexthop == kResolve)
            unresolved.add(i);
        else
            check_way_out<Address>(walk, i, out);
    }
    if (unresolved.empty()) return;

    std::array<lpm::TableId, kWalkPackets> vrfs;
    std::array<Key, kWalkPackets> destinations;
    std::array<lpm::Row, kWalkPackets> where;
    for (std::size_t n = 0; n < unresolved.size(); ++n) {
        const Packet& packet = walk.packets[unresolved[n]];
        const HubRow<Address>& row = family.hub_rows[packet.hub_row];
        vrfs[n] = row.vrf.value();
        destinations[n] =
            lpm::KeyOf<Address>::of(row.to_operator.apply(address_of(header_of<Address>(packet).destination)));
    }
    family.where.find(vrfs.data(), destinations.data(), where.data(), unresolved.size());
    for (std::size_t n = 0; n < unresolved.size(); ++n) {
        const std::size_t i = unresolved[n];
        if (where[n] == lpm::kNoRow) {
            refuse(walk, i, DropReason::no_route, IcmpError::admin_prohibited);
            continue;
        }
        walk.packets[i].nexthop = NexthopId(where[n]);
        check_way_out<Address>(walk, i, out);
    }
}

template void fit<Ipv4Address>(Walk&, const Lane&, FitOut) noexcept;
template void fit<Ipv6Address>(Walk&, const Lane&, FitOut) noexcept;

}  // namespace sekisho::dataplane

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

std::uint64_t folded(Ipv4Address address) noexcept {
    return address.value();
}
std::uint64_t folded(const Ipv6Address& address) noexcept {
    return address.high() * 0xd6e8'feb8'6659'fd93ULL ^ address.low();
}

// Of a flow in one direction: addresses, protocol, and the ports, which later fragments have from their first one.
template <class Address>
std::uint32_t way_hash(const Packet& packet) noexcept {
    const auto& header = header_of<Address>(packet);
    std::uint64_t hash = folded(address_of(header.source)) * 0x9e37'79b9'7f4a'7c15ULL;
    hash = (hash ^ hash >> 32 ^ folded(address_of(header.destination))) * 0xd6e8'feb8'6659'fd93ULL;
    hash ^= hash >> 29 ^ (std::uint64_t{packet.protocol} << 32 | std::uint64_t{packet.source_port.value()} << 16 |
                          packet.destination_port.value());
    hash *= 0x9e37'79b9'7f4a'7c15ULL;
    return static_cast<std::uint32_t>(hash >> 32);
}

// The packet's nexthop is a group: one of its members takes the place. False when none is usable.
template <class Address>
[[gnu::noinline]] bool choose_member(const Tables& tables, Packet& packet) noexcept {
    const std::uint32_t number = tables.nexthops[packet.nexthop.index()].group;
    const NexthopGroup& group = tables.groups[number];
    const auto usable = tables.usable_members[number].load(std::memory_order_relaxed);
    const std::size_t member = group.choose(way_hash<Address>(packet), usable);
    if (member == NexthopGroup::kNone) return false;
    packet.nexthop = group.member(member).nexthop;
    return true;
}

// An attachment decides whether its packets are sealed, not the nexthop: whatever a route says, none leaves plain.
// FitOut goes by reference to what is not inlined: a copy of it on the stack would be made for every packet.
[[gnu::always_inline]] inline void pass(const Attachment& egress, std::size_t i, const FitOut& out) noexcept {
    if (egress.tunnel == TunnelId()) [[likely]]
        out.fitting.add(i);
    else
        out.tunnelled.add(i);
}

// The packet's nexthop is known: may it leave by it?
template <class Address>
[[gnu::noinline]] void judge_way_out(Walk& walk, std::size_t i, const FitOut& out) noexcept {
    const Tables& tables = walk.tables;
    Packet& packet = walk.packets[i];
    if (tables.nexthops[packet.nexthop.index()].kind >= Nexthop::Kind::blackhole) [[unlikely]] {
        if (tables.nexthops[packet.nexthop.index()].kind == Nexthop::Kind::blackhole)
            return walk.drop(i, DropReason::blackhole);
        if (!choose_member<Address>(tables, packet))
            return refuse(walk, i, DropReason::no_nexthop, IcmpError::admin_prohibited);
    }
    const Nexthop& nexthop = tables.nexthops[packet.nexthop.index()];
    packet.egress = nexthop.attachment;
    const Attachment& egress = tables.attachments[packet.egress.index()];
    if (!egress.open) return refuse(walk, i, DropReason::egress_closed, IcmpError::admin_prohibited);
    if (egress.underlay) return refuse(walk, i, DropReason::underlay_plain, IcmpError::admin_prohibited);
    if (!serves(egress, Address())) return refuse(walk, i, DropReason::egress_family, IcmpError::admin_prohibited);
    if (nexthop.kind == Nexthop::Kind::connected) {
        const Address target = target_of<Address>(walk, i);
        if (is_broadcast(egress, target)) return walk.drop(i, DropReason::directed_broadcast);
        if (is_own(egress, target)) return walk.drop(i, DropReason::no_kernel_port);
    }
    if (packet.l3_length > egress.mtu) {
        if (!may_fragment(header_of<Address>(packet)))
            return refuse(walk, i, DropReason::packet_too_big, IcmpError::too_big, egress.mtu);
        if (egress.tunnel == TunnelId()) {
            packet.mark(Packet::kTooLong);
            return out.too_long.add(i);
        }
    }
    pass(egress, i, out);
}

// The same, quick for what nearly every packet is: short enough for an open attachment, and sent to a gateway or into a
// tunnel.
template <class Address>
[[gnu::always_inline]] inline void check_way_out(Walk& walk, std::size_t i, const FitOut& out) noexcept {
    Packet& packet = walk.packets[i];
    const Nexthop& nexthop = walk.tables.nexthops[packet.nexthop.index()];
    const Attachment& egress = walk.tables.attachments[nexthop.attachment.index()];
    const bool usual = nexthop.kind <= Nexthop::Kind::tunnel && egress.open && serves(egress, Address()) &&
                       !egress.underlay && packet.l3_length <= egress.mtu;
    if (!usual) [[unlikely]]
        return judge_way_out<Address>(walk, i, out);
    packet.egress = nexthop.attachment;
    pass(egress, i, out);
}

// Of many nexthops and attachments none is in the cache, and one names the other: in loops of their own the loads for a
// burst's packets overlap. Few are there anyway.
constexpr std::size_t kFewNexthops = 512;
[[gnu::noinline]] void read_ahead(const Tables& tables, std::span<const lpm::Row> where) noexcept {
    std::array<AttachmentId, kWalkPackets> ways;
    for (std::size_t n = 0; n < where.size(); ++n) {
        const bool leaves = where[n] != lpm::kNoRow && tables.nexthops[where[n]].kind < Nexthop::Kind::blackhole;
        ways[n] = leaves ? tables.nexthops[where[n]].attachment : Tables::kNoAttachment;
    }
    for (std::size_t n = 0; n < where.size(); ++n)
        if (ways[n] != Tables::kNoAttachment) touch(&tables.attachments[ways[n].index()]);
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
        vrfs[n] = family.hub_rows[walk.packets[unresolved[n]].hub_row].vrf.value();
        destinations[n] = lpm::KeyOf<Address>::of(target_of<Address>(walk, unresolved[n]));
    }
    family.where.find(vrfs.data(), destinations.data(), where.data(), unresolved.size());
    if (walk.tables.nexthops.size() > kFewNexthops) read_ahead(walk.tables, std::span(where).first(unresolved.size()));
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

// Owners. Of a flow with an end behind a port block it is the worker that lends the port; a server behind one that
// others open to by its static map has the worker that would lend to it.
#include "dataplane/flow.hpp"

#include <algorithm>

#include <rte_hash_crc.h>

#include "dataplane/admit.hpp"

namespace sekisho::dataplane {
namespace {

WorkerId lender_of(const Walk& walk, std::uint32_t subscriber, std::uint16_t space) noexcept {
    const std::uint32_t hash = rte_hash_crc_4byte(subscriber, space);
    return WorkerId(static_cast<std::uint16_t>(hash % walk.worker.team.size()));
}
// To the host with this address in an operator's space, that `who` knows to be behind a port block.
WorkerId lender_of(const Walk& walk, std::uint16_t space, Ipv4Address inside) noexcept {
    const FamilyTables<Ipv4Address>& family = walk.tables.ipv4;
    const lpm::Row row = family.who.find(vrf_of(space).value(), inside);
    if (row == lpm::kNoRow || !family.who_rows[row].is_behind()) return walk.worker.self;  // it opens nothing
    const WhoRow<Ipv4Address>& who = family.who_rows[row];
    const PortPoolRow& pool = walk.tables.port_pools[family.hub_rows[who.behind].pool - 1U];
    return lender_of(walk, pool.shares->by_institution() ? who.institution.value() : inside.value(), space);
}

WorkerId owner_behind(const Walk& walk, const nat::SessionKey4& key) noexcept {
    const Tables& tables = walk.tables;
    const auto protocol = port_protocol_of(key.protocol);
    if (!protocol) return walk.worker.self;  // opens nothing
    const nat::Endpoint source{key.source, key.source_port};
    const nat::Endpoint destination{key.destination, key.destination_port};
    const lpm::Row row = tables.ipv4.hub.find(lpm::TableId{0}, key.destination);
    const bool to_pool = row != lpm::kNoRow && tables.ipv4.hub_rows[row].is_pool();
    const nat::StaticMap* const server = to_pool ? tables.static_maps.by_outside(destination, *protocol) : nullptr;
    if (to_pool && server == nullptr)
        return WorkerId(static_cast<std::uint16_t>(
            nat::PortPool::share_of(destination, static_cast<std::uint32_t>(walk.worker.team.size()))));
    if (server == nullptr) return lender_of(walk, key.space, key.source);
    const WorkerId of_server = lender_of(walk, server->space, server->inside.address);
    if (key.space == nat::kHubSpace) return of_server;
    const WorkerId of_source = lender_of(walk, key.space, key.source);
    // Between two servers either may be the client: what answers names them the other way round.
    const bool both = tables.static_maps.by_inside(key.space, source, *protocol) != nullptr;
    return both ? std::min(of_server, of_source) : of_source;
}

template <class Address>
PortClass class_of(const Tables& tables, std::uint8_t protocol, std::uint16_t service_port) noexcept {
    constexpr std::uint8_t kIcmp = Address::kFamily == Family::ipv4 ? kProtocolIcmp : kProtocolIcmpv6;
    switch (protocol) {
        case kProtocolTcp: return tables.tcp_classes.of(service_port);
        case kProtocolUdp: return tables.udp_classes.of(service_port);
        default: return protocol == kIcmp ? kEchoClass : kOtherClass;
    }
}

}  // namespace

WorkerId owner_of(const Walk& walk, const FlowOf<Ipv4Address>& flow) noexcept {
    const Team& team = walk.worker.team;
    if (team.size() == 1) return walk.worker.self;
    if (flow.behind) return owner_behind(walk, flow.key);
    return team.spread.worker_of(rte_hash_crc(&flow.key, sizeof flow.key, 0));
}
WorkerId owner_of(const Walk& walk, const FlowOf<Ipv6Address>& flow) noexcept {
    const Team& team = walk.worker.team;
    return team.size() == 1 ? walk.worker.self : team.spread.worker_of(rte_hash_crc(&flow.key, sizeof flow.key, 0));
}

template <class Address>
bool lets_open(const Tables& tables, Permissions::Index permission, std::uint8_t protocol,
               std::uint16_t service_port) noexcept {
    return tables.permissions.tracked(permission, class_of<Address>(tables, protocol, service_port));
}
template bool lets_open<Ipv4Address>(const Tables&, Permissions::Index, std::uint8_t, std::uint16_t) noexcept;
template bool lets_open<Ipv6Address>(const Tables&, Permissions::Index, std::uint8_t, std::uint16_t) noexcept;

}  // namespace sekisho::dataplane

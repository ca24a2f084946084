// Owners. Of a flow with an end behind a port block it is the worker that lends the port; a server behind one that
// others open to by its static map has the worker that would lend to it.
#include "dataplane/flow.hpp"

#include <algorithm>

#include <rte_hash_crc.h>

#include "dataplane/admit.hpp"

namespace sekisho::dataplane {
namespace {

// To a static map's server, behind `pool`.
WorkerId lender_to_server(const Walk& walk, const PortPoolRow& pool, const nat::StaticMap& server) noexcept {
    const Ipv4Address inside = server.inside.address;
    if (!pool.shares->by_institution()) return lender_to(walk, {inside.value(), server.space});
    const FamilyTables<Ipv4Address>& family = walk.tables.ipv4;
    const lpm::Row row = family.who.find(vrf_of(server.space).value(), inside);
    if (row == lpm::kNoRow) return walk.worker.self;  // it opens nothing
    return lender_to(walk, {family.who_rows[row].institution.value(), server.space});
}

WorkerId owner_behind(const Walk& walk, const nat::SessionKey4& key, const WhoRow<Ipv4Address>& who,
                      const HubRow<Ipv4Address>& hub) noexcept {
    const Tables& tables = walk.tables;
    const auto protocol = port_protocol_of(key.protocol);
    if (!protocol) return walk.worker.self;  // opens nothing
    // 1. From behind a block to somebody who is not.
    const auto of_source = [&] { return lender_to(walk, subscriber_of(tables, vrf_of(key.space), who, key.source)); };
    if (!hub.is_pool()) return of_source();
    const PortPoolRow& pool = tables.port_pools[hub.pool - 1U];
    const nat::Endpoint destination{key.destination, key.destination_port};
    const nat::StaticMap* const server = tables.static_maps.by_outside(destination, *protocol);
    const WorkerId of_port =
        server == nullptr ? pool.shares->lender_of(destination) : lender_to_server(walk, pool, *server);
    // 2. To behind one. 3. From behind one to behind one: between two lent ports, or two servers, either may be the
    // client, and what answers names them the other way round; between a server and a lent port that one is the
    // client's.
    if (key.space == nat::kHubSpace) return of_port;
    const bool from_server =
        tables.static_maps.by_inside(key.space, {key.source, key.source_port}, *protocol) != nullptr;
    if (from_server == (server != nullptr)) return std::min(of_port, of_source());
    return from_server ? of_port : of_source();
}

}  // namespace

nat::Subscriber subscriber_of(const Tables& tables, VrfId vrf, const WhoRow<Ipv4Address>& who,
                              Ipv4Address inside) noexcept {
    const PortPoolRow& pool = tables.port_pools[tables.ipv4.hub_rows[who.behind].pool - 1U];
    return {pool.shares->by_institution() ? who.institution.value() : inside.value(), space_of(vrf)};
}

WorkerId lender_to(const Walk& walk, const nat::Subscriber& subscriber) noexcept {
    const std::uint32_t hash = rte_hash_crc_4byte(subscriber.id, subscriber.space);
    return WorkerId(static_cast<std::uint16_t>(hash % walk.worker.team.size()));
}

WorkerId owner_in_team(const Walk& walk, const FlowOf<Ipv4Address>& flow, const WhoRow<Ipv4Address>& who,
                       const HubRow<Ipv4Address>& hub) noexcept {
    if (flow.behind) return owner_behind(walk, flow.key, who, hub);
    return walk.worker.team.spread.worker_of(rte_hash_crc(&flow.key, sizeof flow.key, 0));
}
WorkerId owner_in_team(const Walk& walk, const FlowOf<Ipv6Address>& flow, const WhoRow<Ipv6Address>&,
                       const HubRow<Ipv6Address>&) noexcept {
    return walk.worker.team.spread.worker_of(rte_hash_crc(&flow.key, sizeof flow.key, 0));
}

}  // namespace sekisho::dataplane

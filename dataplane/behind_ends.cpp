// Who is at the ends of sessions with port blocks.
#include "dataplane/behind_ends.hpp"

#include "dataplane/admit.hpp"

namespace sekisho::dataplane {
namespace {

using nat::Endpoint;
using nat::PortProtocol;

// The row of `hub` of a packet to this end, where that is behind a block.
std::uint32_t row_behind(const End& end) noexcept {
    return end.who == nullptr ? WhoRow<Ipv4Address>::kNotBehind : end.who->behind;
}

// The service at `inside`, behind a block, that is reached at `hub`; nullopt: nobody is there.
std::optional<End> service_behind(const Tables& tables, std::uint16_t space, const Endpoint& inside,
                                  const Endpoint& hub, bool is_lent) noexcept {
    const FamilyTables<Ipv4Address>& family = tables.ipv4;
    const lpm::Row who = family.who.find(vrf_of(space).value(), inside.address);
    if (who == lpm::kNoRow || !family.who_rows[who].is_behind()) return std::nullopt;
    const WhoRow<Ipv4Address>& row = family.who_rows[who];
    return End{inside, hub, space, &row, &family.hub_rows[row.behind], is_lent};
}

}  // namespace

HeldShare hold(WorkerState& worker, const PortPoolRow& pool, WorkerId lender) noexcept {
    if (worker.imagines && !worker.imagined_ports)
        worker.imagined_ports = PortShares::make({"", pool.shares->addresses(), false}, 1, 0).value();
    return worker.imagines ? worker.imagined_ports->hold(WorkerId(0), pool.rules)
                           : pool.shares->hold(lender, pool.rules);
}

const PortPoolRow* pool_with(const Tables& tables, Ipv4Address address) noexcept {
    const lpm::Row row = tables.ipv4.hub.find(lpm::TableId{0}, address);
    if (row == lpm::kNoRow || !tables.ipv4.hub_rows[row].is_pool()) return nullptr;
    return &tables.port_pools[tables.ipv4.hub_rows[row].pool - 1U];
}

std::optional<End> service_at(const Walk& walk, const HubRow<Ipv4Address>& row, const Endpoint& hub,
                              PortProtocol protocol) noexcept {
    const Tables& tables = walk.tables;
    if (!row.is_pool()) return End{{row.to_operator.apply(hub.address), hub.port}, hub, nat::kHubSpace, nullptr, &row};
    if (const nat::StaticMap* const map = tables.static_maps.by_outside(hub, protocol))
        return service_behind(tables, map->space, map->inside, hub, false);
    // An identifier is a client's only (RFC 5508 §3.1); and none is lent to whom explain imagines.
    if (protocol == PortProtocol::icmp || walk.worker.imagines) return std::nullopt;
    const auto lent = hold_of(walk.worker, tables.port_pools[row.pool - 1U], hub)->inside(hub, protocol);
    if (!lent) return std::nullopt;
    return service_behind(tables, lent->subscriber.space, lent->endpoint, hub, true);
}

bool may_open(const Tables& tables, VrfId client, const WhoRow<Ipv4Address>& who, const End& service,
              std::uint8_t protocol) noexcept {
    const auto permission = tables.matrices[client.index()].cell(who.matrix_row, service.home->group);
    return lets_open<Ipv4Address>(tables, permission, protocol, service.hub.port);
}

Directions directions_of(const End& client, const End& service, std::uint8_t protocol) noexcept {
    Directions both;
    both.forward.source = client.space == nat::kHubSpace ? client.hub.address : client.inside.address;
    both.forward.source_port = client.inside.port;
    both.forward.destination = service.hub.address;
    both.forward.destination_port = service.hub.port;
    both.forward.space = client.space;
    both.reverse.source = service.space == nat::kHubSpace ? service.hub.address : service.inside.address;
    both.reverse.source_port = service.inside.port;
    both.reverse.destination = client.hub.address;
    both.reverse.destination_port = client.hub.port;
    both.reverse.space = service.space;
    both.forward.protocol = both.reverse.protocol = protocol;
    both.to_forward = {client.hub.address, service.inside.address, client.hub.port, service.inside.port,
                       row_behind(service)};
    both.to_reverse = {service.hub.address, client.inside.address, service.hub.port, client.inside.port,
                       row_behind(client)};
    const bool is_echo = protocol == kProtocolIcmp;
    if (is_echo) {  // one identifier, which is the client's (RFC 5508 §3.1)
        both.reverse.source_port = client.hub.port;
        both.to_forward.destination_port = client.hub.port;
        both.to_reverse.source_port = client.inside.port;
    }
    return both;
}

}  // namespace sekisho::dataplane

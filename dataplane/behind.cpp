#include "dataplane/behind.hpp"

#include "dataplane/admit.hpp"
#include "dataplane/behind_ends.hpp"

namespace sekisho::dataplane {
namespace {

using nat::Endpoint;
using nat::kNoSlot;
using nat::PortPool;
using nat::PortProtocol;
using nat::SessionMarks;
using nat::Slot;

// The client of a session by these tables; nullopt: nobody, or its port is no longer its own.
std::optional<End> client_of(Walk& walk, const nat::Session4& forward, PortProtocol protocol) noexcept {
    const Tables& tables = walk.tables;
    const FamilyTables<Ipv4Address>& family = tables.ipv4;
    const nat::SessionKey4& key = forward.key;
    End client;
    client.space = key.space;
    if (key.space == nat::kHubSpace) {
        const lpm::Row home = family.hub.find(lpm::TableId{0}, key.source);
        if (home == lpm::kNoRow || family.hub_rows[home].is_pool()) return std::nullopt;
        client.hub = {key.source, key.source_port};
        client.inside = {family.hub_rows[home].to_operator.apply(key.source), key.source_port};
        const lpm::Row who = family.who.find(family.hub_rows[home].vrf.value(), client.inside.address);
        if (who == lpm::kNoRow || family.who_rows[who].is_behind()) return std::nullopt;
        client.who = &family.who_rows[who];
        return client;
    }
    const lpm::Row who = family.who.find(vrf_of(key.space).value(), key.source);
    if (who == lpm::kNoRow || !family.who_rows[who].is_behind()) return std::nullopt;
    client.who = &family.who_rows[who];
    client.inside = {key.source, key.source_port};
    client.hub = {forward.rewrite.source, forward.rewrite.source_port};
    if (const nat::StaticMap* const map = tables.static_maps.by_inside(key.space, client.inside, protocol))
        return map->outside == client.hub ? std::optional(client) : std::nullopt;
    const PortPoolRow& pool = pool_of(tables, *client.who);
    const bool is_lent =
        pool.shares->lent_in(forward.core.epoch) && tables.static_maps.by_outside(client.hub, protocol) == nullptr &&
        hold_of(walk.worker, pool, client.hub)->mapping_of(client.hub, client.inside, protocol) != PortPool::kNoMapping;
    return is_lent ? std::optional(client) : std::nullopt;
}

// Whether the service's port is what it was to the session: lent, and still open to such clients; or not lent.
bool keeps_service(const Tables& tables, const nat::Session4& forward, const End& service) noexcept {
    if (service.is_lent != forward.core.is(SessionMarks::kToLent)) return false;
    if (!service.is_lent) return true;
    const PortPoolRow& pool = tables.port_pools[service.home->pool - 1U];
    const bool is_open =
        forward.key.space != nat::kHubSpace || pool.rules.filtering != nat::Filtering::address_and_port_dependent;
    return pool.shares->lent_in(forward.core.epoch) && is_open;
}

}  // namespace

bool is_agreed_behind(Walk& walk, Slot slot) noexcept {
    const Tables& tables = walk.tables;
    auto& sessions = walk.worker.tracker.of<Ipv4Address>();
    const bool is_reverse = sessions[slot].core.is(SessionMarks::kReverse);
    nat::Session4& forward = sessions[is_reverse ? sessions[slot].core.twin : slot];
    nat::Session4& reverse = sessions[forward.core.twin];
    const nat::SessionKey4& key = forward.key;
    const auto protocol = port_protocol_of(key.protocol);
    const lpm::Row row = tables.ipv4.hub.find(lpm::TableId{0}, key.destination);
    if (!protocol || row == lpm::kNoRow) return false;
    const auto client = client_of(walk, forward, *protocol);
    const auto service =
        service_at(walk, tables.ipv4.hub_rows[row], {key.destination, key.destination_port}, *protocol);
    if (!client || !service || !keeps_service(tables, forward, *service)) return false;
    const VrfId vrf(forward.core.operator_id.value());
    if (client->who->institution != forward.core.institution ||
        !may_open(tables, vrf, *client->who, *service, key.protocol))
        return false;
    const Directions both = directions_of(*client, *service, key.protocol);
    if (!nat::same_key(both.forward, forward.key) || !nat::same_key(both.reverse, reverse.key)) return false;
    forward.rewrite = both.to_forward;
    reverse.rewrite = both.to_reverse;
    forward.core.epoch = reverse.core.epoch = tables.epoch();
    return true;
}

namespace {

struct Ends {
    Endpoint source, destination;
};

// The pool that has lent ports of this address to sessions of that epoch; nullptr: none.
const PortPoolRow* lender_with(const Tables& tables, Ipv4Address address, std::uint32_t epoch) noexcept {
    const PortPoolRow* const pool = pool_with(tables, address);
    return pool != nullptr && pool->shares->lent_in(epoch) ? pool : nullptr;
}

void release(const HeldShare& share, const Endpoint& outside, const Endpoint& inside, PortProtocol protocol,
             std::uint32_t now) noexcept {
    const PortPool::Mapping mapping = share->mapping_of(outside, inside, protocol);
    if (mapping != PortPool::kNoMapping) share->release(mapping, now);
}

}  // namespace

void give_port_back(WorkerState& worker, const Tables& tables, const nat::Session4& session,
                    std::uint32_t now) noexcept {
    if (!session.core.is(SessionMarks::kTranslated)) return;
    const auto protocol = port_protocol_of(session.key.protocol);
    if (!protocol) return;
    const nat::SessionKey4& key = session.key;
    const nat::Rewrite<Ipv4Address>& to = session.rewrite;
    const Ends arrives{{key.source, key.source_port}, {key.destination, key.destination_port}};
    const Ends leaves{{to.source, to.source_port}, {to.destination, to.destination_port}};
    // Of a packet to the service, the client is its source as it leaves, and the service its destination as it arrives.
    const bool is_reverse = session.core.is(SessionMarks::kReverse);
    const Endpoint client_hub = is_reverse ? arrives.destination : leaves.source;
    const Endpoint client_inside = is_reverse ? leaves.destination : arrives.source;
    const Endpoint service_hub = is_reverse ? leaves.source : arrives.destination;
    const Endpoint service_inside = is_reverse ? arrives.source : leaves.destination;
    if (const PortPoolRow* const pool = lender_with(tables, client_hub.address, session.core.epoch)) {
        const HeldShare share = hold_of(worker, *pool, client_hub);
        share->part(client_hub, *protocol, service_hub.address);
        release(share, client_hub, client_inside, *protocol, now);
    }
    if (!session.core.is(SessionMarks::kToLent)) return;
    if (const PortPoolRow* const pool = lender_with(tables, service_hub.address, session.core.epoch))
        release(hold_of(worker, *pool, service_hub), service_hub, service_inside, *protocol, now);
}

template <class Address>
void end_session(WorkerState& worker, const Tables& tables, Slot slot, std::uint32_t now) noexcept {
    worker.tracker.of<Address>().close(
        slot, [&](const auto& session) noexcept { give_port_back(worker, tables, session, now); });
}
template void end_session<Ipv4Address>(WorkerState&, const Tables&, Slot, std::uint32_t) noexcept;
template void end_session<Ipv6Address>(WorkerState&, const Tables&, Slot, std::uint32_t) noexcept;

}  // namespace sekisho::dataplane

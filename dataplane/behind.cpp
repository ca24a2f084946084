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

lpm::Row receiver_of(const Walk& walk, const Packet& packet, Ipv4Address destination) noexcept {
    const FamilyTables<Ipv4Address>& family = walk.tables.ipv4;
    const HubRow<Ipv4Address>& row = family.hub_rows[packet.hub_row];
    return row.is_pool() ? family.who.find(row.vrf.value(), destination) : lpm::kNoRow;
}

void find_receivers(const Walk& walk, std::span<const std::size_t> packets, std::span<const FlowOf<Ipv4Address>> flows,
                    std::span<const Slot> slots, std::span<lpm::Row> receivers) noexcept {
    if (walk.tables.port_pools.empty()) return;
    using Key = lpm::KeyOf<Ipv4Address>::type;
    const FamilyTables<Ipv4Address>& family = walk.tables.ipv4;
    const auto& sessions = walk.worker.tracker.of<Ipv4Address>();
    std::array<lpm::TableId, kWalkPackets> vrfs;
    std::array<Key, kWalkPackets> destinations;
    std::array<std::size_t, kWalkPackets> places;
    std::array<lpm::Row, kWalkPackets> rows;
    std::size_t count = 0;
    for (std::size_t n = 0; n < packets.size(); ++n) {
        if (slots[n] == kNoSlot || !flows[n].behind) continue;
        const HubRow<Ipv4Address>& row = family.hub_rows[walk.packets[packets[n]].hub_row];
        if (!row.is_pool()) continue;
        vrfs[count] = row.vrf.value();
        destinations[count] = lpm::KeyOf<Ipv4Address>::of(sessions[slots[n]].rewrite.destination);
        places[count++] = n;
    }
    family.who.find(vrfs.data(), destinations.data(), rows.data(), count);
    for (std::size_t k = 0; k < count; ++k) receivers[places[k]] = rows[k];
}

std::optional<DropReason> take_rewrite(Walk& walk, std::size_t i, const nat::Rewrite<Ipv4Address>& rewrite,
                                       lpm::Row receiver) noexcept {
    const FamilyTables<Ipv4Address>& family = walk.tables.ipv4;
    Packet& packet = walk.packets[i];
    if (family.hub_rows[packet.hub_row].is_pool()) {
        if (receiver == lpm::kNoRow || !family.who_rows[receiver].is_behind()) return DropReason::no_agreement;
        packet.hub_row = family.who_rows[receiver].behind;
        if (walk.tables.is_closed(family.who_rows[receiver].institution)) return DropReason::institution_closed;
    }
    walk.worker.rewrites[i] = rewrite;
    packet.mark(Packet::kBySession);
    packet.decided_in = Packet::low_bits(walk.tables.generation);
    return std::nullopt;
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

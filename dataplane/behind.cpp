#include "dataplane/behind.hpp"

#include "dataplane/admit.hpp"

namespace sekisho::dataplane {
namespace {

using nat::Endpoint;
using nat::kNoSlot;
using nat::PortPool;
using nat::PortProtocol;
using nat::SessionMarks;
using nat::Slot;

// One end of a session: where it is, what it is in hub space, and the space that its packets are known by.
struct End {
    Endpoint inside, hub;
    std::uint16_t space = nat::kHubSpace;
    const WhoRow<Ipv4Address>* who = nullptr;   // of a client
    const HubRow<Ipv4Address>* home = nullptr;  // of a service
};

// Who is reached at a hub-space endpoint of row `row`; nullopt: of a pool, and nobody is.
std::optional<End> service_at(const Tables& tables, const HubRow<Ipv4Address>& row, const Endpoint& hub,
                              PortProtocol protocol) noexcept {
    if (!row.is_pool()) return End{{row.to_operator.apply(hub.address), hub.port}, hub, nat::kHubSpace, nullptr, &row};
    const nat::StaticMap* const map = tables.static_maps.by_outside(hub, protocol);
    if (map == nullptr) return std::nullopt;
    const FamilyTables<Ipv4Address>& family = tables.ipv4;
    const lpm::Row who = family.who.find(vrf_of(map->space).value(), map->inside.address);
    if (who == lpm::kNoRow || !family.who_rows[who].is_behind()) return std::nullopt;
    return End{map->inside, hub, map->space, nullptr, &family.hub_rows[family.who_rows[who].behind]};
}

bool may_open(const Tables& tables, VrfId client, const WhoRow<Ipv4Address>& who, const End& service,
              std::uint8_t protocol) noexcept {
    const auto permission = tables.matrices[client.index()].cell(who.matrix_row, service.home->group);
    return lets_open<Ipv4Address>(tables, permission, protocol, service.hub.port);
}

ChecksumDelta replaced(Ipv4Address before, Ipv4Address after) noexcept {
    return ChecksumDelta::replace(before.wire(), after.wire());
}
ChecksumDelta replaced(std::uint16_t before, std::uint16_t after) noexcept {
    return ChecksumDelta::replace(Be16::from_host(before), Be16::from_host(after));
}

// Both directions of a session between two ends.
struct Directions {
    nat::SessionKey4 forward, reverse;
    nat::Rewrite<Ipv4Address> to_forward, to_reverse;
};
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
    both.to_forward = {client.hub.address, service.inside.address, client.hub.port, service.inside.port, 0, 0};
    both.to_reverse = {service.hub.address, client.inside.address, service.hub.port, client.inside.port, 0, 0};
    const bool is_echo = protocol == kProtocolIcmp;
    if (is_echo) {  // one identifier, which is the client's (RFC 5508 §3.1)
        both.reverse.source_port = client.hub.port;
        both.to_forward.destination_port = client.hub.port;
        both.to_reverse.source_port = client.inside.port;
    }
    // What stands in the packets: forward (client inside, service in hub space), in reverse (service inside, client in
    // hub space).
    both.to_forward.addresses =
        (replaced(client.inside.address, client.hub.address) + replaced(service.hub.address, service.inside.address))
            .bits();
    both.to_reverse.addresses =
        (replaced(service.inside.address, service.hub.address) + replaced(client.hub.address, client.inside.address))
            .bits();
    ChecksumDelta forward = replaced(client.inside.port, client.hub.port);
    ChecksumDelta reverse = replaced(client.hub.port, client.inside.port);
    if (!is_echo) {
        forward = forward + replaced(service.hub.port, service.inside.port);
        reverse = reverse + replaced(service.inside.port, service.hub.port);
    }
    both.to_forward.ports = forward.bits();
    both.to_reverse.ports = reverse.bits();
    return both;
}

// This worker's share of a pool; explain's is its own.
PortPool& share_of(WorkerState& worker, const PortPoolRow& pool) noexcept {
    if (worker.imagines && !worker.imagined_ports)
        worker.imagined_ports = PortShares::make({"", pool.shares->addresses(), false}, 1, 0).value();
    PortPool& share = worker.imagines ? worker.imagined_ports->of(WorkerId(0)) : pool.shares->of(worker.self);
    share.set(pool.rules);
    return share;
}

const PortPoolRow& pool_of(const Tables& tables, const WhoRow<Ipv4Address>& who) noexcept {
    return tables.port_pools[tables.ipv4.hub_rows[who.behind].pool - 1U];
}
// The pool that has this address; nullptr: none.
const PortPoolRow* pool_with(const Tables& tables, Ipv4Address address) noexcept {
    const lpm::Row row = tables.ipv4.hub.find(lpm::TableId{0}, address);
    if (row == lpm::kNoRow || !tables.ipv4.hub_rows[row].is_pool()) return nullptr;
    return &tables.port_pools[tables.ipv4.hub_rows[row].pool - 1U];
}

DropReason reason_of(PortPool::Refusal refusal) noexcept {
    return refusal == PortPool::Refusal::quota || refusal == PortPool::Refusal::sessions_full
               ? DropReason::port_quota_full
               : DropReason::port_pool_full;
}
DropReason reason_of(nat::SessionRefusal refusal) noexcept {
    switch (refusal) {
        case nat::SessionRefusal::institution_full: return DropReason::institution_sessions_full;
        case nat::SessionRefusal::operator_full: return DropReason::operator_sessions_full;
        default: return DropReason::session_table_full;
    }
}

// The hub-space endpoint of a client behind a block: its static map's, or one that it is lent.
struct Lent {
    Endpoint hub;
    PortPool::Mapping mapping = PortPool::kNoMapping;  // what is to be given back
    std::optional<DropReason> reason;
};
Lent lend(Walk& walk, const WhoRow<Ipv4Address>& who, VrfId vrf, const Endpoint& inside,
          PortProtocol protocol) noexcept {
    const Tables& tables = walk.tables;
    const std::uint16_t space = space_of(vrf);
    if (const nat::StaticMap* const map = tables.static_maps.by_inside(space, inside, protocol))
        return {map->outside, PortPool::kNoMapping, std::nullopt};
    const PortPoolRow& pool = pool_of(tables, who);
    PortPool& share = share_of(walk.worker, pool);
    const nat::Subscriber subscriber{pool.shares->by_institution() ? who.institution.value() : inside.address.value(),
                                     space};
    const PortPool::Lease lease = share.lease({subscriber, who.institution, tables.epoch(), second_of(walk)}, inside,
                                              protocol, tables.static_maps);
    if (lease.mapping == PortPool::kNoMapping) return {{}, PortPool::kNoMapping, reason_of(lease.refusal)};
    return {share.outside(lease.mapping), lease.mapping, std::nullopt};
}

}  // namespace

OpenedBehind open_behind(Walk& walk, const Packet& packet, const FlowOf<Ipv4Address>& flow, bool begins) noexcept {
    const Tables& tables = walk.tables;
    const FamilyTables<Ipv4Address>& family = tables.ipv4;
    const WhoRow<Ipv4Address>& who = family.who_rows[packet.who_row];
    // 1. The service, and whether an agreement lets this client open.
    const auto protocol = port_protocol_of(packet.protocol);
    if (!protocol) return {kNoSlot, DropReason::port_protocol};
    const Endpoint to{flow.key.destination, flow.key.destination_port};
    const auto service = service_at(tables, family.hub_rows[packet.hub_row], to, *protocol);
    if (!service || !may_open(tables, packet.vrf, who, *service, packet.protocol)) return {};
    if (!begins) return {kNoSlot, DropReason::no_session};
    if (tables.is_closed(service->home->institution)) return {kNoSlot, DropReason::institution_closed};
    // 2. The client in hub space.
    End client;
    client.inside = {address_of(header_of<Ipv4Address>(packet).source), packet.source_port.value()};
    client.hub = {who.to_hub.apply(client.inside.address), client.inside.port};
    Lent lent;
    if (who.is_behind()) {
        lent = lend(walk, who, packet.vrf, client.inside, *protocol);
        if (lent.reason) return {kNoSlot, *lent.reason};
        client.hub = lent.hub;
        client.space = space_of(packet.vrf);
    }
    // 3. The session. What is left of an earlier one with the same port makes way.
    auto& sessions = walk.worker.tracker.of<Ipv4Address>();
    const Directions both = directions_of(client, *service, packet.protocol);
    if (const Slot old = sessions.find(both.reverse); old != kNoSlot)
        end_session<Ipv4Address>(walk.worker, tables, old, second_of(walk));
    const auto opened = sessions.open(both.forward, both.to_forward, both.reverse, both.to_reverse,
                                      {who.institution, OperatorId(packet.vrf.value())}, nat::TcpState::none,
                                      tables.epoch(), second_of(walk));
    if (opened.refusal == nat::SessionRefusal::none) return {opened.slot};
    if (lent.mapping != PortPool::kNoMapping)
        share_of(walk.worker, pool_of(tables, who)).release(lent.mapping, second_of(walk));
    return {kNoSlot, reason_of(opened.refusal)};
}

namespace {

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
        share_of(walk.worker, pool).mapping_of(client.hub, client.inside, protocol) != PortPool::kNoMapping;
    return is_lent ? std::optional(client) : std::nullopt;
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
        service_at(tables, tables.ipv4.hub_rows[row], {key.destination, key.destination_port}, *protocol);
    if (!client || !service) return false;
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
    packet.decided_in = walk.tables.epoch();
    return std::nullopt;
}

void give_port_back(WorkerState& worker, const Tables& tables, const nat::Session4& session,
                    std::uint32_t now) noexcept {
    if (!session.core.is(SessionMarks::kTranslated)) return;
    const auto protocol = port_protocol_of(session.key.protocol);
    const bool is_reverse = session.core.is(SessionMarks::kReverse);
    const Endpoint outside = is_reverse ? Endpoint{session.key.destination, session.key.destination_port}
                                        : Endpoint{session.rewrite.source, session.rewrite.source_port};
    const Endpoint inside = is_reverse ? Endpoint{session.rewrite.destination, session.rewrite.destination_port}
                                       : Endpoint{session.key.source, session.key.source_port};
    const PortPoolRow* const pool = pool_with(tables, outside.address);
    if (!protocol || pool == nullptr || !pool->shares->lent_in(session.core.epoch)) return;
    PortPool& share = share_of(worker, *pool);
    const PortPool::Mapping mapping = share.mapping_of(outside, inside, *protocol);
    if (mapping != PortPool::kNoMapping) share.release(mapping, now);
}

template <class Address>
void end_session(WorkerState& worker, const Tables& tables, Slot slot, std::uint32_t now) noexcept {
    worker.tracker.of<Address>().close(
        slot, [&](const auto& session) noexcept { give_port_back(worker, tables, session, now); });
}
template void end_session<Ipv4Address>(WorkerState&, const Tables&, Slot, std::uint32_t) noexcept;
template void end_session<Ipv6Address>(WorkerState&, const Tables&, Slot, std::uint32_t) noexcept;

}  // namespace sekisho::dataplane

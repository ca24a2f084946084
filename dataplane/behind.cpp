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
    bool is_lent = false;                       // its port is, and no static map's
};

// A worker's share of a pool; explain has one of its own.
HeldShare hold(WorkerState& worker, const PortPoolRow& pool, WorkerId lender) noexcept {
    if (worker.imagines && !worker.imagined_ports)
        worker.imagined_ports = PortShares::make({"", pool.shares->addresses(), false}, 1, 0).value();
    return worker.imagines ? worker.imagined_ports->hold(WorkerId(0), pool.rules)
                           : pool.shares->hold(lender, pool.rules);
}
HeldShare hold_of(WorkerState& worker, const PortPoolRow& pool, const Endpoint& outside) noexcept {
    return hold(worker, pool, pool.shares->lender_of(outside));
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

// The service at `inside`, behind a block, that is reached at `hub`; nullopt: nobody is there.
std::optional<End> service_behind(const Tables& tables, std::uint16_t space, const Endpoint& inside,
                                  const Endpoint& hub, bool is_lent) noexcept {
    const FamilyTables<Ipv4Address>& family = tables.ipv4;
    const lpm::Row who = family.who.find(vrf_of(space).value(), inside.address);
    if (who == lpm::kNoRow || !family.who_rows[who].is_behind()) return std::nullopt;
    return End{inside, hub, space, nullptr, &family.hub_rows[family.who_rows[who].behind], is_lent};
}

// Who is reached at a hub-space endpoint of row `row`: by its prefix map, a static map, or the port that it is lent.
// nullopt: of a pool, and nobody is.
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
    const nat::Subscriber subscriber = subscriber_of(tables, vrf, who, inside.address);
    const HeldShare share = hold(walk.worker, pool, lender_to(walk, subscriber));
    const PortPool::Lease lease = share->lease({subscriber, who.institution, tables.epoch(), second_of(walk)}, inside,
                                               protocol, tables.static_maps);
    if (lease.mapping == PortPool::kNoMapping) return {{}, PortPool::kNoMapping, reason_of(lease.refusal)};
    return {share->outside(lease.mapping), lease.mapping, std::nullopt};
}

// A session's hold on the lent port of its service, if that is lent.
struct Joined {
    std::uint8_t marks = 0;  // of the session
    PortPool::Mapping mapping = PortPool::kNoMapping;
    std::optional<DropReason> reason;
};
// One that is behind a block itself has its session though it is filtered, by which what its peer sends comes in: so
// two that know each other's ports meet (RFC 4787 REQ-9).
Joined join(const Walk& walk, const End& service, const End& client, PortProtocol protocol) noexcept {
    if (!service.is_lent) return {};
    const HeldShare share = hold_of(walk.worker, walk.tables.port_pools[service.home->pool - 1U], service.hub);
    Joined joined{SessionMarks::kToLent, PortPool::kNoMapping, std::nullopt};
    if (!share->lets_in(service.hub, protocol, client.hub.address)) {
        if (client.space == nat::kHubSpace) return {0, PortPool::kNoMapping, DropReason::port_filtered};
        joined.marks |= SessionMarks::kHeldBack;
    }
    joined.mapping = share->join(service.hub, service.inside, protocol).mapping;
    if (joined.mapping == PortPool::kNoMapping) joined.reason = DropReason::port_quota_full;
    return joined;
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
    const HubRow<Ipv4Address>& row = family.hub_rows[packet.hub_row];
    const auto service = service_at(walk, row, to, *protocol);
    if (!service || !may_open(tables, packet.vrf, who, *service, packet.protocol)) return {};
    if (!begins) return {kNoSlot, DropReason::no_session};
    if (tables.is_closed(service->home->institution)) return {kNoSlot, DropReason::institution_closed};
    End client;
    client.inside = {address_of(header_of<Ipv4Address>(packet).source), packet.source_port.value()};
    if (flow.key.space == service->space && client.inside == service->inside) return {};  // itself
    // 2. The client in hub space.
    client.hub = {who.to_hub.apply(client.inside.address), client.inside.port};
    Lent lent;
    if (who.is_behind()) {
        lent = lend(walk, who, packet.vrf, client.inside, *protocol);
        if (lent.reason) return {kNoSlot, *lent.reason};
        client.hub = lent.hub;
        client.space = space_of(packet.vrf);
    }
    const auto give_back = [&](const End& end, PortPool::Mapping mapping) noexcept {
        if (mapping == PortPool::kNoMapping) return;
        hold_of(walk.worker, *pool_with(tables, end.hub.address), end.hub)->release(mapping, second_of(walk));
    };
    // 3. The port of the service, where it is lent.
    const Joined joined = join(walk, *service, client, *protocol);
    if (joined.reason) {
        give_back(client, lent.mapping);
        return {kNoSlot, *joined.reason};
    }
    // 4. The session, which keeps both ports. What is left of an earlier one with the same port makes way.
    auto& sessions = walk.worker.tracker.of<Ipv4Address>();
    const Directions both = directions_of(client, *service, packet.protocol);
    if (const Slot old = sessions.find(both.reverse); old != kNoSlot)
        end_session<Ipv4Address>(walk.worker, tables, old, second_of(walk));
    const auto opened = sessions.open(both.forward, both.to_forward, both.reverse, both.to_reverse,
                                      {who.institution, OperatorId(packet.vrf.value())}, nat::TcpState::none,
                                      tables.epoch(), second_of(walk));
    if (opened.refusal != nat::SessionRefusal::none) {
        give_back(client, lent.mapping);
        give_back(*service, joined.mapping);
        return {kNoSlot, reason_of(opened.refusal)};
    }
    if (lent.mapping != PortPool::kNoMapping)
        hold_of(walk.worker, pool_of(tables, who), lent.hub)->meet(lent.mapping, service->hub.address);
    nat::SessionCore& forward = sessions[opened.slot].core;
    forward.marks |= joined.marks;
    sessions[forward.twin].core.marks |= joined.marks;
    return {opened.slot};
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

#include "dataplane/behind_open.hpp"

#include "dataplane/admit.hpp"
#include "dataplane/behind.hpp"

namespace sekisho::dataplane {
namespace {

using nat::Endpoint;
using nat::kNoSlot;
using nat::PortPool;
using nat::PortProtocol;
using nat::SessionMarks;
using nat::Slot;

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

// Ports whose answers from one service come to the worker that lends them, by the RSS of the port that they come by.
class AnsweredHere final : public nat::PortWish {
  public:
    AnsweredHere(const RssMap& map, const Endpoint& service, WorkerId lender) noexcept
        : map_(map), service_(service), lender_(lender) {}
    bool suits(const Endpoint& outside) const noexcept override { return map_.worker_of(service_, outside) == lender_; }

  private:
    const RssMap& map_;
    const Endpoint& service_;
    const WorkerId lender_;
};

// Of the port by which a service is reached, and so most likely answers; null: nobody can tell.
const RssMap* rss_map_to(const Walk& walk, const End& service, PortProtocol protocol) noexcept {
    const Team& team = walk.worker.team;
    if (team.rss_maps.empty() || protocol == PortProtocol::icmp) return nullptr;
    const Tables& tables = walk.tables;
    NexthopId way = service.home->nexthop;
    if (way == kResolve) {
        const lpm::Row row = tables.ipv4.where.find(service.home->vrf.value(), service.inside.address);
        if (row == lpm::kNoRow) return nullptr;
        way = NexthopId(row);
    }
    const Nexthop& nexthop = tables.nexthops[way.index()];
    if (nexthop.kind >= Nexthop::Kind::blackhole) return nullptr;
    const Attachment& egress = tables.attachments[nexthop.attachment.index()];
    return egress.tunnel == TunnelId() ? team.rss_map(egress.port) : nullptr;
}

// The hub-space endpoint of a client behind a block: its static map's, or one that it is lent.
struct Lent {
    Endpoint hub;
    PortPool::Mapping mapping = PortPool::kNoMapping;  // what is to be given back
    std::optional<DropReason> reason;
};
Lent lend(Walk& walk, const WhoRow<Ipv4Address>& who, VrfId vrf, const Endpoint& inside, const End& service,
          PortProtocol protocol) noexcept {
    const Tables& tables = walk.tables;
    const std::uint16_t space = space_of(vrf);
    if (const nat::StaticMap* const map = tables.static_maps.by_inside(space, inside, protocol))
        return {map->outside, PortPool::kNoMapping, std::nullopt};
    const PortPoolRow& pool = pool_of(tables, who);
    const nat::Subscriber subscriber = subscriber_of(tables, vrf, who, inside.address);
    const WorkerId lender = lender_to(walk, subscriber);
    const HeldShare share = hold(walk.worker, pool, lender);
    nat::PortPool::Asker asker{subscriber, who.institution, tables.epoch(), second_of(walk)};
    std::optional<AnsweredHere> wish;
    if (const RssMap* const map = rss_map_to(walk, service, protocol)) {
        wish.emplace(*map, service.inside, lender);
        asker.wish = &*wish;
    }
    const PortPool::Lease lease = share->lease(asker, inside, protocol, tables.static_maps);
    if (lease.mapping == PortPool::kNoMapping) return {{}, PortPool::kNoMapping, reason_of(lease.refusal)};
    share->expect_meeting(lease.mapping, service.hub.address);
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

void give_back(Walk& walk, const End& end, PortPool::Mapping mapping) noexcept {
    if (mapping == PortPool::kNoMapping) return;
    const PortPoolRow& pool = *pool_with(walk.tables, end.hub.address);
    hold_of(walk.worker, pool, end.hub)->release(mapping, second_of(walk));
}

}  // namespace

Opening::Opening(Walk& walk, const Packet& packet, const FlowOf<Ipv4Address>& flow, bool begins) noexcept {
    refused_ = find_ends(walk, packet, flow, begins);
    if (!refused_) both_ = directions_of(client_, service_, packet.protocol);
}

std::optional<DropReason> Opening::find_ends(Walk& walk, const Packet& packet, const FlowOf<Ipv4Address>& flow,
                                             bool begins) noexcept {
    const Tables& tables = walk.tables;
    const FamilyTables<Ipv4Address>& family = tables.ipv4;
    const WhoRow<Ipv4Address>& who = family.who_rows[packet.who_row];
    // 1. The service, and whether an agreement lets this client open.
    const auto protocol = port_protocol_of(packet.protocol);
    if (!protocol) return DropReason::port_protocol;
    const Endpoint to{flow.key.destination, flow.key.destination_port};
    const auto service = service_at(walk, family.hub_rows[packet.hub_row], to, *protocol);
    if (!service || !may_open(tables, packet.vrf, who, *service, packet.protocol)) return DropReason::no_agreement;
    if (!begins) return DropReason::no_session;
    if (tables.is_closed(service->home->institution)) return DropReason::institution_closed;
    service_ = *service;
    client_.who = &who;
    client_.inside = {address_of(header_of<Ipv4Address>(packet).source), packet.source_port.value()};
    const bool is_itself = flow.key.space == service_.space && client_.inside == service_.inside;
    if (is_itself) return DropReason::no_agreement;
    // 2. The client in hub space.
    client_.hub = {who.to_hub.apply(client_.inside.address), client_.inside.port};
    if (!who.is_behind()) return std::nullopt;
    const Lent lent = lend(walk, who, packet.vrf, client_.inside, service_, *protocol);
    if (lent.reason) return lent.reason;
    client_.hub = lent.hub;
    client_.space = space_of(packet.vrf);
    lent_ = lent.mapping;
    return std::nullopt;
}

OpenedBehind Opening::open(Walk& walk, const Packet& packet) noexcept {
    if (refused_) return {kNoSlot, *refused_};
    const Tables& tables = walk.tables;
    // 3. The port of the service, where it is lent.
    const Joined joined = join(walk, service_, client_, *port_protocol_of(packet.protocol));
    if (joined.reason) {
        give_back(walk, client_, lent_);
        return {kNoSlot, *joined.reason};
    }
    // 4. The session, which keeps both ports. What is left of an earlier one with the same port makes way.
    auto& sessions = walk.worker.tracker.of<Ipv4Address>();
    if (const Slot old = sessions.find(both_.reverse); old != kNoSlot)
        end_session<Ipv4Address>(walk.worker, tables, old, second_of(walk));
    const auto opened = sessions.open(both_.forward, both_.to_forward, both_.reverse, both_.to_reverse,
                                      {client_.who->institution, OperatorId(packet.vrf.value())}, nat::TcpState::none,
                                      tables.epoch(), second_of(walk));
    if (opened.refusal != nat::SessionRefusal::none) {
        give_back(walk, client_, lent_);
        give_back(walk, service_, joined.mapping);
        return {kNoSlot, reason_of(opened.refusal)};
    }
    if (lent_ != PortPool::kNoMapping)
        hold_of(walk.worker, pool_of(tables, *client_.who), client_.hub)->meet(lent_, service_.hub.address);
    nat::SessionCore& forward = sessions[opened.slot].core;
    forward.marks |= joined.marks;
    sessions[forward.twin].core.marks |= joined.marks;
    return {opened.slot};
}

void Opening::let_go(Walk& walk) noexcept {
    if (!refused_) give_back(walk, client_, lent_);
}

}  // namespace sekisho::dataplane

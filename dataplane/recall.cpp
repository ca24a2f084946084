// Stage 4 for what agreements track, recall: of which session is the packet, and may it be.
//
// It comes behind admit's who, hub, gates and cells: spoofs have died, both ends are in hub space, and what a stateless
// agreement lets pass never gets here. A session is opened in its agreement's direction only, TCP's by a SYN; only
// answers come back. One that was decided under other tables is decided again, and ended if no agreement covers it any
// more. Sessions are their owner's, a worker that both directions of a flow name; others hand it the packet as it came.
// What goes to or comes from behind a port block has its session here too, and its rewrite by it (behind.hpp).
#include "dataplane/recall.hpp"

#include <algorithm>
#include <optional>
#include <span>

#include "dataplane/admit.hpp"
#include "dataplane/behind.hpp"
#include "dataplane/behind_open.hpp"
#include "dataplane/icmp_error.hpp"
#include "dataplane/stages.hpp"
#include "net/unset.hpp"

namespace sekisho::dataplane {
namespace {

using nat::Direction;
using nat::kNoSlot;
using nat::SessionMarks;
using nat::SessionRefusal;
using nat::Slot;

constexpr std::size_t kOpenedTogether = 16;

template <class Address>
constexpr std::uint8_t kIcmpOf = Address::kFamily == Family::ipv4 ? kProtocolIcmp : kProtocolIcmpv6;

template <class Key>
bool is_tracked_between(const Tables& tables, const Key& from_client) noexcept {
    using Address = typename Key::Address;
    const FamilyTables<Address>& family = tables.family<Address>();
    const lpm::Row client = family.hub.find(lpm::TableId{0}, from_client.source);
    const lpm::Row service = family.hub.find(lpm::TableId{0}, from_client.destination);
    if (client == lpm::kNoRow || service == lpm::kNoRow) return false;
    const HubRow<Address>& home = family.hub_rows[client];
    if (home.is_pool() || family.hub_rows[service].is_pool()) return false;  // by now; it was another's address then
    const lpm::Row who = family.who.find(home.vrf.value(), home.to_operator.apply(from_client.source));
    if (who == lpm::kNoRow || family.who_rows[who].is_behind()) return false;
    const Permissions::Index permission =
        tables.matrices[home.vrf.index()].cell(family.who_rows[who].matrix_row, family.hub_rows[service].group);
    return lets_open<Address>(tables, permission, from_client.protocol, from_client.destination_port);
}

// The client of a session is its key's source unless it is marked.
Direction client_is_source(const nat::SessionCore& core) noexcept {
    return core.is(SessionMarks::kTurned) ? Direction::reverse : Direction::forward;
}

bool is_agreed(Walk& walk, Slot slot, nat::Session4& session) noexcept {
    if (session.core.is(SessionMarks::kTranslated)) return is_agreed_behind(walk, slot);
    return is_tracked(walk.tables, session.key, client_is_source(session.core));
}
bool is_agreed(Walk& walk, Slot, nat::Session6& session) noexcept {
    return is_tracked(walk.tables, session.key, client_is_source(session.core));
}

// Under tables that it was not decided under. False, and the session has ended, when no agreement covers it any more.
template <class Address>
[[gnu::noinline]] bool decide_again(Walk& walk, Slot slot) noexcept {
    auto& session = walk.worker.tracker.of<Address>()[slot];
    if (!is_agreed(walk, slot, session)) {
        end_session<Address>(walk.worker, walk.tables, slot, second_of(walk));
        return false;
    }
    session.core.epoch = walk.tables.epoch();
    return true;
}
template <class Address>
bool still_agreed(Walk& walk, Slot slot) noexcept {
    if (walk.worker.tracker.of<Address>()[slot].core.epoch == walk.tables.epoch()) [[likely]]
        return true;
    return decide_again<Address>(walk, slot);
}

// Why a packet of a session's flow is not of the session; nullopt: it is.
template <class Address>
std::optional<DropReason> reason_to_refuse(const nat::SessionCore& core, const Packet& packet,
                                           Direction direction) noexcept {
    const bool forward = direction == Direction::forward;
    if (packet.protocol == kProtocolTcp) {
        // A SYN from the service opens nothing, but for simultaneous open (RFC 5382 REQ-2).
        const bool opens = (packet.l4_type & (kTcpSyn | kTcpAck)) == kTcpSyn;
        if (opens && !forward && core.state != nat::TcpState::opening && core.state != nat::TcpState::answered)
            return DropReason::not_a_reply;
    } else if (packet.protocol == kIcmpOf<Address>) {
        constexpr bool kV4 = Address::kFamily == Family::ipv4;
        const bool request = packet.l4_type == (kV4 ? kIcmpEchoRequest : kIcmpv6EchoRequest);
        if (request != forward) return request ? DropReason::not_a_reply : DropReason::no_agreement;
    }
    return std::nullopt;
}

// Whether the service's filtering does not let the client in: not until it has sent to it itself.
bool is_held_back(const nat::Sessions<nat::Session4>& sessions, const nat::SessionCore& core,
                  Direction direction) noexcept {
    return core.is(SessionMarks::kHeldBack) && direction == Direction::forward &&
           !sessions[core.twin].core.is(SessionMarks::kReplied);
}

// What becomes of a packet by its session's rewrite, of whose ends one is behind a port block. False: it was refused.
bool leaves_rewritten(Walk& walk, std::size_t i, const nat::Session4& session) noexcept {
    const auto reason = take_rewrite(walk, i, session.rewrite);
    if (reason) refuse(walk, i, *reason, IcmpError::admin_prohibited);
    return !reason;
}
bool leaves_rewritten(Walk&, std::size_t, const nat::Session6&) noexcept {
    return true;
}

// `now`: seconds.
template <class Address>
[[gnu::noinline]] void take_any(Walk& walk, std::size_t i, const FlowOf<Address>& flow, Slot slot, std::uint32_t now,
                                Lane& admitted) noexcept {
    auto& sessions = walk.worker.tracker.of<Address>();
    const auto& session = sessions[slot];
    const Packet& packet = walk.packets[i];
    const Direction direction = nat::direction_by(session.core.marks, flow.turned);
    if (const auto reason = reason_to_refuse<Address>(session.core, packet, direction))
        return refuse(walk, i, *reason, IcmpError::admin_prohibited);
    if (flow.behind && !leaves_rewritten(walk, i, session)) return;
    if constexpr (Address::kFamily == Family::ipv4)
        if (is_held_back(sessions, session.core, direction)) {
            // Its time goes on: who is not let in does not keep its peer's port for ever.
            sessions.touch(slot, direction, packet.l4_type, packet.l3_length, now, false);
            return walk.drop(i, DropReason::port_filtered);
        }
    sessions.touch(slot, direction, packet.l4_type, packet.l3_length, now);
    admitted.add(i);
}

// The same, quick for what nearly every packet is.
template <class Address>
[[gnu::always_inline]] inline void take_as_of_session(Walk& walk, std::size_t i, const FlowOf<Address>& flow, Slot slot,
                                                      std::uint32_t now, Lane& admitted) noexcept {
    auto& session = walk.worker.tracker.of<Address>()[slot];
    const Packet& packet = walk.packets[i];
    if (!session.core.is_usual(flow.turned, packet.protocol, packet.l4_type)) [[unlikely]]
        return take_any<Address>(walk, i, flow, slot, now, admitted);
    if (flow.behind && !leaves_rewritten(walk, i, session)) [[unlikely]]
        return;
    session.core.count(packet.l3_length, now);
    admitted.add(i);
}

DropReason reason_of(SessionRefusal refusal) noexcept {
    switch (refusal) {
        case SessionRefusal::institution_full: return DropReason::institution_sessions_full;
        case SessionRefusal::operator_full: return DropReason::operator_sessions_full;
        default: return DropReason::session_table_full;
    }
}

// Whether this packet is one that begins a flow.
template <class Address>
bool opens(const Packet& packet) noexcept {
    if (packet.protocol == kProtocolTcp) return (packet.l4_type & (kTcpSyn | kTcpAck | kTcpRst | kTcpFin)) == kTcpSyn;
    if (packet.protocol != kIcmpOf<Address>) return true;
    return packet.l4_type == (Address::kFamily == Family::ipv4 ? kIcmpEchoRequest : kIcmpv6EchoRequest);
}

// RFC 5382 REQ-4: a SYN that nobody asked for is not answered, for its receiver may be about to open too.
void refuse_silently_if_filtered(Walk& walk, std::size_t i, DropReason reason) noexcept {
    if (reason == DropReason::port_filtered)
        walk.drop(i, reason);
    else
        refuse(walk, i, reason, IcmpError::admin_prohibited);
}

// A session for a flow of which there is none; kNoSlot, and the packet was refused.
template <class Address>
Slot open(Walk& walk, std::size_t i, const FlowOf<Address>& flow, std::optional<Opening>& opening) noexcept {
    const Packet& packet = walk.packets[i];
    const bool begins = opens<Address>(packet);
    if constexpr (Address::kFamily == Family::ipv4)
        if (flow.behind) {
            if (!opening) opening.emplace(walk, packet, flow, begins);
            const OpenedBehind opened = opening->open(walk, packet);
            if (opened.slot == kNoSlot) refuse_silently_if_filtered(walk, i, opened.reason);
            return opened.slot;
        }
    if (walk.reasons[i] != DropReason::no_session || !begins) {
        refuse(walk, i, walk.reasons[i], IcmpError::admin_prohibited);
        return kNoSlot;
    }
    const nat::SessionOwner client{walk.tables.family<Address>().who_rows[packet.who_row].institution,
                                   OperatorId(packet.vrf.value())};
    const auto opened =
        walk.worker.tracker.of<Address>().open(flow, client, nat::TcpState::none, walk.tables.epoch(), second_of(walk));
    if (opened.refusal != SessionRefusal::none) refuse(walk, i, reason_of(opened.refusal), IcmpError::admin_prohibited);
    return opened.slot;
}

template <class Address>
void open_or_refuse(Walk& walk, std::size_t i, const FlowOf<Address>& flow, std::optional<Opening>& opening,
                    Lane& admitted) noexcept {
    // A packet before it in this burst may have opened it.
    Slot slot = walk.worker.tracker.of<Address>().find(flow.key);
    if (slot == kNoSlot || !still_agreed<Address>(walk, slot)) {
        slot = open(walk, i, flow, opening);
        if (slot == kNoSlot) return;
        ++walk.worker.counters.sessions_opened;
    } else if (opening) {
        opening->let_go(walk);
    }
    take_any<Address>(walk, i, flow, slot, second_of(walk), admitted);
}

// Packets of a burst, `packets[n]` of `flows[n]`, and where the session was that was looked for at `places[n]`.
template <class Address>
struct Searched {
    std::array<std::size_t, kWalkPackets> packets;
    Unset<FlowOf<Address>, kWalkPackets> flows;
    std::array<nat::Place, kWalkPackets> places;
    std::array<Slot, kWalkPackets> slots;
};

// Those of the burst that have no session, `which` of them: opened one by one, or refused for the reason that admit
// gave. Before the first is opened, the lines that all of them will write are on their way.
template <class Address>
[[gnu::noinline]] void open_missing(Walk& walk, const Searched<Address>& burst, std::span<const std::size_t> which,
                                    Lane& admitted) noexcept {
    const auto& sessions = walk.worker.tracker.of<Address>();
    std::array<std::optional<Opening>, kOpenedTogether> openings;
    for (std::size_t k = 0; k < which.size(); ++k) {
        const FlowOf<Address>& flow = burst.flows[which[k]];
        sessions.expect_place(flow.key);
        if constexpr (Address::kFamily == Family::ipv4)
            if (flow.behind && burst.slots[which[k]] == kNoSlot) {
                const Packet& packet = walk.packets[burst.packets[which[k]]];
                openings[k].emplace(walk, packet, flow, opens<Address>(packet));
                if (const auto* const answers = openings[k]->answers()) sessions.expect(*answers);
            }
    }
    if constexpr (Address::kFamily == Family::ipv4)
        for (const auto& opening : openings)
            if (const auto* const answers = opening ? opening->answers() : nullptr) sessions.expect_place(*answers);
    for (std::size_t k = 0; k < which.size(); ++k)
        open_or_refuse<Address>(walk, burst.packets[which[k]], burst.flows[which[k]], openings[k], admitted);
}

template <class Address>
Slot find_session(Walk& walk, const FlowOf<Address>& flow) noexcept {
    const Slot slot = walk.worker.tracker.of<Address>().find(flow.key);
    return slot != kNoSlot && still_agreed<Address>(walk, slot) ? slot : kNoSlot;
}

}  // namespace

bool is_tracked(const Tables& tables, const nat::SessionKey4& key, Direction direction) noexcept {
    return is_tracked_between(tables, direction == Direction::forward ? key : nat::turned_round(key));
}
bool is_tracked(const Tables& tables, const nat::SessionKey6& key, Direction direction) noexcept {
    return is_tracked_between(tables, direction == Direction::forward ? key : nat::turned_round(key));
}

Slot session_of(Walk& walk, const FlowOf<Ipv4Address>& flow) noexcept {
    return find_session(walk, flow);
}
Slot session_of(Walk& walk, const FlowOf<Ipv6Address>& flow) noexcept {
    return find_session(walk, flow);
}

template <class Address>
void recall(Walk& walk, const Lane& in, Lane& admitted) noexcept {
    const FamilyTables<Address>& family = walk.tables.family<Address>();
    auto& sessions = walk.worker.tracker.of<Address>();
    const bool alone = walk.worker.team.size() == 1;
    const std::uint32_t now = second_of(walk);
    using Table = nat::SessionTable<typename nat::SessionOf<Address>::type>;
    constexpr std::size_t kTogether = Table::kTogether;
    const std::size_t there = sessions.records();
    Searched<Address> burst;
    // Not by a structured binding: clang 14 does not let a lambda have those.
    auto& own = burst.packets;
    auto& flows = burst.flows;
    auto& places = burst.places;
    auto& slots = burst.slots;
    std::array<std::size_t, kWalkPackets> missing;
    std::size_t count = 0, matched = 0, taken = 0, missing_count = 0;

    // 2. Signatures have come: the records that may be theirs are on their way.
    const auto match = [&](std::size_t end) {
        sessions.match(&places[matched], &slots[matched], end - matched);
        matched = end;
    };
    // 3. Records have come. Those without one are left, for opening one may move others.
    const auto take = [&](std::size_t end) {
        for (; taken < end; ++taken) {
            const std::size_t n = taken;
            const Slot slot = slots[n] = sessions.settle(flows[n].key, places[n], slots[n]);
            // What the tables changed for one packet may have ended for the next one of its flow.
            const bool may_have_ended = sessions.records() != there;
            if (slot != kNoSlot && (!may_have_ended || sessions.table().holds(slot)) &&
                still_agreed<Address>(walk, slot)) [[likely]]
                take_as_of_session<Address>(walk, own[n], flows[n], slot, now, admitted);
            else
                missing[missing_count++] = n;
        }
    };
    // 1. The flows, whose they are, and where their sessions would be.
    for (const std::size_t i : in) {
        const Packet& packet = walk.packets[i];
        const auto& header = header_of<Address>(packet);
        const WhoRow<Address>& who = family.who_rows[packet.who_row];
        const HubRow<Address>& hub = family.hub_rows[packet.hub_row];
        FlowOf<Address>& flow = flows[count];
        make_flow(flow, packet, packet.vrf, who, address_of(header.source), hub, address_of(header.destination));
        if (!alone)
            if (const WorkerId owner = owner_in_team(walk, flow, who, hub); owner != walk.worker.self) {
                walk.hand_over(i, owner, Entry::parse);
                continue;
            }
        places[count] = sessions.look_for(flow.key);
        own[count++] = i;
        if (count - matched < 2 * kTogether) continue;
        match(matched + kTogether);
        take(matched - kTogether);
    }
    match(count);
    take(count);
    // 4. The others.
    for (std::size_t first = 0; first < missing_count; first += kOpenedTogether)
        open_missing<Address>(
            walk, burst, std::span(missing).subspan(first, std::min(kOpenedTogether, missing_count - first)), admitted);
    walk.worker.counters.sessions = walk.worker.tracker.size();
}

void expire_sessions(Walk& walk) noexcept {
    constexpr std::uint32_t kPieces = 10;  // of a table, that a second has
    const std::uint32_t now = second_of(walk);
    walk.worker.tracker.timeouts() = walk.tables.timeouts;
    const auto expire = [&](auto& sessions) noexcept {
        sessions.expire(now, sessions.buckets() / kPieces + 1,
                        [&](const auto& session) noexcept { give_port_back(walk.worker, walk.tables, session, now); });
    };
    expire(walk.worker.tracker.of<Ipv4Address>());
    expire(walk.worker.tracker.of<Ipv6Address>());
    walk.worker.counters.sessions = walk.worker.tracker.size();
}

template void recall<Ipv4Address>(Walk&, const Lane&, Lane&) noexcept;
template void recall<Ipv6Address>(Walk&, const Lane&, Lane&) noexcept;

}  // namespace sekisho::dataplane

// Who the two ends of a session are. The records hold hub-space addresses; names and operator-space addresses come from
// the tables of the moment. put() is control's, the rest the worker's.
#include "dataplane/session_desk.hpp"

#include <algorithm>

#include "dataplane/flow.hpp"

namespace sekisho::dataplane {
namespace {

// Of an end that a prefix map covers.
template <class Address>
SessionEnd end_of(const Tables& tables, const Address& hub, std::uint16_t port) noexcept {
    const FamilyTables<Address>& family = tables.family<Address>();
    SessionEnd end;
    end.inside = end.hub = hub;
    end.inside_port = end.hub_port = port;
    const lpm::Row row = family.hub.find(lpm::TableId{0}, hub);
    if (row == lpm::kNoRow) return end;
    const HubRow<Address>& home = family.hub_rows[row];
    const Address inside = home.to_operator.apply(hub);
    const lpm::Row who = family.who.find(home.vrf.value(), inside);
    if (who == lpm::kNoRow) return end;
    end.inside = inside;
    end.known = true;
    end.vrf = home.vrf;
    end.institution = home.institution;
    end.attachments = family.who_rows[who].attachments;
    return end;
}

// Of an end behind a port block: `inside` in its operator's space, `hub` the pool's.
SessionEnd end_behind(const Tables& tables, VrfId vrf, const nat::Endpoint& inside, const nat::Endpoint& hub) noexcept {
    SessionEnd end;
    end.inside = inside.address;
    end.hub = hub.address;
    end.inside_port = inside.port;
    end.hub_port = hub.port;
    const lpm::Row who = tables.ipv4.who.find(vrf.value(), inside.address);
    if (who == lpm::kNoRow) return end;
    end.known = true;
    end.vrf = vrf;
    end.institution = tables.ipv4.who_rows[who].institution;
    end.attachments = tables.ipv4.who_rows[who].attachments;
    return end;
}

// The ends of a translated session, from its forward record.
void tell_ends(const Tables& tables, const nat::Session4& session, SessionInfo& info) noexcept {
    const nat::SessionKey4& key = session.key;
    const nat::Rewrite<Ipv4Address>& to = session.rewrite;
    if (key.space != nat::kHubSpace)
        info.client = end_behind(tables, vrf_of(key.space), {key.source, key.source_port}, {to.source, to.source_port});
    else
        info.client = end_of(tables, key.source, key.source_port);
    const lpm::Row row = tables.ipv4.hub.find(lpm::TableId{0}, key.destination);
    if (row != lpm::kNoRow && tables.ipv4.hub_rows[row].is_pool())
        info.service = end_behind(tables, tables.ipv4.hub_rows[row].vrf, {to.destination, to.destination_port},
                                  {key.destination, key.destination_port});
    else
        info.service = end_of(tables, key.destination, key.destination_port);
}
void tell_ends(const Tables&, const nat::Session6&, SessionInfo&) noexcept {}  // there are none

}  // namespace

template <class Record>
SessionInfo info_of(const Tables& tables, const nat::Sessions<Record>& sessions, nat::Slot slot,
                    std::uint32_t now) noexcept {
    const Record& record = sessions[slot];
    const auto key = record.core.is(nat::SessionMarks::kTurned) ? nat::turned_round(record.key) : record.key;
    SessionInfo info;
    if (record.core.is(nat::SessionMarks::kTranslated)) {
        tell_ends(tables, record, info);
    } else {
        info.client = end_of(tables, key.source, key.source_port);
        info.service = end_of(tables, key.destination, key.destination_port);
    }
    info.protocol = key.protocol;
    info.state = record.core.state;
    info.replied = record.core.is(nat::SessionMarks::kReplied);
    info.packets = record.core.packets;
    info.bytes = record.core.bytes;
    std::uint32_t seen = record.core.seen;
    if (record.core.twin != slot) {
        const nat::SessionCore& other = sessions[record.core.twin].core;
        info.packets += other.packets;
        info.bytes += other.bytes;
        info.replied = info.replied || other.is(nat::SessionMarks::kReplied);
        if (static_cast<std::int32_t>(other.seen - seen) > 0) seen = other.seen;
    }
    info.idle = now - seen;
    const auto left = static_cast<std::int32_t>(sessions.end_of(slot) - now);
    info.left = left > 0 ? static_cast<std::uint32_t>(left) : 0;
    return info;
}

bool matches(const Tables& tables, const SessionFilter& filter, const SessionInfo& info) noexcept {
    const auto either = [&](auto&& test) { return test(info.client) || test(info.service); };
    if (filter.vrf && !either([&](const SessionEnd& end) { return end.known && end.vrf == *filter.vrf; })) return false;
    if (filter.attachment && !either([&](const SessionEnd& end) {
            return end.known && tables.attachment_sets.has(end.attachments, *filter.attachment);
        }))
        return false;
    if (filter.address && !either([&](const SessionEnd& end) {
            return end.hub == *filter.address || (end.known && end.inside == *filter.address);
        }))
        return false;
    return !filter.port || either([&](const SessionEnd& end) {
        return end.hub_port == *filter.port || end.inside_port == *filter.port;
    });
}

bool SessionDesk::put(const SessionOrder& order) {
    if (has_work()) return false;
    order_ = order;
    order_.most = std::min(order_.most, kMost);
    answer_.matching = 0;
    answer_.sessions.clear();
    answer_.sessions.reserve(order_.ends ? 0 : order_.most);
    asked_.fetch_add(1, std::memory_order_release);
    return true;
}

template SessionInfo info_of(const Tables&, const nat::Sessions<nat::Session4>&, nat::Slot, std::uint32_t) noexcept;
template SessionInfo info_of(const Tables&, const nat::Sessions<nat::Session6>&, nat::Slot, std::uint32_t) noexcept;

}  // namespace sekisho::dataplane

// The two ends of a session with port blocks: who is reached, and what becomes of packets between them.
//
// Inner header of behind.cpp and behind_open.cpp. IPv4 only; worker threads.
#pragma once

#include <optional>

#include "dataplane/flow.hpp"

namespace sekisho::dataplane {

// One end of a session: where it is, what it is in hub space, and the space that its packets are known by.
struct End {
    nat::Endpoint inside, hub;
    std::uint16_t space = nat::kHubSpace;
    const WhoRow<Ipv4Address>* who = nullptr;   // of a client, and of a service behind a block
    const HubRow<Ipv4Address>* home = nullptr;  // of a service
    bool is_lent = false;                       // its port is, and no static map's
};

// A worker's share of a pool; explain has one of its own.
HeldShare hold(WorkerState& worker, const PortPoolRow& pool, WorkerId lender) noexcept;
inline HeldShare hold_of(WorkerState& worker, const PortPoolRow& pool, const nat::Endpoint& outside) noexcept {
    return hold(worker, pool, pool.shares->lender_of(outside));
}

inline const PortPoolRow& pool_of(const Tables& tables, const WhoRow<Ipv4Address>& who) noexcept {
    return tables.port_pools[tables.ipv4.hub_rows[who.behind].pool - 1U];
}
// The pool that has this address; nullptr: none.
const PortPoolRow* pool_with(const Tables& tables, Ipv4Address address) noexcept;

// Who is reached at a hub-space endpoint of row `row`: by its prefix map, a static map, or the port that it is lent.
// nullopt: of a pool, and nobody is.
std::optional<End> service_at(const Walk& walk, const HubRow<Ipv4Address>& row, const nat::Endpoint& hub,
                              nat::PortProtocol protocol) noexcept;

// Whether an agreement lets this client of the VRF open to the service.
bool may_open(const Tables& tables, VrfId client, const WhoRow<Ipv4Address>& who, const End& service,
              std::uint8_t protocol) noexcept;

// Both directions of a session between two ends: the keys that their packets arrive with, and how they leave. The
// receiver of a rewrite is the row of `hub` of whoever is behind a block; kNotBehind: it is as admit has found.
struct Directions {
    nat::SessionKey4 forward, reverse;
    nat::Rewrite<Ipv4Address> to_forward, to_reverse;
};
Directions directions_of(const End& client, const End& service, std::uint8_t protocol) noexcept;

}  // namespace sekisho::dataplane

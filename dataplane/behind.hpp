// Sessions with an end behind a port block: decided again, ended, and what becomes of a packet by one. Opened they are
// in behind_open.hpp.
//
// RFC 4787, 5382, 5508, 6888. Such a session is twins, one for each direction, and holds the whole rewrite: both
// addresses, both ports, and the receiver's row. The client's port is lent by its worker's share of the pool, or
// is its static map's; a service behind a block is reached by a static map, or by a port that it is lent, as far as its
// filtering lets clients in. IPv4 only; the owner's thread.
#pragma once

#include "dataplane/flow.hpp"
#include "net/drop_reason.hpp"

namespace sekisho::dataplane {

// Whether these tables let the session go on, with the port that it has; its rewrite is then by them.
bool is_agreed_behind(Walk& walk, nat::Slot slot) noexcept;

// The packet leaves by this rewrite of a session that these tables let go on. A reason: a gate closes who is there.
inline std::optional<DropReason> take_rewrite(Walk& walk, std::size_t i,
                                              const nat::Rewrite<Ipv4Address>& rewrite) noexcept {
    const Tables& tables = walk.tables;
    Packet& packet = walk.packets[i];
    if (rewrite.receiver != WhoRow<Ipv4Address>::kNotBehind) {
        if (tables.is_closed(tables.ipv4.hub_rows[rewrite.receiver].institution)) return DropReason::institution_closed;
        packet.hub_row = rewrite.receiver;
    }
    walk.worker.rewrites[i] = rewrite;
    packet.mark(Packet::kBySession);
    packet.decided_in = Packet::low_bits(tables.generation);
    return std::nullopt;
}

// Ends a session of either kind and family; its port goes back.
template <class Address>
void end_session(WorkerState& worker, const Tables& tables, nat::Slot slot, std::uint32_t now) noexcept;
// What end_session() does for a session that ends by itself.
void give_port_back(WorkerState& worker, const Tables& tables, const nat::Session4& session,
                    std::uint32_t now) noexcept;
inline void give_port_back(WorkerState&, const Tables&, const nat::Session6&, std::uint32_t) noexcept {}

}  // namespace sekisho::dataplane

// Sessions with an end behind a port block: decided again, ended, and what becomes of a packet by one. Opened they are
// in behind_open.hpp.
//
// RFC 4787, 5382, 5508, 6888. Such a session is twins, one for each direction, and holds the whole rewrite: both
// addresses, both ports, and what they do to checksums. The client's port is lent by its worker's share of the pool, or
// is its static map's; a service behind a block is reached by a static map, or by a port that it is lent, as far as its
// filtering lets clients in. IPv4 only; the owner's thread.
#pragma once

#include <span>

#include "dataplane/flow.hpp"
#include "net/drop_reason.hpp"

namespace sekisho::dataplane {

// Whether these tables let the session go on, with the port that it has; its rewrite is then by them.
bool is_agreed_behind(Walk& walk, nat::Slot slot) noexcept;

// The row of `who` of a packet's receiver, where the packet is to a pool's address and its session leads to
// `destination`; kNoRow: nobody is there. The same for all packets of a burst that have a session, in one lookup.
lpm::Row receiver_of(const Walk& walk, const Packet& packet, Ipv4Address destination) noexcept;
void find_receivers(const Walk& walk, std::span<const std::size_t> packets, std::span<const FlowOf<Ipv4Address>> flows,
                    std::span<const nat::Slot> slots, std::span<lpm::Row> receivers) noexcept;

// The packet leaves by this rewrite: to the row of its receiver, where that is behind a block, and otherwise as it was.
// A reason: a gate closes who is there, or nobody is.
std::optional<DropReason> take_rewrite(Walk& walk, std::size_t packet, const nat::Rewrite<Ipv4Address>& rewrite,
                                       lpm::Row receiver) noexcept;

// Ends a session of either kind and family; its port goes back.
template <class Address>
void end_session(WorkerState& worker, const Tables& tables, nat::Slot slot, std::uint32_t now) noexcept;
// What end_session() does for a session that ends by itself.
void give_port_back(WorkerState& worker, const Tables& tables, const nat::Session4& session,
                    std::uint32_t now) noexcept;
inline void give_port_back(WorkerState&, const Tables&, const nat::Session6&, std::uint32_t) noexcept {}

}  // namespace sekisho::dataplane

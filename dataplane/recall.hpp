// What the rooms of stage 4 share about sessions: the flow that a packet is of, in hub space, whose it is, and whether
// an agreement still covers it.
//
// Both ends of a flow are told by their hub-space addresses, which no two operators share, so both directions, and what
// an ICMP error quotes, have one key. Worker threads.
#pragma once

#include "dataplane/walk.hpp"
#include "nat/session_key.hpp"

namespace sekisho::dataplane {

template <class Address>
using SessionKeyOf = decltype(nat::SessionOf<Address>::type::key);
template <class Address>
using FlowOf = nat::Canonical<SessionKeyOf<Address>>;

// The flow of a packet between two hub-space addresses; `fields` has its protocol and ports.
template <class Address>
FlowOf<Address> flow_of(const Packet& fields, const Address& source, const Address& destination) noexcept {
    SessionKeyOf<Address> key;
    key.source = source;
    key.destination = destination;
    key.source_port = fields.source_port.value();
    key.destination_port = fields.destination_port.value();
    key.protocol = fields.protocol;
    return nat::canonical(key);
}

// Whether a tracked agreement lets the client of this flow reach its service: forward, the key's source is the client.
// By the tables of this walk, from the hub-space addresses alone.
bool is_tracked(const Tables& tables, const nat::SessionKey4& key, nat::Direction direction) noexcept;
bool is_tracked(const Tables& tables, const nat::SessionKey6& key, nat::Direction direction) noexcept;

// Whether a tracked agreement is in this permission for what the packet wants.
template <class Address>
bool may_open_session(const Tables& tables, Permissions::Index permission, const Packet& packet) noexcept;

// Whose a flow is: the same worker for both directions.
WorkerId owner_of(const Walk& walk, const FlowOf<Ipv4Address>& flow) noexcept;
WorkerId owner_of(const Walk& walk, const FlowOf<Ipv6Address>& flow) noexcept;

// Whether this worker has a session of the flow, and an agreement still covers it.
bool is_of_session(Walk& walk, const FlowOf<Ipv4Address>& flow) noexcept;
bool is_of_session(Walk& walk, const FlowOf<Ipv6Address>& flow) noexcept;

}  // namespace sekisho::dataplane

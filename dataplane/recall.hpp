// What the rooms of stage 4 share about sessions: whether an agreement still covers one, and which one a flow has.
// Worker threads.
#pragma once

#include "dataplane/flow.hpp"

namespace sekisho::dataplane {

// Whether a tracked agreement lets the client of this flow reach its service: forward, the key's source is the client.
// By the tables of this walk, from the hub-space addresses alone.
bool is_tracked(const Tables& tables, const nat::SessionKey4& key, nat::Direction direction) noexcept;
bool is_tracked(const Tables& tables, const nat::SessionKey6& key, nat::Direction direction) noexcept;

// This worker's session of the flow, if an agreement still covers it; kNoSlot: there is none.
nat::Slot session_of(Walk& walk, const FlowOf<Ipv4Address>& flow) noexcept;
nat::Slot session_of(Walk& walk, const FlowOf<Ipv6Address>& flow) noexcept;

}  // namespace sekisho::dataplane

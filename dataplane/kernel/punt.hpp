// The kernel's share of an attachment: what goes to its TAP, and what comes from there.
//
// Worker threads. The rings and the TAPs behind them: kernel/share.hpp, kernel/taps.hpp.
#pragma once

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

// Ends the packet, which is for one of the hub's own addresses: to the attachment's TAP, as it came but without its
// tag, within the budget of its class; dropped by `otherwise` when the attachment has none.
void punt(Walk& walk, std::size_t packet, DropReason otherwise) noexcept;

// Gives the TAP, if there is one, a copy of what the hub itself takes: the kernel asks its neighbours, too.
void show_kernel(Walk& walk, const Packet& packet) noexcept;

// The keeper: takes a frame that the kernel sends, on the account of the walk's port, as one that the hub makes. It
// leaves by its own attachment and no other, with the tag, and only from that attachment's MAC and IP addresses.
void take_from_kernel(Walk& walk, const FrameRing::Frame& frame) noexcept;

}  // namespace sekisho::dataplane

// Fragmentation on the way out (RFC 791 §2.3, RFC 1812 §4.2.2.7, §5.2.6): an IPv4 packet that may be fragmented, as the
// fragments that fit through its way.
//
// All of them or none: the buffers are there before the first byte is changed. Worker thread.
#pragma once

#include <optional>

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

// Puts the packet, which is ready to be sent, into the outbox as fragments of at most `mtu` bytes: the first one in its
// own buffer, the others in fresh ones, which are counted as made. Or says why not, and nothing has happened.
std::optional<DropReason> send_in_fragments(Walk& walk, Packet& packet, PortId port, std::uint16_t mtu) noexcept;

// The same for a packet that is to be sealed: the fragments become packets of the walk, the first one in the packet's
// own place, and are added to `out` in order.
std::optional<DropReason> cut_to_be_sealed(Walk& walk, std::size_t packet, std::uint16_t mtu, Lane& out) noexcept;

}  // namespace sekisho::dataplane

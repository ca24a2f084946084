// What a translator, or a tracker, knows of a TCP connection: a small machine over (state, flags, direction).
//
// RFC 5382 and RFC 7857, with the states of RFC 6146 §3.5.2.2, and one more: an answer alone does not make a connection
// that is kept for hours; the opener must have gone on. It looks at flags only, not at sequence numbers. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "net/headers.hpp"

namespace sekisho::nat {

// Forward is the direction of whoever the session was made for.
enum class Direction : std::uint8_t { forward, reverse };

enum class TcpState : std::uint8_t {
    none,         // no packet was seen
    opening,      // SYN forward
    unsolicited,  // SYN in reverse, unasked: held back for a while (RFC 5382 §4.3 REQ-4)
    answered,     // SYNs both ways, simultaneous or the second with ACK
    established,
    forward_closed,  // FIN forward: half closed
    reverse_closed,  // FIN in reverse
    closed,          // FINs both ways
    reset,           // RST; what follows revives it (RFC 7857 §2.2)
};
inline constexpr std::array<std::string_view, 9> kTcpStateNames = {
    "none", "opening", "unsolicited", "answered", "established", "forward closed", "reverse closed", "closed", "reset"};

constexpr TcpState next(TcpState state, std::uint8_t flags, Direction direction) noexcept {
    const bool forward = direction == Direction::forward;
    const bool syn = (flags & kTcpSyn) != 0;
    const bool ack = (flags & kTcpAck) != 0;
    const bool fin = (flags & kTcpFin) != 0;
    if ((flags & kTcpRst) != 0) return state == TcpState::none ? state : TcpState::reset;
    const bool opens = syn && !ack;
    switch (state) {
        case TcpState::none:
            if (!opens) return state;
            return forward ? TcpState::opening : TcpState::unsolicited;
        case TcpState::opening: return syn && !forward ? TcpState::answered : state;  // RFC 5382 REQ-2: with ACK or not
        case TcpState::unsolicited: return syn && forward ? TcpState::answered : state;
        case TcpState::answered:
            if (fin) return forward ? TcpState::forward_closed : TcpState::reverse_closed;
            return ack && !syn && forward ? TcpState::established : state;
        case TcpState::established:
            if (!fin) return state;
            return forward ? TcpState::forward_closed : TcpState::reverse_closed;
        case TcpState::forward_closed: return fin && !forward ? TcpState::closed : state;
        case TcpState::reverse_closed: return fin && forward ? TcpState::closed : state;
        // The same tuple again (RFC 9293 §3.6.1, from TIME-WAIT).
        case TcpState::closed: return opens && forward ? TcpState::opening : state;
        case TcpState::reset:
            if (opens) return forward ? TcpState::opening : state;
            return TcpState::established;
    }
    return state;
}

}  // namespace sekisho::nat

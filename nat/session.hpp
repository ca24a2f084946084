// One record of the session table.
//
// A flow that is not translated is one record for both directions, under its canonical key. A translated one is two,
// twins, one for each direction under the key that its packets arrive with, so that a packet costs one lookup and one
// record; they name each other by slot. Each keeps its own counters and time; the state of TCP stands in both, and is
// written to the other one only when it changes. Plain data; a worker's own.
#pragma once

#include <array>
#include <cstdint>

#include "nat/session_budget.hpp"
#include "nat/session_layout.hpp"
#include "nat/tcp_state.hpp"

namespace sekisho::nat {

// What a session does to a packet of one direction. The identity for tracked flows.
template <class Address>
struct Rewrite {
    Address source;
    Address destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint32_t receiver = 0;  // a number of the caller's, as good as the epoch that it was decided under
};

struct SessionMarks {
    static constexpr std::uint8_t kTranslated = 1;  // has a twin and a rewrite
    static constexpr std::uint8_t kReverse = 2;     // translated: the record of the reverse direction
    static constexpr std::uint8_t kTurned = 4;      // not translated: forward is from the key's destination
    static constexpr std::uint8_t kReplied = 8;     // a packet came back
    static constexpr std::uint8_t kToLent = 16;     // translated: the service's port is lent, and kept by it
    static constexpr std::uint8_t kHeldBack = 32;   // and filtered, until a packet comes back
};

// The direction of a packet by the marks of its record. `turned`: the packet's own key is turned round (canonical()).
constexpr Direction direction_by(unsigned marks, bool turned) noexcept {
    const bool forward = (marks & SessionMarks::kTranslated) != 0 ? (marks & SessionMarks::kReverse) == 0
                                                                  : turned == ((marks & SessionMarks::kTurned) != 0);
    return forward ? Direction::forward : Direction::reverse;
}

// By `turned`, a bit for each value of the marks: whether packets of the direction are let in and change no mark.
inline constexpr std::array<std::uint64_t, 2> kMarksOfUsual = [] {
    std::array<std::uint64_t, 2> bits{};
    for (unsigned marks = 0; marks < 64; ++marks)
        for (const bool turned : {false, true}) {
            const bool seen =
                direction_by(marks, turned) == Direction::forward || (marks & SessionMarks::kReplied) != 0;
            if (seen && (marks & SessionMarks::kHeldBack) == 0) bits[turned ? 1 : 0] |= std::uint64_t{1} << marks;
        }
    return bits;
}();

// What all classes have beside key and rewrite.
struct SessionCore {
    Slot twin;              // itself, without one
    std::uint32_t seen;     // second of the latest packet
    std::uint32_t packets;  // modulo 2^32
    std::uint32_t epoch;    // of the tables that it was decided under: both operators' together
    std::uint64_t bytes;
    InstitutionId institution;  // whose budget it is on
    OperatorId operator_id;
    TcpState state;
    std::uint8_t marks;

    bool is(std::uint8_t mark) const noexcept { return (marks & mark) != 0; }
    // Whether a packet is let in and changes nothing but counters and time, as nearly all do.
    bool is_usual(bool turned, std::uint8_t protocol, std::uint8_t tcp_flags) const noexcept {
        if ((kMarksOfUsual[turned ? 1 : 0] >> marks & 1) == 0) return false;
        if (protocol != kProtocolTcp) return protocol == kProtocolUdp;
        return state == TcpState::established && (tcp_flags & (kTcpSyn | kTcpFin | kTcpRst)) == 0;
    }
    // `at`: second.
    void count(std::uint32_t length, std::uint32_t at) noexcept {
        ++packets;
        bytes += length;
        seen = at;
    }
    SessionOwner owner() const noexcept { return {institution, operator_id}; }
};
static_assert(sizeof(SessionCore) == 32);

struct alignas(64) Session4 {
    SessionKey4 key;
    SessionCore core;
    Rewrite<Ipv4Address> rewrite;
};
static_assert(sizeof(Session4) == 64);

// The first line holds the key and what every packet touches; the rewrite comes with the second.
struct alignas(64) Session6 {
    SessionKey6 key;
    SessionCore core;
    Rewrite<Ipv6Address> rewrite;
};
static_assert(sizeof(Session6) == 128);

template <class Address>
struct SessionOf;
template <>
struct SessionOf<Ipv4Address> {
    using type = Session4;
};
template <>
struct SessionOf<Ipv6Address> {
    using type = Session6;
};

}  // namespace sekisho::nat

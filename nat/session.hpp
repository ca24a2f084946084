// One record of the session table.
//
// A flow that is not translated is one record for both directions, under its canonical key. A translated one is two,
// twins, one for each direction under the key that its packets arrive with, so that a packet costs one lookup and one
// record; they name each other by slot. Each keeps its own counters and time; the state of TCP stands in both, and is
// written to the other one only when it changes. Plain data; a worker's own.
#pragma once

#include <cstdint>

#include "nat/session_budget.hpp"
#include "nat/session_layout.hpp"
#include "nat/tcp_state.hpp"
#include "net/checksum.hpp"

namespace sekisho::nat {

// What a session does to a packet of one direction. The identity for tracked flows.
template <class Address>
struct Rewrite {
    Address source;
    Address destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint16_t addresses = 0;  // ChecksumDelta bits: what the addresses do to a checksum
    std::uint16_t ports = 0;      // and the ports
};

struct SessionMarks {
    static constexpr std::uint8_t kTranslated = 1;  // has a twin and a rewrite
    static constexpr std::uint8_t kReverse = 2;     // translated: the record of the reverse direction
    static constexpr std::uint8_t kTurned = 4;      // not translated: forward is from the key's destination
    static constexpr std::uint8_t kReplied = 8;     // a packet came back
    static constexpr std::uint8_t kToLent = 16;     // translated: the service's port is lent, and kept by it
    static constexpr std::uint8_t kHeldBack = 32;   // and filtered, until a packet comes back
};

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

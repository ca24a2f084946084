// What is counted: packets by port and outcome, by drop reason, and by stage of the path.
//
// Each worker writes counters of its own, plainly. Control never reads them: it asks, and the worker copies them
// between two walks, so every copy balances (DESIGN: received + made = sent + dropped + punted + consumed + held).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "net/drop_reason.hpp"

namespace sekisho::dataplane {

// X(name, what it does), in packet order.
#define SEKISHO_STAGES(X)                                                     \
    X(parse, "Ethernet, VLAN, IP and L4 headers; which attachment")           \
    X(local, "ARP, neighbour discovery and echo for the hub's own addresses") \
    X(fragments, "later fragments follow their first, or wait for it")        \
    X(admit, "who is asking, where to, and may they")                         \
    X(admit_errors, "ICMP errors, admitted by what they quote")               \
    X(fit, "TTL, way out, MTU")                                               \
    X(translate, "addresses, TTL and checksums rewritten")                    \
    X(depart, "next hop's Ethernet header; hold and ask when it is unknown")  \
    X(transmit, "handed to the ports")

enum class Stage : std::uint8_t {
#define SEKISHO_STAGE_NAME(name, sentence) name,
    SEKISHO_STAGES(SEKISHO_STAGE_NAME)
#undef SEKISHO_STAGE_NAME
};
struct StageText {
    std::string_view name;
    std::string_view sentence;
};
inline constexpr std::array kStages = {
#define SEKISHO_STAGE_ROW(name, sentence) StageText{#name, sentence},
    SEKISHO_STAGES(SEKISHO_STAGE_ROW)
#undef SEKISHO_STAGE_ROW
};

struct StageCounters {
    std::uint64_t packets = 0;
    std::uint64_t bursts = 0;
    std::uint64_t timed_packets = 0;  // of the walks that were timed, one in sixteen
    std::uint64_t timed_cycles = 0;   // TSC cycles
};

// Packets that came by one port, and what the hub made on their account, by outcome.
struct PortCounters {
    std::uint64_t received = 0;
    std::uint64_t received_bytes = 0;
    std::uint64_t made = 0;      // replies, ICMP errors, questions to neighbours, extra fragments
    std::uint64_t sent = 0;      // by whatever port they left
    std::uint64_t punted = 0;    // to the kernel
    std::uint64_t consumed = 0;  // answered here, or learned from
    std::uint64_t held = 0;      // now waiting: for a neighbour, a first fragment, or the next walk
    std::array<std::uint64_t, kDropReasonCount> dropped{};

    // What left by this port, whichever port it had come by.
    std::uint64_t transmitted = 0;
    std::uint64_t transmitted_bytes = 0;

    // ICMP errors and answers that were not made: over their rate, or no buffer.
    std::uint64_t not_made_rate = 0;
    std::uint64_t not_made_buffer = 0;

    std::uint64_t total_dropped() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint64_t count : dropped) sum += count;
        return sum;
    }
    // Zero, always: what came or was made less what became of it.
    std::int64_t unaccounted() const noexcept {
        return static_cast<std::int64_t>(received + made - sent - total_dropped() - punted - consumed - held);
    }
    PortCounters& operator+=(const PortCounters& other) noexcept;
};

struct Counters {
    std::vector<PortCounters> ports;  // by PortId
    std::array<StageCounters, kStages.size()> stages{};
    std::uint64_t walks = 0;
    std::uint64_t polls = 0;  // of a port's queue
    std::uint64_t empty_polls = 0;
    std::uint64_t busy_cycles = 0;  // TSC cycles in loops that found work
    std::uint64_t tsc_hz = 0;       // what a cycle is here

    explicit Counters(std::size_t port_count = 0) : ports(port_count) {}
    PortCounters node() const noexcept;  // all ports together
    Counters& operator+=(const Counters& other);
};

// How control gets a consistent copy: it asks, the worker answers between two walks. One asker at a time.
class CounterMailbox {
  public:
    // Control: asks. Then poll taken() until it is true; `copy` is then filled.
    void ask() noexcept { state_.store(State::asked, std::memory_order_release); }
    bool taken(Counters& copy) {
        if (state_.load(std::memory_order_acquire) != State::answered) return false;
        copy = copy_;
        state_.store(State::idle, std::memory_order_relaxed);
        return true;
    }
    // Worker, between walks.
    bool asked() const noexcept { return state_.load(std::memory_order_relaxed) == State::asked; }
    void answer(const Counters& counters) {
        if (state_.load(std::memory_order_acquire) != State::asked) return;
        copy_ = counters;
        state_.store(State::answered, std::memory_order_release);
    }

  private:
    enum class State : std::uint8_t { idle, asked, answered };
    std::atomic<State> state_{State::idle};
    Counters copy_;
};

}  // namespace sekisho::dataplane

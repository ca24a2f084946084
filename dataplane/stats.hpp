// What is counted: packets by port and outcome, by drop reason, and by stage of the path.
//
// Each worker writes counters of its own, plainly. Control never reads them: it asks, and the worker copies them
// between two walks, so every copy balances (received + made = sent + dropped + punted + consumed + held). What goes
// from one worker to another is added to `held` by the first and taken off by the second: see CounterMailbox.
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
    X(spread, "which worker it is for, where the port cannot say")            \
    X(hand_over, "given to another worker")                                   \
    X(hand_in, "taken from another worker")                                   \
    X(kernel_in, "frames that the kernel sends by its TAPs")                  \
    X(parse, "Ethernet, VLAN, IP and L4 headers; which attachment")           \
    X(reassemble, "fragments of ESP for the hub put together")                \
    X(open, "ESP: authentic, no replay, and what its SA may carry")           \
    X(local, "ARP, neighbour discovery and echo for the hub's own addresses") \
    X(fragments, "later fragments follow their first, or wait for it")        \
    X(recognise, "flows admitted lately: verdict, way and rewrite are known") \
    X(admit, "who is asking, where to, and may they")                         \
    X(recall, "of which session: found, decided again, or opened")            \
    X(admit_errors, "ICMP errors, admitted by what they quote")               \
    X(fit, "TTL, way out, MTU")                                               \
    X(remember, "flows admitted now, for their next packets")                 \
    X(translate, "addresses, TTL and checksums rewritten")                    \
    X(seal, "ESP: number, cipher, outer header; cut first if too long")       \
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
    // Now waiting: for a neighbour, a first fragment, the next walk, another worker. Of one worker alone mod 2^64.
    std::uint64_t held = 0;
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
    std::uint64_t busy_cycles = 0;      // TSC cycles in loops that found work
    std::uint64_t handed_over = 0;      // to other workers
    std::uint64_t handed_in = 0;        // by other workers
    std::uint64_t sessions = 0;         // records that there are now
    std::uint64_t sessions_opened = 0;  // since the start
    std::uint64_t tsc_hz = 0;           // what a cycle is here

    explicit Counters(std::size_t port_count = 0) : ports(port_count) {}
    PortCounters node() const noexcept;  // all ports together
    Counters& operator+=(const Counters& other);
};

// How control gets consistent copies: it raises one number, the call, that all workers read; each answers between two
// walks. One asker at a time. The copies are of different moments, yet their sum is of one state that could have been:
// a worker answers *after* it looked into a ring and *before* it takes from it. If a packet was given after its giver
// had answered, the giver had read the call before it published the packet; the taker, who sees the packet published,
// sees the call too, and answers before it takes. So no copy has taken what another copy has not given, and what lies
// in the rings is the difference: `held`, summed, is exact.
class CounterMailbox {
  public:
    explicit CounterMailbox(const std::atomic<std::uint64_t>& call) noexcept : call_(call) {}

    // Control, having raised the call: true if the worker has answered this one; `copy` is then filled.
    bool taken(Counters& copy) const {
        if (answered_.load(std::memory_order_acquire) != call_.load(std::memory_order_relaxed)) return false;
        copy = copy_;
        return true;
    }
    // Worker, between walks. While a call is answered control reads the copy; it writes none before the next call.
    void answer_if_asked(const Counters& counters) {
        const std::uint64_t call = call_.load(std::memory_order_acquire);
        if (call == answered_.load(std::memory_order_relaxed)) [[likely]]
            return;
        copy_ = counters;
        answered_.store(call, std::memory_order_release);
    }

  private:
    const std::atomic<std::uint64_t>& call_;
    std::atomic<std::uint64_t> answered_{0};
    Counters copy_;
};

}  // namespace sekisho::dataplane

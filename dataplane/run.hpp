// Runs a stage and counts it: packets and bursts always, TSC cycles on one walk in sixteen (reading the TSC costs 24
// cycles).
#pragma once

#include <rte_cycles.h>

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

inline constexpr std::uint32_t kTimedWalks = 16;

template <Stage kStage, class Call>
void run(WorkerState& worker, std::size_t packets, Call&& call) noexcept {
    if (packets == 0) return;
    StageCounters& counters = worker.counters.stages[static_cast<std::size_t>(kStage)];
    counters.packets += packets;
    ++counters.bursts;
    if (worker.walk_number % kTimedWalks != 0) return call();
    const std::uint64_t before = rte_rdtsc();
    call();
    counters.timed_cycles += rte_rdtsc() - before;
    counters.timed_packets += packets;
}

template <Stage kStage, class Call>
void run(Walk& walk, std::size_t packets, Call&& call) noexcept {
    run<kStage>(walk.worker, packets, std::forward<Call>(call));
}

template <Stage kStage, class Call>
void run(Walk& walk, const Lane& lane, Call&& call) noexcept {
    run<kStage>(walk.worker, lane.size(), std::forward<Call>(call));
}

}  // namespace sekisho::dataplane

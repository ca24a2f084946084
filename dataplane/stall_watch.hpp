// Notices a worker that has not finished a round for too long, and that it goes on again.
//
// Every worker counts its rounds in a word that control looks at now and then (Pulse). A worker that sleeps says so and
// is not stalled. Control thread, but for Pulse's writing half.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "net/ids.hpp"

namespace sekisho::dataplane {

// A worker's sign of life, on a cache line of its own. The worker writes, control reads.
class alignas(64) Pulse {
  public:
    static constexpr std::uint64_t kAsleep = 1;

    void beat() noexcept { word_.store(rounds_ += 2, std::memory_order_relaxed); }  // after each round
    void fall_asleep() noexcept { word_.store(rounds_ | kAsleep, std::memory_order_relaxed); }

    std::uint64_t read() const noexcept { return word_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> word_{kAsleep};  // not running yet
    std::uint64_t rounds_ = 0;
};

class StallWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds kPatience{100};

    struct Event {
        WorkerId worker;
        bool stalled = false;                 // false: it goes on again
        std::chrono::milliseconds silence{};  // how long it had finished no round
    };

    explicit StallWatch(std::size_t workers) : seen_(workers) {}

    // Looks at one worker's pulse; something to say of it only when its state changed.
    std::optional<Event> look(WorkerId worker, std::uint64_t pulse, Time now) {
        Seen& seen = seen_[worker.index()];
        const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(now - seen.since);
        if (!seen.known || pulse != seen.pulse || (pulse & Pulse::kAsleep) != 0) {
            const bool recovered = seen.stalled;
            seen = {pulse, now, true, false};
            if (recovered) return Event{worker, false, silence};
            return std::nullopt;
        }
        if (seen.stalled || silence < kPatience) return std::nullopt;
        seen.stalled = true;
        return Event{worker, true, silence};
    }
    // Since when it has finished no round, of a stalled worker.
    std::optional<Time> stalled_since(WorkerId worker) const {
        const Seen& seen = seen_[worker.index()];
        return seen.stalled ? std::optional(seen.since) : std::nullopt;
    }

  private:
    struct Seen {
        std::uint64_t pulse = 0;
        Time since{};
        bool known = false;
        bool stalled = false;
    };
    std::vector<Seen> seen_;
};

}  // namespace sekisho::dataplane

// How long an SA may live: soft and hard limits by bytes, packets and time (RFC 4301 §4.4.2.1).
//
// Workers count once a burst, and only what was authenticated; control ticks the time. A soft limit raises one event. A
// hard limit ends the SA at once: bursts that began before it finish, one a worker at most. Control takes the events;
// it is told nothing else. The words share a cache line of their own.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/expected.hpp"
#include "net/prefetch.hpp"

namespace sekisho::crypto {

// 0 is no limit. Bytes are those that the cipher works on.
struct LifetimeLimits {
    std::uint64_t soft_bytes = 0;
    std::uint64_t hard_bytes = 0;
    std::uint64_t soft_packets = 0;
    std::uint64_t hard_packets = 0;
    std::chrono::seconds soft_time{0};
    std::chrono::seconds hard_time{0};
};

enum class LifetimeEvent : std::uint8_t {
    soft_bytes,
    soft_packets,
    soft_time,
    soft_sequence,
    hard_bytes,
    hard_packets,
    hard_time
};

struct LifetimeEventText {
    std::string_view name;
    std::string_view sentence;
};
inline constexpr std::array kLifetimeEvents = {
    LifetimeEventText{"soft_bytes", "the SA has carried the bytes of its soft lifetime"},
    LifetimeEventText{"soft_packets", "the SA has carried the packets of its soft lifetime"},
    LifetimeEventText{"soft_time", "the SA is as old as its soft lifetime"},
    LifetimeEventText{"soft_sequence", "the SA has used most of its sequence numbers"},
    LifetimeEventText{"hard_bytes", "the SA ended: it has carried the bytes of its hard lifetime"},
    LifetimeEventText{"hard_packets", "the SA ended: it has carried the packets of its hard lifetime"},
    LifetimeEventText{"hard_time", "the SA ended: it is as old as its hard lifetime"},
};
constexpr const LifetimeEventText& text_of(LifetimeEvent event) noexcept {
    return kLifetimeEvents[static_cast<std::size_t>(event)];
}

// A soft limit lies below the hard one where there are both.
Expected<void> check(const LifetimeLimits& limits);

class alignas(64) Lifetime {
  public:
    explicit Lifetime(const LifetimeLimits& limits) noexcept : limits_(limits) {}

    bool is_over() const noexcept { return over_.load(std::memory_order_relaxed); }

    // Asks for what workers read and write.
    void prefetch() const noexcept { sekisho::prefetch_to_l2(this); }

    // Workers, once a burst: what was sealed, or opened and authentic.
    void count(std::uint64_t bytes, std::uint64_t packets) noexcept {
        const std::uint64_t bytes_before = bytes_.fetch_add(bytes, std::memory_order_relaxed);
        const std::uint64_t packets_before = packets_.fetch_add(packets, std::memory_order_relaxed);
        cross(bytes_before, bytes_before + bytes, limits_.soft_bytes, LifetimeEvent::soft_bytes, false);
        cross(bytes_before, bytes_before + bytes, limits_.hard_bytes, LifetimeEvent::hard_bytes, true);
        cross(packets_before, packets_before + packets, limits_.soft_packets, LifetimeEvent::soft_packets, false);
        cross(packets_before, packets_before + packets, limits_.hard_packets, LifetimeEvent::hard_packets, true);
    }

    // Control, now and then: how old the SA is.
    void tick(std::chrono::seconds age) noexcept {
        const auto before = static_cast<std::uint64_t>(age_.count());
        const auto now = static_cast<std::uint64_t>(age.count());
        cross(before, now, static_cast<std::uint64_t>(limits_.soft_time.count()), LifetimeEvent::soft_time, false);
        cross(before, now, static_cast<std::uint64_t>(limits_.hard_time.count()), LifetimeEvent::hard_time, true);
        if (age > age_) age_ = age;
    }

    void raise(LifetimeEvent event) noexcept {
        events_.fetch_or(1U << static_cast<unsigned>(event), std::memory_order_relaxed);
    }
    // Control: the events since the last call, one bit each, by LifetimeEvent's number. Each event comes once in a
    // life.
    std::uint32_t take_events() noexcept { return events_.exchange(0, std::memory_order_relaxed); }
    static bool has(std::uint32_t events, LifetimeEvent event) noexcept {
        return (events >> static_cast<unsigned>(event) & 1) != 0;
    }

    std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    std::uint64_t packets() const noexcept { return packets_.load(std::memory_order_relaxed); }
    const LifetimeLimits& limits() const noexcept { return limits_; }

  private:
    // Sums only grow, and each lies between one caller's before and after: so one caller sees the limit crossed.
    void cross(std::uint64_t before, std::uint64_t after, std::uint64_t limit, LifetimeEvent event,
               bool ends) noexcept {
        if (limit == 0 || after < limit) return;
        // By whoever counts beyond it: the one that crosses may be held up here, and the others' next bursts are not to
        // wait for it.
        if (ends) over_.store(true, std::memory_order_relaxed);
        if (before < limit) raise(event);
    }

    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> packets_{0};
    std::atomic<std::uint32_t> events_{0};
    std::atomic<bool> over_{false};
    const LifetimeLimits limits_;  // those that workers read lie in the first line
    std::chrono::seconds age_{0};  // control's alone
};

}  // namespace sekisho::crypto

// What a worker has to tell control: a ring for each worker and kind of report, bounded, without locks.
//
// A ring that is full takes no more; the worker goes on.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sekisho::dataplane {

template <class Report>
class ReportRing {
  public:
    static constexpr std::size_t kCapacity = 64;

    // The worker.
    bool put(const Report& report) noexcept {
        const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == kCapacity) return false;
        slots_[tail % kCapacity] = report;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }
    // Control.
    bool take(Report& report) noexcept {
        const std::uint32_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire)) return false;
        report = slots_[head % kCapacity];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }

  private:
    alignas(64) std::atomic<std::uint32_t> head_{0};  // control writes
    alignas(64) std::atomic<std::uint32_t> tail_{0};  // the worker writes
    std::array<Report, kCapacity> slots_;
};

}  // namespace sekisho::dataplane

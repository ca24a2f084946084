// The sequence numbers of one outbound SA: one shared word from which workers take numbers a burst at a time.
//
// A number is used as ESP's sequence number and as the nonce's IV (RFC 4106 §3.1), so that none may be taken twice: not
// by two workers, and not after a restart. The first is this file's; the second is the ledger's, which raises the end
// of what may be taken only when that is durable. Numbers start at 1 (RFC 4303 §3.3.3) and never wrap.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace sekisho::crypto {

inline constexpr std::uint64_t kLastSequence = 0xffff'ffff;                     // without ESN
inline constexpr std::uint64_t kLastExtendedSequence = ~std::uint64_t{0} >> 1;  // half the space: nothing can overflow

// What take() gives: `count` numbers from `first` on.
struct SequenceRange {
    std::uint64_t first = 0;
    std::uint32_t count = 0;
};

// All of it lies in one cache line. Workers write next_; control (the ledger) writes end_; both read both.
class alignas(64) SequenceWord {
  public:
    // Control, before a worker sees the SA: numbers from `start` on, none beyond `last`, none at all before extend().
    void begin(std::uint64_t start, std::uint64_t last) noexcept {
        start_ = start;
        last_ = last;
        end_.store(start, std::memory_order_relaxed);
        next_.store(start, std::memory_order_relaxed);
    }

    // Control: numbers below `end` may be taken from now on. The end only rises.
    void extend(std::uint64_t end) noexcept {
        if (end > end_.load(std::memory_order_relaxed)) end_.store(end, std::memory_order_release);
    }

    // Up to `wanted` numbers that nobody else gets; fewer when the reserve or the SA ends. Never waits for anyone.
    SequenceRange take(std::uint32_t wanted) noexcept {
        const std::uint64_t end = std::min(end_.load(std::memory_order_acquire), last_ + 1);
        std::uint64_t next = next_.load(std::memory_order_relaxed);
        std::uint64_t count;
        do {
            count = next < end ? std::min<std::uint64_t>(wanted, end - next) : 0;
            if (count == 0) return {next, 0};
        } while (!next_.compare_exchange_weak(next, next + count, std::memory_order_relaxed));
        return {next, static_cast<std::uint32_t>(count)};
    }

    std::uint64_t next() const noexcept { return next_.load(std::memory_order_relaxed); }
    std::uint64_t end() const noexcept { return end_.load(std::memory_order_relaxed); }
    std::uint64_t last() const noexcept { return last_; }
    std::uint64_t taken() const noexcept { return next() - start_; }  // packets since begin()
    bool is_spent() const noexcept { return next() > last_; }         // else it is the reserve that ended

  private:
    std::atomic<std::uint64_t> next_{1};
    std::atomic<std::uint64_t> end_{1};
    std::uint64_t start_ = 1;
    std::uint64_t last_ = 0;
};
static_assert(sizeof(SequenceWord) == 64);

}  // namespace sekisho::crypto

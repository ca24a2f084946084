// The anti-replay window of one inbound SA, shared by all workers: each sequence number passes once (RFC 4303 §3.4.3).
//
// No lock. Numbers lie in blocks of 32; a slot is one 64-bit word {lap, 32 bits}, where the lap tells which of the
// blocks that share the slot the bits are of. A number is taken by setting its bit by compare-and-swap: in the slot's
// own lap, or by opening a newer one. Laps of a slot only grow, so a bit that was set is never clear again for its
// number: that alone makes each number pass at most once, whatever workers do at the same time. There are slots for
// twice the window, so no block within it meets another. A burst in order costs a swap for each block that it touches,
// and one for the top.
//
// All workers read and write; nothing else is written with it, so relaxed order suffices. Sequence numbers are 64-bit,
// with their high half inferred (infer_sequence()) where the packet carries only the low one.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

#include "net/expected.hpp"
#include "net/prefetch.hpp"

namespace sekisho::crypto {

inline constexpr std::uint32_t kDefaultReplayWindow = 4096;

// The 64-bit number that a packet with these low 32 bits has, by the highest one accepted so far (RFC 4303 appendix
// A2.2); 0 when it would lie before the first. Right while sender and window are less than 2^32 - window apart.
constexpr std::uint64_t infer_sequence(std::uint32_t low, std::uint64_t top, std::uint32_t window) noexcept {
    const std::uint64_t bottom = top - (window - 1);  // the window's oldest
    if (top < window - 1) [[unlikely]]                // or it lies before the first
        return low < static_cast<std::uint32_t>(bottom) ? low : 0;
    // From the oldest on the first one that ends in `low`: cases A and B in one.
    return bottom + static_cast<std::uint32_t>(low - static_cast<std::uint32_t>(bottom));
}

class ReplayWindow {
  public:
    static constexpr std::uint32_t kSmallest = 64;  // RFC 4303 §3.4.3 has 32 as the least, and 64 as what one should
    static constexpr std::uint32_t kLargest = 1U << 20;  // 512 KiB

    enum class Verdict : std::uint8_t {
        fresh,
        stale,      // left of the window, or 0
        duplicate,  // passed before
    };

    // Error: invalid, for a size that is no power of two or outside kSmallest to kLargest.
    static Expected<std::unique_ptr<ReplayWindow>> make(std::uint32_t size);
    static void operator delete(ReplayWindow* window, std::destroying_delete_t) noexcept;

    std::uint32_t size() const noexcept { return size_; }
    // The highest number accepted so far, 0 at first.
    std::uint64_t top() const noexcept { return top_.load(std::memory_order_relaxed); }

    // Asks for the words that look() and accept() read first; where a number lies, prefetch_slot() asks for.
    void prefetch() const noexcept { sekisho::prefetch_to_l2(this); }

    // What accept() would say now; changes nothing. For packets whose ICV is not known to be good.
    Verdict look(std::uint64_t sequence) const noexcept {
        const std::uint64_t highest = top();
        if (sequence > highest) return Verdict::fresh;  // in order, as most are
        if (is_stale(sequence, highest)) return Verdict::stale;
        const std::uint64_t slot = slots_[slot_of(sequence / kBits)].load(std::memory_order_relaxed);
        const std::uint32_t lap = lap_of(sequence / kBits);
        if (lap_in(slot) == lap && (slot >> (sequence % kBits) & 1) != 0) return Verdict::duplicate;
        return is_newer(lap_in(slot), lap) ? Verdict::stale : Verdict::fresh;
    }

    // Asks for the slot of a number.
    void prefetch_slot(std::uint64_t sequence) const noexcept { sekisho::prefetch(&slots_[slot_of(sequence / kBits)]); }

    // Takes these numbers, in this order; only what is fresh may go on. Call it after their ICVs are good, once a burst
    // (RFC 4303 §3.4.3: the window moves only then). As long as each other.
    void accept(std::span<const std::uint64_t> sequences, Verdict* verdicts) noexcept;

  private:
    static constexpr std::uint64_t kBits = 32;  // a slot
    static constexpr std::uint64_t kBitMask = 0xffff'ffff;

    ReplayWindow(std::uint32_t size, std::atomic<std::uint64_t>* slots) noexcept;
    static std::size_t slot_count(std::uint32_t size) noexcept { return 2 * std::size_t{size} / kBits; }

    bool is_stale(std::uint64_t sequence, std::uint64_t top) const noexcept {
        return sequence == 0 || (top >= size_ && sequence <= top - size_);
    }
    std::size_t slot_of(std::uint64_t block) const noexcept { return static_cast<std::size_t>(block & slot_mask_); }
    std::uint32_t lap_of(std::uint64_t block) const noexcept { return static_cast<std::uint32_t>(block >> lap_shift_); }
    static std::uint32_t lap_in(std::uint64_t slot) noexcept { return static_cast<std::uint32_t>(slot >> 32); }
    // Laps are kept modulo 2^32: with the smallest window 2^39 numbers. Two that are compared are less than half of
    // that apart, for the top rises by less than 2^32 at once (infer_sequence()) and older numbers are stale by it
    // already.
    static bool is_newer(std::uint32_t lap, std::uint32_t than) noexcept {
        return static_cast<std::int32_t>(lap - than) > 0;
    }

    void settle(std::uint64_t block, std::uint32_t mask, std::span<const std::uint64_t> sequences,
                Verdict* verdicts) noexcept;
    // Sets the bits of `mask` in the block: those that were not set before. `passed_by`: a newer block has the slot.
    std::uint32_t claim(std::uint64_t block, std::uint32_t mask, bool& passed_by) noexcept;

    // Half a line; the slots lie right behind, so the smallest window is one line in all.
    std::atomic<std::uint64_t> top_{0};
    std::atomic<std::uint64_t>* const slots_;
    const std::uint64_t slot_mask_;
    const std::uint32_t size_;
    const int lap_shift_;
};

}  // namespace sekisho::crypto

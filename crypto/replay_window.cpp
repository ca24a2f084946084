// Taking a burst's numbers: block by block, then the top.
#include "crypto/replay_window.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <string>

#include "crypto/pages.hpp"

namespace sekisho::crypto {

namespace {

// By the size of the window. They stay when the process ends: whatever is still there then may be in one.
ObjectPool& pool_of(std::uint32_t window, std::size_t bytes) {
    static auto& pools = *new std::array<std::unique_ptr<ObjectPool>, 32>;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    auto& pool = pools[static_cast<std::size_t>(std::countr_zero(window))];
    if (!pool) pool = std::make_unique<ObjectPool>(bytes);
    return *pool;
}

}  // namespace

ReplayWindow::ReplayWindow(std::uint32_t size, std::atomic<std::uint64_t>* slots) noexcept
    : slots_(slots), slot_mask_(slot_count(size) - 1), size_(size), lap_shift_(std::countr_zero(slot_count(size))) {}

Expected<std::unique_ptr<ReplayWindow>> ReplayWindow::make(std::uint32_t size) {
    if (size < kSmallest || size > kLargest || !std::has_single_bit(size))
        return Error{ErrorCode::invalid, "a replay window of " + std::to_string(size) +
                                             " packets: it must be a power of two from " + std::to_string(kSmallest) +
                                             " to " + std::to_string(kLargest)};
    static_assert(2 * sizeof(ReplayWindow) == kLine);
    static_assert(std::is_trivially_destructible_v<std::atomic<std::uint64_t>>);
    const std::size_t count = slot_count(size);
    auto* const place = static_cast<std::byte*>(
        pool_of(size, sizeof(ReplayWindow) + count * sizeof(std::atomic<std::uint64_t>)).take());
    auto* const slots = reinterpret_cast<std::atomic<std::uint64_t>*>(place + sizeof(ReplayWindow));
    std::uninitialized_value_construct_n(slots, count);
    return std::unique_ptr<ReplayWindow>(::new (place) ReplayWindow(size, slots));
}

void ReplayWindow::operator delete(ReplayWindow* window, std::destroying_delete_t) noexcept {
    ObjectPool& pool = pool_of(window->size_, 0);
    window->~ReplayWindow();
    pool.put_back(window);
}

std::uint32_t ReplayWindow::claim(std::uint64_t block, std::uint32_t mask, bool& passed_by) noexcept {
    std::atomic<std::uint64_t>& slot = slots_[slot_of(block)];
    const std::uint32_t lap = lap_of(block);
    std::uint64_t before = slot.load(std::memory_order_relaxed);
    std::uint64_t after;
    do {
        passed_by = is_newer(lap_in(before), lap);
        if (passed_by) return 0;
        const std::uint64_t bits = lap_in(before) == lap ? before & kBitMask : 0;
        if ((mask & ~bits) == 0) return 0;
        after = std::uint64_t{lap} << 32 | bits | mask;
    } while (!slot.compare_exchange_weak(before, after, std::memory_order_relaxed));
    const auto bits = static_cast<std::uint32_t>(lap_in(before) == lap ? before : 0);
    return mask & ~bits;
}

// Whoever sets a bit first has the number: takes the bits of `mask`, those of the fresh among `sequences`, all of one
// block, and corrects the verdicts of those that somebody else had taken.
void ReplayWindow::settle(std::uint64_t block, std::uint32_t mask, std::span<const std::uint64_t> sequences,
                          Verdict* verdicts) noexcept {
    bool passed_by = false;
    const std::uint32_t ours = mask == 0 ? 0 : claim(block, mask, passed_by);
    if (ours == mask) return;
    for (std::size_t i = 0; i < sequences.size(); ++i)
        if (verdicts[i] == Verdict::fresh && (ours >> (sequences[i] % kBits) & 1) == 0)
            verdicts[i] = passed_by ? Verdict::stale : Verdict::duplicate;
}

void ReplayWindow::accept(std::span<const std::uint64_t> sequences, Verdict* verdicts) noexcept {
    const std::uint64_t top_before = top();
    std::uint64_t top_now = top_before;
    // Numbers above the top, each one more than the one before: none is stale, none a copy of another.
    std::uint64_t gaps = sequences.empty() || sequences[0] <= top_before;
    for (std::size_t i = 0; i < sequences.size(); ++i) gaps |= sequences[i] - sequences[0] - i;
    if (gaps == 0) {
        std::fill_n(verdicts, sequences.size(), Verdict::fresh);
        for (std::size_t first = 0; first < sequences.size();) {
            const std::uint64_t bit = sequences[first] % kBits;
            const std::size_t count = std::min<std::size_t>(sequences.size() - first, kBits - bit);
            const auto mask = static_cast<std::uint32_t>(kBitMask >> (kBits - count) << bit);
            settle(sequences[first] / kBits, mask, sequences.subspan(first, count), verdicts + first);
            first += count;
        }
        top_now = sequences.back();
    } else {
        for (std::size_t first = 0; first < sequences.size();) {
            // What follows each other in one block is taken together.
            const std::uint64_t block = sequences[first] / kBits;
            std::uint32_t mask = 0;
            std::size_t end = first;
            for (; end < sequences.size() && sequences[end] / kBits == block; ++end) {
                const std::uint32_t bit = std::uint32_t{1} << (sequences[end] % kBits);
                verdicts[end] = is_stale(sequences[end], top_now) ? Verdict::stale
                                : (mask & bit) != 0               ? Verdict::duplicate
                                                                  : Verdict::fresh;
                if (verdicts[end] != Verdict::fresh) continue;
                mask |= bit;
                top_now = std::max(top_now, sequences[end]);
            }
            settle(block, mask, sequences.subspan(first, end - first), verdicts + first);
            first = end;
        }
    }
    // The top only rises.
    std::uint64_t top_seen = top_before;
    while (top_seen < top_now && !top_.compare_exchange_weak(top_seen, top_now, std::memory_order_relaxed)) {
    }
}

}  // namespace sekisho::crypto

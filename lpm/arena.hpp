// One range of memory for all blocks of a Fib, so that a block is found by a 32-bit number wherever it lies.
//
// Address space is reserved once and committed as it fills, so the base never moves under a reader. A block of at most
// a cache line never crosses one; a larger block starts one. Free space is told by one bit for each 16-byte unit; the
// lists only hint where to look, so an outdated hint is harmless. One writer, but give_back(), which any thread may
// call.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace sekisho::lpm {

// A block's place in units of 16 bytes from the base. 0 is no block.
using Unit = std::uint32_t;
inline constexpr std::size_t kUnitBytes = 16;
inline constexpr std::size_t kLineBytes = 64;
inline constexpr Unit kUnitsOfLine = kLineBytes / kUnitBytes;

constexpr std::size_t whole_units(std::size_t bytes) noexcept {
    return (bytes + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
}

struct Block {
    Unit unit = 0;
    std::uint32_t bytes = 0;
};

class Arena {
  public:
    static constexpr std::size_t kMostBytes = std::size_t{4} << 30;  // what references can name

    // Throws std::bad_alloc where the system has no address space to reserve.
    explicit Arena(std::size_t limit_bytes);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    std::byte* base() const noexcept { return base_; }
    std::byte* at(Unit unit) const noexcept { return base_ + std::size_t{unit} * kUnitBytes; }

    // A block of `bytes` (at least 1), not cleared; unit 0 when the limit is met. `epoch` is its birth.
    Block allocate(std::size_t bytes, std::uint32_t epoch);
    void free(Block block);
    // The same from any thread, for blocks that readers held; the writer takes them up when it next allocates.
    void give_back(std::vector<Block>&& blocks);

    std::uint32_t birth(Unit unit) const noexcept { return births_[unit]; }
    // What it takes of the machine's memory, at most: it never becomes less.
    std::size_t committed_bytes() const noexcept { return committed_ * kLineBytes; }

  private:
    using Lines = std::size_t;

    Unit allocate_small(std::uint32_t units);
    Unit allocate_lines(Lines lines);
    Unit gather_for(Lines lines);
    Unit first_given(Lines lines);
    Unit cut_run(Lines lines, Lines longest);
    bool take(Unit unit, std::uint32_t units);
    void mark(Unit unit, std::uint32_t units, bool used);
    void offer(Unit unit, std::uint32_t units);
    void offer_line(Lines line);
    void hint_part(Unit unit, Unit end);
    void hint_run(Lines line, Lines lines);
    void hint_again();
    bool commit(Lines upto);
    void take_up_returned();

    std::byte* base_ = nullptr;
    void* reserved_ = nullptr;
    std::size_t reserved_bytes_ = 0;
    Lines limit_ = 0;
    Lines committed_ = 0;
    Lines next_ = 1;                  // from here on nobody has any; line 0 is nobody's
    std::vector<std::uint8_t> used_;  // for each line: bit n is its unit n
    std::vector<std::uint32_t> births_;
    std::array<std::vector<Unit>, 5> parts_;   // hints: 1 to 4 free units in one line
    std::map<Lines, std::vector<Unit>> runs_;  // hints: two and more free lines
    std::size_t hints_ = 0;
    std::size_t free_units_ = 0;             // of the lines that were given before
    std::size_t freed_since_gathering_ = 0;  // units
    std::mutex returned_mutex_;
    std::vector<Block> returned_;
    std::atomic<bool> any_returned_ = false;
};

// Blocks that readers may still hold. The view that was current when they were let go holds the Limbo, and each Limbo
// holds the next, so a block goes back to the arena when the last view that can reach it is gone. Destroyed by any
// thread.
struct Limbo {
    explicit Limbo(std::shared_ptr<Arena> owner) : arena(std::move(owner)) {}
    ~Limbo();
    Limbo(const Limbo&) = delete;
    Limbo& operator=(const Limbo&) = delete;

    std::shared_ptr<Arena> arena;
    std::vector<Block> blocks;
    std::shared_ptr<Limbo> next;
};

}  // namespace sekisho::lpm

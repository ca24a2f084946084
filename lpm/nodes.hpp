// Nodes as the writer reads them: their size, a chunk's ranges, and all blocks of a table, gathered to be let go. The
// layout itself is in layout.hpp. Writer's thread.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "lpm/arena.hpp"
#include "lpm/layout.hpp"

namespace sekisho::lpm {

constexpr std::size_t direct_bytes(unsigned stride) noexcept {
    return std::max(kLineBytes, sizeof(Value) << stride);
}

constexpr std::size_t root_bytes(const TableHead& head) noexcept {
    if (head.wide == 1) return kWideWords * sizeof(WideWord);
    if (head.wide == 2) return ((std::size_t{1} << head.bits) + 1) * sizeof(WideWord);
    return ((std::size_t{1} << head.bits) + 1) * sizeof(Value);
}

// A chunk's ranges: from `starts` on there is `values`, up to the next one's start. The first starts at 0.
struct ChunkRanges {
    std::size_t count = 0;
    std::array<std::uint16_t, kMostRanges> starts;
    std::array<Value, kMostRanges> values;

    // One more, where there is room; part of the one before it if both are the same row.
    void add(std::size_t start, Value value) noexcept {
        if (count > 0 && is_row(value) && value == values[count - 1]) return;
        starts[count] = static_cast<std::uint16_t>(start);
        values[count++] = value;
    }
    // The number of ranges that start before a window.
    std::size_t before(std::size_t window) const noexcept {
        std::size_t found = 0;
        while (found < count && starts[found] < window) ++found;
        return found;
    }
};
ChunkRanges chunk_ranges(const std::byte* chunk) noexcept;

// The block of a chunk, and from its start to the value of the range that holds `key`.
Block chunk_block(const Arena& arena, Value chunk) noexcept;
std::size_t value_offset_in(const std::byte* chunk, std::uint16_t key) noexcept;

// Adds the blocks that a value, a word or a root names, all the way down.
void gather_value(const Arena& arena, Value value, std::vector<Block>& blocks);
void gather_word(const Arena& arena, WideWord word, std::vector<Block>& blocks);
void gather_top_word(const Arena& arena, WideWord word, std::vector<Block>& blocks);
void gather_root(const Arena& arena, const TableHead& head, std::vector<Block>& blocks);

}  // namespace sekisho::lpm

// A walk down from a value to every block below it.
#include "lpm/nodes.hpp"

#include <bit>
#include <cstring>

namespace sekisho::lpm {

namespace {

void gather_values(const Arena& arena, const std::byte* values, std::size_t count, std::vector<Block>& blocks) {
    for (std::size_t i = 0; i < count; ++i) gather_value(arena, load_slot<Value>(values + i * sizeof(Value)), blocks);
}

void gather_words(const Arena& arena, const std::byte* words, std::size_t count, std::vector<Block>& blocks) {
    for (std::size_t i = 0; i < count; ++i)
        gather_word(arena, load_slot<WideWord>(words + i * sizeof(WideWord)), blocks);
}

void add(Unit unit, std::size_t bytes, std::vector<Block>& blocks) {
    blocks.push_back({unit, static_cast<std::uint32_t>(bytes)});
}

}  // namespace

Block chunk_block(const Arena& arena, Value chunk) noexcept {
    std::uint16_t ranges = 0;
    std::memcpy(&ranges, arena.at(unit_of(chunk)), sizeof ranges);
    return {unit_of(chunk), static_cast<std::uint32_t>(chunk_bytes(ranges))};
}

ChunkRanges chunk_ranges(const std::byte* chunk) noexcept {
    ChunkRanges ranges;
    std::uint16_t count = 0;
    std::memcpy(&count, chunk, sizeof count);
    ranges.count = count;
    std::memcpy(ranges.starts.data(), chunk, sizeof(std::uint16_t) * count);
    std::memcpy(ranges.values.data(), chunk + chunk_values_offset(count), sizeof(Value) * count);
    for (std::size_t i = 1; i < count; ++i) ranges.starts[i] ^= kKeyBias;
    ranges.starts[0] = 0;
    return ranges;
}

std::size_t value_offset_in(const std::byte* chunk, std::uint16_t key) noexcept {
    std::uint16_t ranges = 0;
    std::memcpy(&ranges, chunk, sizeof ranges);
    std::size_t range = 0;
    for (std::size_t i = 1; i < ranges; ++i) {
        std::uint16_t start = 0;
        std::memcpy(&start, chunk + 2 * i, sizeof start);
        if (static_cast<std::uint16_t>(start ^ kKeyBias) <= key) range = i;
    }
    return chunk_values_offset(ranges) + sizeof(Value) * range;
}

void gather_value(const Arena& arena, Value value, std::vector<Block>& blocks) {
    if (is_row(value)) return;
    if (is_cell(value)) return add(unit_of(value), sizeof(Row), blocks);
    if (is_leaf(value)) return add(unit_of(value), sizeof(Leaf), blocks);
    if (is_direct(value)) {
        const Unit unit = direct_unit(value);
        gather_values(arena, arena.at(unit), std::size_t{1} << stride_of(value), blocks);
        return add(unit, direct_bytes(stride_of(value)), blocks);
    }
    const std::byte* const chunk = arena.at(unit_of(value));
    std::uint16_t ranges = 0;
    std::memcpy(&ranges, chunk, sizeof ranges);
    gather_values(arena, chunk + chunk_values_offset(ranges), ranges, blocks);
    add(unit_of(value), chunk_bytes(ranges), blocks);
}

void gather_word(const Arena& arena, WideWord word, std::vector<Block>& blocks) {
    const auto upper = static_cast<std::uint32_t>(word >> 32);
    const auto bitmap = static_cast<std::uint32_t>(word);
    if (bitmap == 0) return gather_value(arena, upper, blocks);
    const auto count = static_cast<std::size_t>(std::popcount(bitmap));
    gather_values(arena, arena.at(upper), count, blocks);
    add(upper, count * sizeof(Value), blocks);
}

void gather_top_word(const Arena& arena, WideWord word, std::vector<Block>& blocks) {
    const auto upper = static_cast<std::uint32_t>(word >> 32);
    if (static_cast<std::uint32_t>(word) == 0) return gather_value(arena, upper, blocks);
    gather_words(arena, arena.at(upper), kGroupWords, blocks);
    add(upper, kGroupWords * sizeof(WideWord), blocks);
}

void gather_root(const Arena& arena, const TableHead& head, std::vector<Block>& blocks) {
    const std::byte* const root = arena.at(head.root);
    if (head.wide == 1) {
        gather_words(arena, root, kWideWords, blocks);
    } else if (head.wide == 2) {
        for (std::size_t i = 0; i <= std::size_t{1} << head.bits; ++i)
            gather_top_word(arena, load_slot<WideWord>(root + i * sizeof(WideWord)), blocks);
    } else {
        gather_values(arena, root, (std::size_t{1} << head.bits) + 1, blocks);
    }
    add(head.root, root_bytes(head), blocks);
}

}  // namespace sekisho::lpm

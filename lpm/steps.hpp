// Steps of a batch lookup that all its addresses take together, in loops which compilers make vectors of.
//
// Only loads go address by address. Included by lpm/walk.hpp only, for several instruction sets: all functions are
// inlined by force, so that none of them is taken for another's. Readers' threads; no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lpm/layout.hpp"
#include "net/prefetch.hpp"

namespace sekisho::lpm {

inline constexpr std::size_t kMostOfBatch = 256;
inline constexpr std::uint32_t kValuesOfUnit = kUnitBytes / sizeof(Value);
inline constexpr std::uint32_t kValuesOfWord = sizeof(WideWord) / sizeof(Value);
inline constexpr std::uint32_t kWordsOfUnit = kUnitBytes / sizeof(WideWord);

[[gnu::always_inline]] inline std::uint32_t all_ones_if(bool condition) noexcept {
    return 0 - static_cast<std::uint32_t>(condition);
}

// The last four fields of a head as one number, for steps of many tables.
struct Shape {
    std::uint32_t shift, bits, position, is_wide;
    explicit Shape(std::uint32_t shape) noexcept
        : shift(shape & 0xff),
          bits(shape >> 8 & 0xff),
          position(shape >> 16 & 0xff),
          is_wide((shape >> 24) == 0 ? 0 : 1) {}
};
[[gnu::always_inline]] inline std::uint32_t shape_of(const TableHead& head) noexcept {
    return head.shift | std::uint32_t{head.bits} << 8 | std::uint32_t{head.position} << 16 |
           std::uint32_t{head.wide} << 24;
}

// By arithmetic that all processors have for many numbers at once.
[[gnu::always_inline]] inline std::uint32_t bits_set(std::uint32_t bits) noexcept {
    bits -= bits >> 1 & 0x5555'5555U;
    bits = (bits & 0x3333'3333U) + (bits >> 2 & 0x3333'3333U);
    bits = (bits + (bits >> 4)) & 0x0f0f'0f0fU;
    bits += bits >> 8;
    return (bits + (bits >> 16)) & 0x3fU;
}

// The place of the value that a word has for the slot which the low bits of `slot` say; 0 where the word is it.
[[gnu::always_inline]] inline std::uint32_t place_in_word(WideWord word, std::uint32_t slot) noexcept {
    const auto bitmap = static_cast<std::uint32_t>(word);
    const auto run = static_cast<std::uint32_t>(word >> 32);
    const std::uint32_t rank = bits_set(bitmap << (~slot % (1U << kWideGroupBits)));
    return bitmap == 0 ? 0 : run * kValuesOfUnit + rank - 1;
}

// The place of the group's word that a top's word leads to, in words, by an address's first 32 bits; 0 where the word
// is the value.
[[gnu::always_inline]] inline std::uint32_t place_in_top(WideWord word, std::uint32_t upper) noexcept {
    const auto group = static_cast<std::uint32_t>(word >> 32);
    const std::uint32_t in_group = upper << kTopPosition >> (32 - kGroupBits);
    return (group * kWordsOfUnit + in_group) & (0 - static_cast<std::uint32_t>(word));
}

// The row of the last range of a leaf that starts at or below `key`.
[[gnu::always_inline]] inline Row find_in_leaf(const std::byte* leaf, std::uint64_t key) noexcept {
    std::size_t range = 0;
    for (std::size_t i = 0; i + 1 < Leaf::kMostRanges; ++i) {
        std::uint64_t start;
        std::memcpy(&start, leaf + sizeof start * i, sizeof start);
        range += start <= key;
    }
    return load_slot<Row>(leaf + offsetof(Leaf, rows) + sizeof(Row) * range);
}

// Reads what lies at `places`, counted from the base in slots of this size. Place 0 is nobody's: who has none reads it
// all the same, and does not use it. Callers choose by that in a loop of its own, which becomes vectors: together with
// a load it would be a branch that cannot be predicted.
template <class Slot>
[[gnu::always_inline]] inline void fetch(const std::byte* base, const std::uint32_t* __restrict places,
                                         Slot* __restrict slots, std::size_t count) noexcept {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < count; ++i) slots[i] = load_slot<Slot>(base + std::size_t{places[i]} * sizeof(Slot));
}

// The same for values, and asks for the chunk or leaf that a value names: there is other work between two of them.
[[gnu::always_inline]] inline void fetch_and_ask(const std::byte* base, const std::uint32_t* __restrict places,
                                                 Value* __restrict found, std::size_t count) noexcept {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < count; ++i) {
        const auto value = load_slot<Value>(base + std::size_t{places[i]} * sizeof(Value));
        found[i] = value;
        prefetch(base + std::size_t{unit_of(value) & all_ones_if(value >> 29 == 4)} * kUnitBytes);
    }
}

// The values that words have for the slots which the low bits of slots[i] say.
[[gnu::always_inline]] inline void find_in_words(const std::byte* base, const WideWord* __restrict words,
                                                 const std::uint32_t* __restrict slots, Value* __restrict found,
                                                 std::size_t count) noexcept {
    std::uint32_t places[kMostOfBatch];  // 0 where the word is the value
    for (std::size_t i = 0; i < count; ++i) places[i] = place_in_word(words[i], slots[i]);
    fetch(base, places, found, count);
    for (std::size_t i = 0; i < count; ++i) found[i] = places[i] == 0 ? static_cast<Value>(words[i] >> 32) : found[i];
}

// Whether a step can search a value's chunk: it sees an IPv6 address by its first 64 bits; behind the 32 of an IPv4
// address there are zeros.
template <unsigned kBits>
[[gnu::always_inline]] inline bool is_chunk_within(Value value, std::uint32_t position) noexcept {
    return is_chunk(value) && (kBits == 32 || position + kWindowBits <= kBits);
}

// How many of the values are such chunks.
template <unsigned kBits>
[[gnu::always_inline]] inline std::size_t chunks_within(const Value* __restrict found,
                                                        const std::uint32_t* __restrict positions,
                                                        std::size_t count) noexcept {
    std::uint32_t chunks = 0;
    for (std::size_t i = 0; i < count; ++i) chunks += is_chunk_within<kBits>(found[i], positions[i]);
    return chunks;
}

// Takes the slots of direct nodes for what was found, where that is one and the slot within the first 64 bits.
template <class Bits>
[[gnu::always_inline]] inline void find_in_direct(const std::byte* base, const Bits* __restrict bits,
                                                  Value* __restrict found, std::uint32_t* __restrict positions,
                                                  std::size_t count) noexcept {
    constexpr unsigned kBits = 8 * sizeof(Bits);
    std::uint32_t places[kMostOfBatch];  // 0 for what is no direct node
    Value in_nodes[kMostOfBatch];
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t stride = stride_of(found[i]);
        const std::uint32_t direct = all_ones_if(is_direct(found[i]) && positions[i] + stride <= kBits);
        const auto slot = static_cast<std::uint32_t>(bits[i] << positions[i] % kBits >> (kBits - 32)) >> (32 - stride);
        places[i] = (direct_unit(found[i]) * kValuesOfUnit + slot) & direct;
        positions[i] += stride & direct;
    }
    fetch(base, places, in_nodes, count);
    for (std::size_t i = 0; i < count; ++i) found[i] = places[i] == 0 ? found[i] : in_nodes[i];
}

// Searches chunks for what was found, where that is one. Others search unit 0, which is nobody's.
template <class Isa, class Bits>
[[gnu::always_inline]] inline void find_in_chunks(const std::byte* base, const Bits* __restrict bits,
                                                  Value* __restrict found, std::uint32_t* __restrict positions,
                                                  std::size_t count) noexcept {
    constexpr unsigned kBits = 8 * sizeof(Bits);
    Unit units[kMostOfBatch];  // 0 for what is no chunk
    std::uint32_t keys[kMostOfBatch];
    std::uint32_t places[kMostOfBatch];
    Value in_chunks[kMostOfBatch];
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t chunk = all_ones_if(is_chunk_within<kBits>(found[i], positions[i]));
        keys[i] = chunk_key(static_cast<Bits>(bits[i] << positions[i] % kBits));
        units[i] = unit_of(found[i]) & chunk;
        positions[i] += kWindowBits & chunk;
    }
    const auto chunk_of = [&](std::size_t i) { return base + std::size_t{units[i]} * kUnitBytes; };
    for (std::size_t i = 0; i < count; ++i) prefetch(chunk_of(i));
#pragma GCC unroll 4
    for (std::size_t i = 0; i < count; ++i) {
        const std::byte* const chunk = chunk_of(i);
        const std::size_t offset = Isa::value_offset(chunk, static_cast<std::uint16_t>(keys[i]));
        places[i] = units[i] * kValuesOfUnit + static_cast<std::uint32_t>(offset / sizeof(Value));
    }
    fetch(base, places, in_chunks, count);
    for (std::size_t i = 0; i < count; ++i) found[i] = units[i] == 0 ? found[i] : in_chunks[i];
}

}  // namespace sekisho::lpm

// How tables lie in the arena: what the builder writes and the lookups read. Nothing here allocates or decides.
//
// A table is a head and a root. A root is an array of values over the first bits of its region; a value is a row, or
// names a node for the bits after: a `direct` node (an array of values again), a `chunk` (the starts of up to 31
// ranges within the next 16 bits, in one cache line, and their values), a `leaf` (up to 6 ranges within the next 64
// bits, and their rows, in one cache line), or a `cell` (a row too large for a value).
// A `wide` root serves large tables. IPv4: 2^19 words, each a bitmap over 32 slots of /24 and its run of values. IPv6:
// a `top`, a word for each /16 of the region, which names a group of 2^11 such words, 32 slots of /32 each, or has a
// value.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lpm/arena.hpp"
#include "lpm/types.hpp"

namespace sekisho::lpm {

// The top bits tell: 0... a row, 1000 a chunk, 1001 a leaf, 101. a cell, 11.. a direct node.
using Value = std::uint32_t;

constexpr bool is_row(Value value) noexcept {
    return (value >> 31) == 0;
}
constexpr bool is_chunk(Value value) noexcept {
    return (value >> 28) == 8;
}
constexpr bool is_leaf(Value value) noexcept {
    return (value >> 28) == 9;
}
constexpr bool is_cell(Value value) noexcept {
    return (value >> 29) == 5;
}
constexpr bool is_direct(Value value) noexcept {
    return (value >> 30) == 3;
}
constexpr bool is_node(Value value) noexcept {
    return is_chunk(value) || is_leaf(value) || is_direct(value);
}

// Rows below 2^30, and the topmost quarter with kNoRow in it, are kept in 31 bits and come back by their sign.
constexpr bool fits_value(Row row) noexcept {
    return (row >> 30) == 0 || (row >> 30) == 3;
}
constexpr Value value_of(Row row) noexcept {
    return row & 0x7fff'ffffU;
}
constexpr Row row_of(Value value) noexcept {
    return static_cast<Row>(static_cast<std::int32_t>(value << 1) >> 1);
}

// Chunks, leaves and cells are named by unit (28 bits: 4 GiB), direct nodes by line (26 bits: 4 GiB) and stride, 1 to
// 16 bits.
constexpr Value chunk_value(Unit unit) noexcept {
    return 4U << 29 | unit;
}
constexpr Value leaf_value(Unit unit) noexcept {
    return 9U << 28 | unit;
}
constexpr Value cell_value(Unit unit) noexcept {
    return 5U << 29 | unit;
}
constexpr Unit unit_of(Value value) noexcept {
    return value & 0xfff'ffffU;
}
inline constexpr unsigned kMostStride = 16;
constexpr Value direct_value(Unit unit, unsigned stride) noexcept {
    return 3U << 30 | (stride - 1) << 26 | unit / kUnitsOfLine;
}
constexpr unsigned stride_of(Value value) noexcept {
    return (value >> 26 & 15U) + 1;
}
constexpr Unit direct_unit(Value value) noexcept {
    return (value & 0x3ff'ffffU) * kUnitsOfLine;
}

// A chunk: a count n, then n - 1 keys in ascending order (the first range needs none, it starts the block), all 16
// bits; then n values. A key is kept with its top bit flipped, so that signed comparison orders it. The keys lie in
// one cache line.
inline constexpr unsigned kWindowBits = 16;
inline constexpr std::size_t kWindows = std::size_t{1} << kWindowBits;
inline constexpr unsigned kMostRanges = 31;
inline constexpr std::uint16_t kKeyBias = 0x8000;
// The key, as a chunk keeps it, of an address that goes on with these bits.
template <class Bits>
constexpr std::uint16_t chunk_key(Bits bits) noexcept {
    return static_cast<std::uint16_t>(bits >> (8 * sizeof bits - kWindowBits)) ^ kKeyBias;
}
constexpr std::size_t chunk_values_offset(std::size_t ranges) noexcept {
    return (2 * ranges + 3) & ~std::size_t{3};
}
constexpr std::size_t chunk_bytes(std::size_t ranges) noexcept {
    return chunk_values_offset(ranges) + sizeof(Value) * ranges;
}

// A leaf, for few ranges that begin anywhere within the next 64 bits: the starts of all but the first, ascending, and
// their rows, in one cache line. Starts that are not used are the last address's, and have the last range's row.
struct Leaf {
    static constexpr std::size_t kMostRanges = 6;
    static constexpr unsigned kWindowBits = 64;
    std::uint64_t starts[kMostRanges - 1];
    Row rows[kMostRanges];
};
static_assert(sizeof(Leaf) == kLineBytes);

// Where a table's root is and which bits index it. `first` and the address's first 64 bits (an IPv4 address in the
// upper half) give slot (address - first) >> shift; every address outside of the region has the value of slot
// 1 << bits, one after the last.
struct TableHead {
    std::uint64_t first = 0;
    Unit root = 0;
    std::uint8_t shift = 0;
    std::uint8_t bits = 0;
    std::uint8_t position = 0;  // of the first bit after those that index the root
    std::uint8_t wide = 0;      // 1: words (IPv4); 2: a top (IPv6); as Fib::Root counts
};
static_assert(sizeof(TableHead) == 16);

// A word of a wide root: the upper half is a value if the bitmap (the lower half) is 0, else the unit of a run of
// values, one for each bit set; slot s has the value of the highest bit set at or below s. Bit 0 is then set.
using WideWord = std::uint64_t;
inline constexpr unsigned kWideBits = 19;
inline constexpr unsigned kWideGroupBits = 5;
inline constexpr std::uint8_t kWidePosition = 24;  // of the first bit that a value of a run decides
inline constexpr std::size_t kWideWords = std::size_t{1} << kWideBits;

// A word of a top: the lower half is 1 where the upper half is the unit of a group, else 0 and the upper half a value.
inline constexpr std::uint8_t kTopPosition = 16;  // of the first bit that a value of a top decides
inline constexpr unsigned kGroupBits = 11;
inline constexpr std::uint8_t kGroupPosition = kTopPosition + kGroupBits + kWideGroupBits;  // that a run decides
inline constexpr std::size_t kGroupWords = std::size_t{1} << kGroupBits;
constexpr WideWord wide_word(Value value) noexcept {
    return WideWord{value} << 32;
}
constexpr WideWord wide_word(Unit run, std::uint32_t bitmap) noexcept {
    return WideWord{run} << 32 | bitmap;
}

// Slots are stored once they may be read: what they name was written before.
template <class Slot>
inline Slot load_slot(const std::byte* slot) noexcept {
    return __atomic_load_n(reinterpret_cast<const Slot*>(slot), __ATOMIC_ACQUIRE);
}
template <class Slot>
inline void store_slot(std::byte* slot, Slot content) noexcept {
    __atomic_store_n(reinterpret_cast<Slot*>(slot), content, __ATOMIC_RELEASE);
}

}  // namespace sekisho::lpm

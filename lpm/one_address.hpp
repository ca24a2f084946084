// One address, from its root or from any node to its row; for the few for which a batch's steps would be wasted.
//
// Included by lpm/walk.hpp only, for several instruction sets: all functions are inlined by force. Readers' threads; no
// allocation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "lpm/key_bits.hpp"
#include "lpm/layout.hpp"
#include "lpm/steps.hpp"
#include "lpm/types.hpp"

namespace sekisho::lpm {

// The first bit behind those that choose a slot of a wide root's word.
template <class Key>
inline constexpr unsigned kEndOfSlots = std::is_same_v<Key, Key4> ? kWidePosition : kGroupPosition;

// From a value that was found with `position` bits used.
template <class Isa, class Key>
[[gnu::always_inline]] inline Row row_below(const std::byte* base, Value value, unsigned position,
                                            const Key& key) noexcept {
    while (!is_row(value)) {
        const std::uint64_t bits = bits_from(key, position);
        const std::byte* const node = base + std::size_t{unit_of(value)} * kUnitBytes;
        if (is_leaf(value)) return Isa::row_in_leaf(node, bits);
        if (is_cell(value)) return load_slot<Row>(node);
        if (is_chunk(value)) {
            value = load_slot<Value>(node + Isa::value_offset(node, chunk_key(bits)));
            position += kWindowBits;
        } else {
            const unsigned stride = stride_of(value);
            const std::byte* const slots = base + std::size_t{direct_unit(value)} * kUnitBytes;
            value = load_slot<Value>(slots + (bits >> (64 - stride)) * sizeof(Value));
            position += stride;
        }
    }
    return row_of(value);
}

// From the table's root.
template <class Isa, class Key>
[[gnu::always_inline]] inline Row row_in(const std::byte* base, const TableHead& head, const Key& key) noexcept {
    const std::uint64_t high = first_bits(key);
    const std::uint64_t slot = std::min((high - head.first) >> head.shift, std::uint64_t{1} << head.bits);
    const std::byte* const root = base + std::size_t{head.root} * kUnitBytes;
    unsigned position = head.position;
    if (head.wide == 0) return row_below<Isa>(base, load_slot<Value>(root + slot * sizeof(Value)), position, key);
    auto word = load_slot<WideWord>(root + slot * sizeof(WideWord));
    if constexpr (!std::is_same_v<Key, Key4>)
        if (const std::uint32_t place = place_in_top(word, static_cast<std::uint32_t>(high >> 32)); place != 0) {
            word = load_slot<WideWord>(base + std::size_t{place} * sizeof(WideWord));
            position = kGroupPosition;
        }
    const std::uint32_t place = place_in_word(word, static_cast<std::uint32_t>(high >> (64 - kEndOfSlots<Key>)));
    const Value value =
        place == 0 ? static_cast<Value>(word >> 32) : load_slot<Value>(base + std::size_t{place} * sizeof(Value));
    return row_below<Isa>(base, value, position, key);
}

}  // namespace sekisho::lpm

// What a batch's values are: sorted by kind of node, a bit for each value.
//
// Included by lpm/walk.hpp only, for several instruction sets: all functions are inlined by force.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "lpm/layout.hpp"

namespace sekisho::lpm {

// So many values at once, as many as a register has bits: each loop over such bits ends in a branch that is hard to
// predict, and there are the fewer of them.
inline constexpr std::size_t kSorted = 64;

// Rows have no bit; of nodes, what is none of the others is a cell.
struct Kinds {
    std::uint64_t nodes, directs, chunks, leaves;
};

// Bit k: bit kFromTop, counted from the topmost, of value k of kSorted.
template <class Isa, unsigned kFromTop>
[[gnu::always_inline]] inline std::uint64_t bits_among(const Value* values) noexcept {
    return Isa::template bits_among<kFromTop>(values) |
           std::uint64_t{Isa::template bits_among<kFromTop>(values + kSorted / 2)} << kSorted / 2;
}

// Of the first `count` values. kSorted of them are read, however many that is.
template <class Isa>
[[gnu::always_inline]] inline std::uint64_t nodes_of(const Value* values, std::size_t count) noexcept {
    const std::uint64_t nodes = bits_among<Isa, 0>(values);
    return count < kSorted ? nodes & ((std::uint64_t{1} << count) - 1) : nodes;
}
template <class Isa>
[[gnu::always_inline]] inline Kinds kinds_of(const Value* values, std::size_t count) noexcept {
    const std::uint64_t nodes = nodes_of<Isa>(values, count);
    const std::uint64_t directs = nodes & bits_among<Isa, 1>(values);
    const std::uint64_t others = nodes & ~directs & ~bits_among<Isa, 2>(values);
    const std::uint64_t leaves = others & bits_among<Isa, 3>(values);
    return {nodes, directs, others & ~leaves, leaves};
}

// Sorts all of a batch, into one of `kinds` for each kSorted values.
struct KindCounts {
    std::size_t nodes = 0, directs = 0, chunks = 0;
};
template <class Isa>
[[gnu::always_inline]] inline KindCounts sort_kinds(const Value* values, Kinds* kinds, std::size_t count) noexcept {
    KindCounts counts;
    for (std::size_t from = 0; from < count; from += kSorted) {
        const Kinds& here = kinds[from / kSorted] = kinds_of<Isa>(values + from, count - from);
        counts.nodes += static_cast<std::size_t>(std::popcount(here.nodes));
        counts.directs += static_cast<std::size_t>(std::popcount(here.directs));
        counts.chunks += static_cast<std::size_t>(std::popcount(here.chunks));
    }
    return counts;
}

// Calls with the number of each bit, and `from`.
template <class Call>
[[gnu::always_inline]] inline void for_each_bit(std::uint64_t bits, std::size_t from, const Call& call) noexcept {
    for (; bits != 0; bits &= bits - 1) call(from + static_cast<std::size_t>(std::countr_zero(bits)));
}

}  // namespace sekisho::lpm

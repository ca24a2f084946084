// The lookups by AVX-512: a chunk's keys are compared in one instruction. Chosen only where it exists.
#include <immintrin.h>

#include "lpm/kernel.hpp"

namespace sekisho::lpm {

namespace {

struct Avx512 {
    // Bit k: bit kFromTop, counted from the topmost, of value k of 32.
    template <unsigned kFromTop>
    static std::uint32_t bits_among(const Value* values) noexcept {
        const __m512i wanted = _mm512_set1_epi32(static_cast<int>(1U << (31 - kFromTop)));
        return _mm512_test_epi32_mask(_mm512_loadu_si512(values), wanted) |
               std::uint32_t{_mm512_test_epi32_mask(_mm512_loadu_si512(values + 16), wanted)} << 16;
    }

    // From the chunk's start to the value of the last range that starts at or below `key`, a chunk_key(). The whole
    // line is read; what lies in it beside this chunk's keys is masked out.
    static std::size_t value_offset(const std::byte* chunk, std::uint16_t key) noexcept {
        std::uint16_t ranges;
        std::memcpy(&ranges, chunk, sizeof ranges);
        const auto offset = reinterpret_cast<std::uintptr_t>(chunk) % kLineBytes;
        const __m512i line = _mm512_load_si512(chunk - offset);
        const __m512i wanted = _mm512_set1_epi16(static_cast<short>(key));
        const std::uint32_t not_above = _mm512_cmple_epi16_mask(line, wanted);
        const std::uint32_t starts = _bzhi_u32(not_above >> (offset / 2), ranges) & ~1U;
        return chunk_values_offset(ranges) + sizeof(Value) * static_cast<std::size_t>(_mm_popcnt_u32(starts));
    }

    // The row of the last range of a leaf that starts at or below `key`.
    static Row row_in_leaf(const std::byte* leaf, std::uint64_t key) noexcept {
        const __m512i line = _mm512_load_si512(leaf);
        const unsigned begun = _mm512_cmple_epu64_mask(line, _mm512_set1_epi64(static_cast<long long>(key))) &
                               ((1U << (Leaf::kMostRanges - 1)) - 1);
        return load_slot<Row>(leaf + offsetof(Leaf, rows) +
                              sizeof(Row) * static_cast<std::size_t>(_mm_popcnt_u32(begun)));
    }
};

}  // namespace

constinit const Kernel kAvx512Kernel = kernel_for<Avx512>();

}  // namespace sekisho::lpm

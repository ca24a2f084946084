// The lookups by AVX2 and BMI2: the cache line of a chunk's keys is compared at once. Chosen only where they exist.
#include <immintrin.h>

#include "lpm/kernel.hpp"

namespace sekisho::lpm {

namespace {

struct Avx2 {
    // Bit k: bit kFromTop, counted from the topmost, of value k of 32.
    template <unsigned kFromTop>
    static std::uint32_t bits_among(const Value* values) noexcept {
        std::uint32_t bits = 0;
        for (unsigned from = 0; from < 32; from += 8) {
            const __m256i eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + from));
            const __m256 shifted = _mm256_castsi256_ps(_mm256_slli_epi32(eight, kFromTop));
            bits |= static_cast<std::uint32_t>(_mm256_movemask_ps(shifted)) << from;
        }
        return bits;
    }

    // From the chunk's start to the value of the last range that starts at or below `key`, a chunk_key(). The whole
    // line is read; what lies in it beside this chunk's keys is masked out: bit n of the masks stands for byte n.
    static std::size_t value_offset(const std::byte* chunk, std::uint16_t key) noexcept {
        std::uint16_t ranges;
        std::memcpy(&ranges, chunk, sizeof ranges);
        const auto offset = reinterpret_cast<std::uintptr_t>(chunk) % kLineBytes;
        const auto* const line = reinterpret_cast<const __m256i*>(chunk - offset);
        const __m256i wanted = _mm256_set1_epi16(static_cast<short>(key));
        const __m256i low = _mm256_cmpgt_epi16(_mm256_load_si256(line), wanted);
        const __m256i high = _mm256_cmpgt_epi16(_mm256_load_si256(line + 1), wanted);
        const std::uint64_t above = static_cast<std::uint32_t>(_mm256_movemask_epi8(low)) |
                                    std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(high))} << 32;
        const std::uint64_t starts = _bzhi_u64(~above >> offset, 2U * ranges) & ~std::uint64_t{3};
        return chunk_values_offset(ranges) + 2 * static_cast<std::size_t>(_mm_popcnt_u64(starts));
    }

    static Row row_in_leaf(const std::byte* leaf, std::uint64_t key) noexcept { return find_in_leaf(leaf, key); }
};

}  // namespace

constinit const Kernel kAvx2Kernel = kernel_for<Avx2>();

}  // namespace sekisho::lpm

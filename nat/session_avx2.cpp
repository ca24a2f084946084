// The lookups by AVX2: a line of signatures is compared in two instructions. Chosen only where they exist.
#include <immintrin.h>

#include "nat/session_match.hpp"

namespace sekisho::nat {

namespace {

// One bit for each of the 32 words of two registers whose words are all ones or all zeros.
std::uint32_t bits_of(__m256i low, __m256i high) noexcept {
    const __m256i mixed = _mm256_packs_epi16(low, high);  // by halves of 128 bits: their middles change places
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(mixed, 0b11'01'10'00)));
}

struct Avx2 {
    static std::uint32_t match(const SignatureLine& line, std::uint16_t signature) noexcept {
        const auto* const words = reinterpret_cast<const __m256i*>(&line);
        const __m256i wanted = _mm256_set1_epi16(static_cast<short>(signature));
        return bits_of(_mm256_cmpeq_epi16(_mm256_load_si256(words), wanted),
                       _mm256_cmpeq_epi16(_mm256_load_si256(words + 1), wanted)) &
               kAllPlaces;
    }
    static std::uint32_t due(const DueLine& line, std::uint16_t now) noexcept {
        const auto* const words = reinterpret_cast<const __m256i*>(&line);
        const __m256i time = _mm256_set1_epi16(static_cast<short>(now));
        const __m256i zero = _mm256_setzero_si256();
        const auto over = [&](__m256i due) {
            const __m256i not_yet = _mm256_cmpgt_epi16(_mm256_sub_epi16(due, time), zero);
            return _mm256_or_si256(not_yet, _mm256_cmpeq_epi16(due, zero));
        };
        return ~bits_of(over(_mm256_load_si256(words)), over(_mm256_load_si256(words + 1))) & kAllPlaces;
    }
};

}  // namespace

constinit const SessionKernel kAvx2Sessions = session_kernel_for<Avx2>();

}  // namespace sekisho::nat

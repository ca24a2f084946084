// The lookups by AVX-512: a line of signatures is compared in one instruction. Chosen only where it exists.
#include <immintrin.h>

#include "nat/session_match.hpp"

namespace sekisho::nat {

namespace {

struct Avx512 {
    static std::uint32_t match(const SignatureLine& line, std::uint16_t signature) noexcept {
        return _mm512_cmpeq_epi16_mask(_mm512_load_si512(&line), _mm512_set1_epi16(static_cast<short>(signature))) &
               kAllPlaces;
    }
    static std::uint32_t due(const DueLine& line, std::uint16_t now) noexcept {
        const __m512i due = _mm512_load_si512(&line);
        const __m512i left = _mm512_sub_epi16(due, _mm512_set1_epi16(static_cast<short>(now)));
        return _mm512_test_epi16_mask(due, due) & _mm512_cmple_epi16_mask(left, _mm512_setzero_si512()) & kAllPlaces;
    }
};

}  // namespace

constinit const SessionKernel kAvx512Sessions = session_kernel_for<Avx512>();

}  // namespace sekisho::nat

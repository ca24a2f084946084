// The compiler's intrinsics, and AVX-512 by SIMDe in place of the processor's.
//
// First in the search path of what is compiled from the AVX-512 versions' own sources to be tested where no processor
// has AVX-512.
#pragma once
#pragma GCC system_header

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

// SIMDe 0.7.4 has no equality of words; compilers may have a macro of that name.
#undef _mm512_cmpeq_epi16_mask
#define _mm512_cmpeq_epi16_mask(a, b) sekisho_cmpeq_epi16_mask((a), (b))
inline simde__mmask32 sekisho_cmpeq_epi16_mask(simde__m512i a, simde__m512i b) {
    return simde_mm512_cmple_epi16_mask(a, b) & simde_mm512_cmple_epi16_mask(b, a);
}

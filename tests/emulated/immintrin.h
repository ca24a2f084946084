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

// Nor has it what follows. Block by block, as it is defined, AES and products by the processor's own instructions.
template <class Do>
inline simde__m512i sekisho_each_block(simde__m512i a, simde__m512i b, Do one) {
    __m128i left[4], right[4];
    simde_mm512_storeu_si512(left, a);
    simde_mm512_storeu_si512(right, b);
    for (int i = 0; i < 4; ++i) left[i] = one(left[i], right[i]);
    return simde_mm512_loadu_si512(left);
}
#define _mm512_aesenc_epi128(a, b) \
    sekisho_each_block((a), (b), [](__m128i x, __m128i y) { return _mm_aesenc_si128(x, y); })
#define _mm512_aesenclast_epi128(a, b) \
    sekisho_each_block((a), (b), [](__m128i x, __m128i y) { return _mm_aesenclast_si128(x, y); })
#define _mm512_clmulepi64_epi128(a, b, halves) \
    sekisho_each_block((a), (b), [](__m128i x, __m128i y) { return _mm_clmulepi64_si128(x, y, (halves)); })
#define _mm512_shuffle_epi32(a, order) \
    sekisho_each_block((a), (a), [](__m128i x, __m128i) { return _mm_shuffle_epi32(x, (order)); })

#define _mm512_zextsi128_si512(a) simde_mm512_inserti32x4(simde_mm512_setzero_si512(), (a), 0)

// No byte that the mask leaves out is touched, as the processor has it.
#define _mm512_maskz_loadu_epi8(mask, from) sekisho_maskz_loadu_epi8((mask), (from))
inline simde__m512i sekisho_maskz_loadu_epi8(simde__mmask64 mask, const void* from) {
    unsigned char bytes[64] = {};
    for (int i = 0; i < 64; ++i)
        if (mask >> i & 1) bytes[i] = static_cast<const unsigned char*>(from)[i];
    return simde_mm512_loadu_si512(bytes);
}
#define _mm512_mask_storeu_epi8(to, mask, a) sekisho_mask_storeu_epi8((to), (mask), (a))
inline void sekisho_mask_storeu_epi8(void* to, simde__mmask64 mask, simde__m512i a) {
    unsigned char bytes[64];
    simde_mm512_storeu_si512(bytes, a);
    for (int i = 0; i < 64; ++i)
        if (mask >> i & 1) static_cast<unsigned char*>(to)[i] = bytes[i];
}

// AES-GCM by VAES and VPCLMULQDQ in vectors of four blocks.
#include "crypto/gcm_kernel.hpp"

namespace sekisho::crypto {

namespace {

struct Avx512 {
    using Word = __m512i;
    static constexpr std::uint32_t kLanes = 4;
    static constexpr bool kHashesBetween = true;
    static constexpr bool kKaratsuba = false;

    static Word load(const void* at) noexcept { return _mm512_loadu_si512(at); }
    static void store(void* at, Word word) noexcept { _mm512_storeu_si512(at, word); }
    static Word broadcast(__m128i block) noexcept { return _mm512_broadcast_i32x4(block); }
    static Word only_first(__m128i block) noexcept { return _mm512_zextsi128_si512(block); }
    static Word with_first(Word word, __m128i block) noexcept { return _mm512_inserti32x4(word, block, 0); }
    static __m128i first(Word word) noexcept { return _mm512_castsi512_si128(word); }
    static __m128i sum_of_lanes(Word word) noexcept {
        const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(word), _mm512_extracti64x4_epi64(word, 1));
        return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    }

    static Word add(Word a, Word b) noexcept { return _mm512_xor_si512(a, b); }
    static Word swap_halves(Word word) noexcept { return _mm512_shuffle_epi32(word, _MM_PERM_BADC); }
    static Word shuffle(Word word, __m128i order) noexcept { return _mm512_shuffle_epi8(word, broadcast(order)); }
    static Word advance(Word counters, __m128i step) noexcept { return _mm512_add_epi32(counters, broadcast(step)); }
    template <int kHalves>
    static Word multiply(Word a, Word b) noexcept {
        return _mm512_clmulepi64_epi128(a, b, kHalves);
    }
    static Word round(Word state, Word key) noexcept { return _mm512_aesenc_epi128(state, key); }
    static Word last_round(Word state, Word key) noexcept { return _mm512_aesenclast_epi128(state, key); }

    // The first bytes of a word, at least one. No other is read or written.
    struct Part {
        explicit Part(std::uint32_t bytes) noexcept : mask(~std::uint64_t{0} >> (sizeof(Word) - bytes)) {}
        static Part whole() noexcept { return Part(sizeof(Word)); }
        __mmask64 mask;
    };
    static Word keep(Word word, Part part) noexcept { return _mm512_maskz_mov_epi8(part.mask, word); }
    static Word load_part(const std::uint8_t* at, Part part) noexcept { return _mm512_maskz_loadu_epi8(part.mask, at); }
    static void store_part(std::uint8_t* at, Word word, Part part) noexcept {
        _mm512_mask_storeu_epi8(at, part.mask, word);
    }
    // The same where the first lane is not the packet's, and may lie before its memory.
    static Part behind_first(Part part) noexcept {
        part.mask &= ~std::uint64_t{0} << GcmKey::kBlock;
        return part;
    }
    static Word load_behind_first(const std::uint8_t* at, Part part) noexcept {
        return load_part(at, behind_first(part));
    }
    static void store_behind_first(std::uint8_t* at, Word word, Part part) noexcept {
        store_part(at, word, behind_first(part));
    }

    static void clear() noexcept {
        _mm256_zeroall();
#ifdef __AVX512F__  // else it is emulated
        asm volatile(
            "vpxorq %%zmm16, %%zmm16, %%zmm16\n\tvpxorq %%zmm17, %%zmm17, %%zmm17\n\t"
            "vpxorq %%zmm18, %%zmm18, %%zmm18\n\tvpxorq %%zmm19, %%zmm19, %%zmm19\n\t"
            "vpxorq %%zmm20, %%zmm20, %%zmm20\n\tvpxorq %%zmm21, %%zmm21, %%zmm21\n\t"
            "vpxorq %%zmm22, %%zmm22, %%zmm22\n\tvpxorq %%zmm23, %%zmm23, %%zmm23\n\t"
            "vpxorq %%zmm24, %%zmm24, %%zmm24\n\tvpxorq %%zmm25, %%zmm25, %%zmm25\n\t"
            "vpxorq %%zmm26, %%zmm26, %%zmm26\n\tvpxorq %%zmm27, %%zmm27, %%zmm27\n\t"
            "vpxorq %%zmm28, %%zmm28, %%zmm28\n\tvpxorq %%zmm29, %%zmm29, %%zmm29\n\t"
            "vpxorq %%zmm30, %%zmm30, %%zmm30\n\tvpxorq %%zmm31, %%zmm31, %%zmm31"
            :
            :
            : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
              "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
#endif
    }
};

}  // namespace

constinit const GcmVersion kGcmAvx512 = {"AVX-512", run<Avx512, true>, run<Avx512, false>};

}  // namespace sekisho::crypto

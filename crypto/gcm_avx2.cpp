// AES-GCM by VAES and VPCLMULQDQ in vectors of two blocks.
#include <bit>

#include "crypto/gcm_kernel.hpp"

namespace sekisho::crypto {

namespace {

struct Avx2 {
    using Word = __m256i;
    static constexpr std::uint32_t kLanes = 2;
    static constexpr bool kHashesBetween = false;  // 16 registers are too few
    static constexpr bool kKaratsuba = true;

    static Word load(const void* at) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }
    static void store(void* at, Word word) noexcept { _mm256_storeu_si256(static_cast<__m256i*>(at), word); }
    static Word broadcast(__m128i block) noexcept { return _mm256_broadcastsi128_si256(block); }
    static Word only_first(__m128i block) noexcept { return _mm256_zextsi128_si256(block); }
    static Word with_first(Word word, __m128i block) noexcept {
        return _mm256_blend_epi32(word, _mm256_castsi128_si256(block), 0x0f);
    }
    static __m128i first(Word word) noexcept { return _mm256_castsi256_si128(word); }
    static __m128i second(Word word) noexcept { return _mm256_extracti128_si256(word, 1); }
    static __m128i sum_of_lanes(Word word) noexcept { return _mm_xor_si128(first(word), second(word)); }

    static Word add(Word a, Word b) noexcept { return _mm256_xor_si256(a, b); }
    static Word swap_halves(Word word) noexcept { return _mm256_shuffle_epi32(word, 0x4e); }
    static Word shuffle(Word word, __m128i order) noexcept { return _mm256_shuffle_epi8(word, broadcast(order)); }
    static Word advance(Word counters, __m128i step) noexcept { return _mm256_add_epi32(counters, broadcast(step)); }
    template <int kHalves>
    static Word multiply(Word a, Word b) noexcept {
        return _mm256_clmulepi64_epi128(a, b, kHalves);
    }
    static Word round(Word state, Word key) noexcept { return _mm256_aesenc_epi128(state, key); }
    static Word last_round(Word state, Word key) noexcept { return _mm256_aesenclast_epi128(state, key); }

    // The first bytes of a word, at least one. Those behind them, as far as the tag reaches, may be read, and are
    // written as they were.
    struct Part {
        explicit Part(std::uint32_t bytes) noexcept : mask(load(mask_of(bytes))), both(bytes > GcmKey::kBlock) {}
        static Part whole() noexcept { return Part(sizeof(Word)); }
        Word mask;
        bool both;  // lanes
    };
    static Word keep(Word word, const Part& part) noexcept { return _mm256_and_si256(word, part.mask); }
    static Word load_lanes(const std::uint8_t* at, const Part& part) noexcept {
        return part.both ? load(at) : only_first(load_block(at));
    }
    static Word load_part(const std::uint8_t* at, const Part& part) noexcept {
        return keep(load_lanes(at, part), part);
    }
    static void store_part(std::uint8_t* at, Word word, const Part& part) noexcept {
        const Word all = _mm256_blendv_epi8(load_lanes(at, part), word, part.mask);
        if (part.both)
            store(at, all);
        else
            store_block(at, first(all));
    }
    // The same where the first lane is not the packet's, and may lie before its memory.
    static Word load_behind_first(const std::uint8_t* at, const Part& part) noexcept {
        return keep(broadcast(load_block(at + GcmKey::kBlock)), part);
    }
    static void store_behind_first(std::uint8_t* at, Word word, const Part& part) noexcept {
        std::uint8_t* const place = at + GcmKey::kBlock;
        store_block(place, _mm_blendv_epi8(load_block(place), second(word), second(part.mask)));
    }

    static void clear() noexcept { _mm256_zeroall(); }
};

// FIPS 197 §5.2, SubWord: the S-box on each byte, without a table.
std::uint32_t substituted(std::uint32_t word) noexcept {
    const __m128i all = _mm_set1_epi32(static_cast<int>(word));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_aeskeygenassist_si128(all, 0)));
}

// FIPS 197 §5.2, with words as this machine has them.
void expand(std::uint8_t* words, std::size_t key_words, std::size_t rounds) noexcept {
    const auto load = [words](std::size_t i) {
        std::uint32_t word;
        std::memcpy(&word, words + 4 * i, sizeof word);
        return word;
    };
    std::uint32_t constant = 1;
    for (std::size_t i = key_words; i < 4 * (rounds + 1); ++i) {
        std::uint32_t word = load(i - 1);
        if (i % key_words == 0) {
            word = std::rotr(substituted(word), 8) ^ constant;
            constant = constant << 1 ^ (constant >> 7) * 0x11b;
        } else if (key_words == 8 && i % 4 == 0) {
            word = substituted(word);
        }
        word ^= load(i - key_words);
        std::memcpy(words + 4 * i, &word, sizeof word);
    }
}

}  // namespace

void expand_key(Suite suite, const std::uint8_t* bytes, GcmKey& key) noexcept {
    const std::size_t length = text_of(suite).key_length;
    const std::size_t rounds = length / 4 + 6;
    std::memcpy(key.round_keys, bytes, length);
    expand(key.round_keys[0], length / 4, rounds);
    // H: a block of zeros, encrypted.
    __m128i hash = load_block(key.round_keys[0]);
    for (std::size_t i = 1; i < rounds; ++i) hash = _mm_aesenc_si128(hash, load_block(key.round_keys[i]));
    hash = reversed(_mm_aesenclast_si128(hash, load_block(key.round_keys[rounds])));
    // Times x: a shift by one, and the polynomial for the bit that falls out.
    const __m128i carries = _mm_srli_epi64(hash, 63);
    const __m128i shifted = _mm_or_si128(_mm_slli_epi64(hash, 1), _mm_slli_si128(carries, 8));
    const __m128i fell_out = _mm_sub_epi64(_mm_setzero_si128(), _mm_unpackhi_epi64(carries, carries));
    const __m128i h = _mm_xor_si128(shifted, _mm_and_si128(polynomial(), fell_out));
    __m128i power = h;
    for (std::size_t i = GcmKey::kPowers; i-- > 0; power = multiplied<Avx2>(power, h))
        store_block(key.powers[i], power);
    Avx2::clear();
}

constinit const GcmVersion kGcmAvx2 = {"AVX2", run<Avx2, true>, run<Avx2, false>};

}  // namespace sekisho::crypto

// AES-GCM for vectors of any width, written once. Only its versions include it, each with a vector `V` of its own.
//
// A packet is a row of blocks: the AAD, then the text. The first one's place has counter 1, whose key stream masks the
// tag, and those behind it have the text's. So both ciphers run over the same lanes, AES over counters and GHASH over
// what is hashed, and only in the first lane is that not the text. A row of more than a group's 16 blocks begins with
// what is left over groups, so that all that follows is whole groups and ends with the row.
//
// GHASH works on bytes in reverse and on H times x, as Gueron and Kounavis describe it in "Intel Carry-Less
// Multiplication Instruction and its Usage for Computing the GCM Mode" (2010): products need no shift then, and of a
// sum of them one reduction is enough.
#pragma once

#include <algorithm>
#include <cstring>
#include <immintrin.h>

#include "crypto/gcm.hpp"
#include "net/prefetch.hpp"

// A packet is worked on in registers, by one function without loops. Sanitizers' checks in such a one take compilers
// minutes: there it is many functions, with loops.
#if defined(SEKISHO_ADDRESS_SANITIZER) || defined(SEKISHO_THREAD_SANITIZER)
#define SEKISHO_INLINE inline
#define SEKISHO_UNROLL
#else
#define SEKISHO_INLINE [[gnu::always_inline]] inline
#define SEKISHO_UNROLL _Pragma("GCC unroll 16")
#endif

namespace sekisho::crypto {

namespace {

// XORed with the nonce these are blocks of counters 1, 2, 3 and so on, big-endian in their last four bytes.
struct alignas(64) CounterBlocks {
    std::uint32_t word[GcmKey::kGroup][4];
};
constexpr CounterBlocks kCounterBlocks = [] {
    CounterBlocks blocks{};
    for (std::uint32_t i = 0; i < GcmKey::kGroup; ++i) blocks.word[i][3] = (i + 1) << 24;
    return blocks;
}();

// A mask of n bytes, and zeros behind them, begins n bytes before the middle.
struct alignas(64) MaskBytes {
    static constexpr std::size_t kMost = 64;
    std::uint8_t byte[2 * kMost];
};
constexpr MaskBytes kMaskBytes = [] {
    MaskBytes mask{};
    for (std::size_t i = 0; i < MaskBytes::kMost; ++i) mask.byte[i] = 0xff;
    return mask;
}();
inline const std::uint8_t* mask_of(std::size_t bytes) noexcept {
    return kMaskBytes.byte + MaskBytes::kMost - bytes;
}

inline __m128i load_block(const void* at) noexcept {
    return _mm_loadu_si128(static_cast<const __m128i*>(at));
}
inline void store_block(void* at, __m128i block) noexcept {
    _mm_storeu_si128(static_cast<__m128i*>(at), block);
}
// Orders of bytes for shuffles: all of a block reversed, and its counter alone.
inline __m128i reversal() noexcept {
    return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
inline __m128i counter_reversal() noexcept {
    return _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}
inline __m128i reversed(__m128i block) noexcept {
    return _mm_shuffle_epi8(block, reversal());
}
// What a counter is advanced by, in this machine's order of bytes.
inline __m128i step(std::uint32_t blocks) noexcept {
    return _mm_set_epi32(static_cast<int>(blocks), 0, 0, 0);
}
// x^128 + x^7 + x^2 + x + 1, as GHASH's order of bits has it.
inline __m128i polynomial() noexcept {
    return _mm_set_epi64x(static_cast<long long>(0xc200'0000'0000'0000ULL), 1);
}

// A sum of products that are not reduced: three parts of 128 bits, 64 bits apart. Karatsuba's way, with three
// multiplications, `middle` has `low` and `high` in it.
template <class V>
struct Sum {
    typename V::Word low, middle, high;
};
template <class V>
SEKISHO_INLINE Sum<V> product(typename V::Word x, typename V::Word h) noexcept {
    const auto middle = [&] {
        if constexpr (V::kKaratsuba)
            return V::template multiply<0x00>(V::add(x, V::swap_halves(x)), V::add(h, V::swap_halves(h)));
        else
            return V::add(V::template multiply<0x01>(x, h), V::template multiply<0x10>(x, h));
    };
    return {V::template multiply<0x00>(x, h), middle(), V::template multiply<0x11>(x, h)};
}
template <class V>
SEKISHO_INLINE void add(Sum<V>& sum, const Sum<V>& more) noexcept {
    sum.low = V::add(sum.low, more.low);
    sum.middle = V::add(sum.middle, more.middle);
    sum.high = V::add(sum.high, more.high);
}
// Reduced in each lane, and the lanes added up.
template <class V>
SEKISHO_INLINE __m128i reduced(const Sum<V>& sum) noexcept {
    const typename V::Word modulus = V::broadcast(polynomial());
    const auto fold = [&](typename V::Word low) {
        return V::add(V::swap_halves(low), V::template multiply<0x01>(modulus, low));
    };
    const typename V::Word own = V::kKaratsuba ? V::add(sum.middle, V::add(sum.low, sum.high)) : sum.middle;
    const typename V::Word middle = V::add(own, fold(sum.low));
    return V::sum_of_lanes(V::add(sum.high, fold(middle)));
}
template <class V>
SEKISHO_INLINE __m128i multiplied(__m128i x, __m128i h) noexcept {
    return reduced<V>(product<V>(V::only_first(x), V::only_first(h)));
}

// One packet on its way. `kRounds`: 10 or 14.
template <class V, std::uint32_t kRounds, bool kSeal>
class Packet {
    using Word = typename V::Word;
    using Part = typename V::Part;
    static constexpr std::uint32_t kBlock = GcmKey::kBlock;
    static constexpr std::uint32_t kGroup = GcmKey::kGroup;
    static constexpr std::uint32_t kWordBytes = V::kLanes * kBlock;
    static constexpr std::uint32_t kGroupWords = kGroup / V::kLanes;

  public:
    SEKISHO_INLINE explicit Packet(const AeadJob& job) noexcept
        : key_(*reinterpret_cast<const GcmKey*>(job.key)),
          text_(job.text),
          length_(job.length),
          nonce_(_mm_insert_epi32(load_block(job.nonce.data()), 0, 3)),  // what was behind it is the job's too
          lengths_(_mm_set_epi64x(job.aad_length * 8, static_cast<long long>(job.length) * 8)) {
        if (!kSeal)
            tag_ = load_block(text_ + length_);  // before the end of the text is written, with what is behind it
        aad_ = block_of_aad(job);
    }

    // False: it is not authentic.
    SEKISHO_INLINE bool work() noexcept {
        const std::uint32_t blocks = (length_ + kBlock - 1) / kBlock + 1;
        const std::uint32_t groups = (blocks - 1) / kGroup;
        const std::uint32_t head = blocks - groups * kGroup;
        const bool end = groups == 0;
        work_head((head + V::kLanes - 1) / V::kLanes, end ? length_ + kBlock : head * kBlock, powers(head, end));
        if (!end) work_groups(groups, head);
        return finish();
    }

  private:
    // The AAD as one block. What is longer, never ESP's, has its first 16 bytes hashed already.
    SEKISHO_INLINE __m128i block_of_aad(const AeadJob& job) const noexcept {
        const std::size_t length = std::min<std::size_t>(job.aad_length, kBlock);
        const __m128i block = _mm_and_si128(load_block(job.aad.data()), load_block(mask_of(length)));
        if (job.aad_length <= kBlock) [[likely]]
            return block;
        std::uint8_t rest[kBlock] = {};
        std::memcpy(rest, job.aad.data() + kBlock, job.aad_length - kBlock);
        return _mm_xor_si128(load_block(rest), reversed(multiplied<V>(reversed(block), load_block(powers(1, false)))));
    }

    // Where the powers begin for so many blocks, which end the row or have a group behind them.
    const std::uint8_t* powers(std::size_t blocks, bool end) const noexcept {
        return key_.powers[GcmKey::kPowers - blocks - (end ? 1 : 0)];
    }

    // The row's first `bytes`, in so many words.
    SEKISHO_INLINE void work_head(std::uint32_t words, std::uint32_t bytes, const std::uint8_t* powers) noexcept {
        switch (words) {
            case 1: return work_head<1>(bytes, powers);
            case 2: return work_head<2>(bytes, powers);
            case 3: return work_head<3>(bytes, powers);
            case 4: return work_head<4>(bytes, powers);
            default: break;
        }
        if constexpr (kGroupWords > 4) {
            switch (words) {
                case 5: return work_head<5>(bytes, powers);
                case 6: return work_head<6>(bytes, powers);
                case 7: return work_head<7>(bytes, powers);
                default: return work_head<8>(bytes, powers);
            }
        }
    }
    template <std::uint32_t kWords>
    SEKISHO_INLINE void work_head(std::uint32_t bytes, const std::uint8_t* powers) noexcept {
        Word stream[kWords];
        const Word start = V::add(V::broadcast(nonce_), V::broadcast(load_block(key_.round_keys[0])));
        SEKISHO_UNROLL
        for (std::uint32_t i = 0; i < kWords; ++i)
            stream[i] = V::add(start, V::load(kCounterBlocks.word[i * V::kLanes]));
        encrypt(stream, [](std::uint32_t) {});
        tag_mask_ = V::first(stream[0]);
        const Part part(bytes - (kWords - 1) * kWordBytes);
        apply<true, true>(stream, text_ - kBlock, part, powers, aad_);
    }

    // So many groups, behind `head` blocks.
    SEKISHO_INLINE void work_groups(std::uint32_t groups, std::uint32_t head) noexcept {
        std::uint8_t* at = text_ + (head - 1) * kBlock;
        // Blocks of counters in this machine's order of bytes.
        Word counter = V::shuffle(V::add(V::broadcast(nonce_), V::load(kCounterBlocks.word)), counter_reversal());
        counter = V::advance(counter, step(head));
        if constexpr (V::kHashesBetween) return work_groups_between(groups, at, counter);
        for (; groups > 1; --groups, at += kGroup * kBlock)
            work_group<false>(at, counter, Part::whole(), powers(kGroup, false));
        work_group<true>(at, counter, last_part(at), powers(kGroup, true));
    }
    // Of the last group's last word, what is the text's.
    Part last_part(const std::uint8_t* at) const noexcept {
        return Part(static_cast<std::uint32_t>(text_ + length_ - at) - (kGroup * kBlock - kWordBytes));
    }
    template <bool kPart>
    SEKISHO_INLINE void work_group(std::uint8_t* at, Word& counter, const Part& part,
                                   const std::uint8_t* powers) noexcept {
        Word stream[kGroupWords];
        begin_group(stream, counter);
        encrypt(stream, [](std::uint32_t) {});
        apply<false, kPart>(stream, at, part, powers, reduced<V>(sum_));
    }
    SEKISHO_INLINE void begin_group(Word (&stream)[kGroupWords], Word& counter) const noexcept {
        const Word round_key = V::broadcast(load_block(key_.round_keys[0]));
        SEKISHO_UNROLL
        for (std::uint32_t i = 0; i < kGroupWords; ++i) {
            stream[i] = V::add(V::shuffle(counter, counter_reversal()), round_key);
            counter = V::advance(counter, step(V::kLanes));
        }
    }

    // The same where the registers are enough for both ciphers at a time: a group is hashed between the rounds of the
    // next one, to open between its own.
    SEKISHO_INLINE void work_groups_between(std::uint32_t groups, std::uint8_t* at, Word counter) noexcept {
        const auto next = [&] { at += kGroup * kBlock; };
        Word done[kGroupWords];
        if constexpr (kSeal) {
            if (groups > 1) {
                work_group_between<Hash::none, false>(at, counter, Part::whole(), nullptr, done);
                for (next(); groups > 2; --groups, next())
                    work_group_between<Hash::before, false>(at, counter, Part::whole(), powers(kGroup, false), done);
                work_group_between<Hash::before, true>(at, counter, last_part(at), powers(kGroup, false), done);
            } else {
                work_group_between<Hash::none, true>(at, counter, last_part(at), nullptr, done);
            }
            const __m128i hash = reduced<V>(sum_);
            SEKISHO_UNROLL
            for (std::uint32_t i = 0; i < kGroupWords; ++i) hash_word(i, done[i], powers(kGroup, true), hash);
        } else {
            for (; groups > 1; --groups, next())
                work_group_between<Hash::same, false>(at, counter, Part::whole(), powers(kGroup, false), done);
            work_group_between<Hash::same, true>(at, counter, last_part(at), powers(kGroup, true), done);
        }
    }
    // What is hashed between the rounds of a group: nothing, the one before it, or itself.
    enum class Hash { none, before, same };
    // Leaves what it wrote in `done` too. kPart: of the group's last word only `part` is there.
    template <Hash kHash, bool kPart>
    SEKISHO_INLINE void work_group_between(std::uint8_t* at, Word& counter, const Part& part,
                                           const std::uint8_t* powers, Word (&done)[kGroupWords]) noexcept {
        Word stream[kGroupWords];
        begin_group(stream, counter);
        const std::uint8_t* const hashed = kHash == Hash::before ? at - kGroup * kBlock : at;
        __m128i hash = _mm_setzero_si128();
        encrypt(stream, [&](std::uint32_t round) {
            if (kHash == Hash::none || round > 1 + kGroupWords) return;
            if (round == 1) return static_cast<void>(hash = reduced<V>(sum_));
            const bool is_part = kPart && kHash == Hash::same && round == 1 + kGroupWords;
            hash_word(round - 2, read(hashed + (round - 2) * kWordBytes, part, is_part), powers, hash);
        });
        SEKISHO_UNROLL
        for (std::uint32_t i = 0; i < kGroupWords; ++i) {
            const bool is_part = kPart && i == kGroupWords - 1;
            std::uint8_t* const place = at + i * kWordBytes;
            done[i] = write(place, V::add(read(place, part, is_part), stream[i]), part, is_part);
        }
    }
    SEKISHO_INLINE static Word read(const std::uint8_t* at, const Part& part, bool is_part) noexcept {
        return is_part ? V::load_part(at, part) : V::load(at);
    }
    // Gives back what it wrote, zeros behind it.
    SEKISHO_INLINE static Word write(std::uint8_t* at, Word word, const Part& part, bool is_part) noexcept {
        is_part ? V::store_part(at, word, part) : V::store(at, word);
        return is_part ? V::keep(word, part) : word;
    }
    // Word i of a group's encrypted text into a new sum; `hash`, of what was before, goes in with the first.
    SEKISHO_INLINE void hash_word(std::uint32_t i, Word text, const std::uint8_t* powers, __m128i hash) noexcept {
        Word word = V::shuffle(text, reversal());
        if (i == 0) word = V::add(word, V::only_first(hash));
        take_product(i, word, powers);
    }
    SEKISHO_INLINE void take_product(std::uint32_t i, Word word, const std::uint8_t* powers) noexcept {
        const Sum<V> more = product<V>(word, V::load(powers + i * kWordBytes));
        if (i == 0)
            sum_ = more;
        else
            add(sum_, more);
    }

    // FIPS 197 §5.1, but for the first round key, which is added to the counters. `between(round)` is other work for
    // the processor while it waits for a round.
    template <std::uint32_t kWords, class Between>
    SEKISHO_INLINE void encrypt(Word (&state)[kWords], const Between& between) const noexcept {
        SEKISHO_UNROLL
        for (std::uint32_t round = 1; round <= kRounds; ++round) {
            const Word key = V::broadcast(load_block(key_.round_keys[round]));
            SEKISHO_UNROLL
            for (std::uint32_t i = 0; i < kWords; ++i)
                state[i] = round < kRounds ? V::round(state[i], key) : V::last_round(state[i], key);
            between(round);
        }
    }

    // Key stream over the blocks at `at`, and their products into a new sum. Lanes behind the last block are zeros, and
    // what they are multiplied with does not matter: it is the round keys, which lie behind the powers. kHead: the
    // first block is `first`, the AAD, and not the text's. Otherwise `first` is what was hashed before. kPart: of the
    // last word only a part is there.
    template <bool kHead, bool kPart, std::uint32_t kWords>
    SEKISHO_INLINE void apply(const Word (&stream)[kWords], std::uint8_t* at, const Part& part,
                              const std::uint8_t* powers, __m128i first) noexcept {
        SEKISHO_UNROLL
        for (std::uint32_t i = 0; i < kWords; ++i) {
            std::uint8_t* const place = at + i * kWordBytes;
            Word hashed;  // the encrypted text
            if (kHead && i == 0) {
                const Part here = kWords == 1 ? part : Part::whole();
                const Word text = V::load_behind_first(place, here);
                const Word done = V::add(text, stream[i]);
                V::store_behind_first(place, done, here);
                hashed = V::with_first(kSeal ? V::keep(done, here) : text, first);
            } else {
                const bool is_part = kPart && i == kWords - 1;
                const Word text = read(place, part, is_part);
                const Word done = write(place, V::add(text, stream[i]), part, is_part);
                hashed = kSeal ? done : text;
            }
            hashed = V::shuffle(hashed, reversal());
            if (!kHead && i == 0) hashed = V::add(hashed, V::only_first(first));
            take_product(i, hashed, powers);
        }
    }

    // The lengths' block, and the tag.
    SEKISHO_INLINE bool finish() noexcept {
        add(sum_, product<V>(V::only_first(lengths_), V::only_first(load_block(powers(1, false)))));
        const __m128i tag = _mm_xor_si128(reversed(reduced<V>(sum_)), tag_mask_);
        if (kSeal) {
            store_block(text_ + length_, tag);
            return true;
        }
        const __m128i difference = _mm_xor_si128(tag, tag_);
        return _mm_testz_si128(difference, difference) != 0;
    }

    const GcmKey& key_;
    std::uint8_t* text_;
    std::uint32_t length_;
    __m128i nonce_;
    __m128i lengths_;  // reversed, as H is
    __m128i tag_;      // to open: what the packet has
    __m128i tag_mask_;
    __m128i aad_;
    Sum<V> sum_;
};

// Keys of 100,000 SAs lie in memory: the lines of one that a packet of this length needs.
inline void prefetch_key(const AeadJob& job) noexcept {
    const std::size_t powers = std::min(job.length / GcmKey::kBlock + 3, GcmKey::kPowers);
    const std::size_t end = (GcmKey::kPowers + (job.suite == Suite::aes_gcm_128 ? 11 : 15)) * GcmKey::kBlock;
    for (std::size_t at = (GcmKey::kPowers - powers) * GcmKey::kBlock; at < end; at += 64) prefetch_to_l2(job.key + at);
}

template <class V, bool kSeal>
bool run(std::span<AeadJob> jobs) noexcept {
    constexpr std::size_t kAhead = 16;
    bool good = true;
    std::size_t asked = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        AeadJob& job = jobs[i];
        const std::size_t end = std::min(i + kAhead + 1, jobs.size());
        for (std::size_t next = std::max(i + 1, asked); next < end; ++next)
            if (jobs[next].key != jobs[next - 1].key) prefetch_key(jobs[next]);
        asked = end;
        job.good =
            job.suite == Suite::aes_gcm_128 ? Packet<V, 10, kSeal>(job).work() : Packet<V, 14, kSeal>(job).work();
        good &= job.good;
    }
    V::clear();
    return good;
}

}  // namespace

}  // namespace sekisho::crypto

#undef SEKISHO_INLINE
#undef SEKISHO_UNROLL

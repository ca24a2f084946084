// How a session table lies in memory, and where a key belongs in it.
//
// Buckets of 31 places. A bucket's signatures are one cache line: 16 bits of each record's hash, 0 for a free place,
// and beside them how many records belong here but found no place and lie in their second bucket. A place's number is
// its record's: there is no pointer and no index. A second line says when each record is to be looked at again, so that
// expiry reads 2 bytes a record and seldom the record. Shared by the table and the lookups in their versions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "nat/session_key.hpp"

namespace sekisho::nat {

// Where a record lies: its bucket and its place there. Changes when the table moves the record.
using Slot = std::uint32_t;
inline constexpr Slot kNoSlot = 0xffff'ffffU;
inline constexpr std::size_t kPlaces = 31;
inline constexpr unsigned kSlotBits = 5;
inline constexpr std::uint32_t kAllPlaces = 0x7fff'ffffU;

constexpr Slot slot_at(std::uint32_t bucket, unsigned place) noexcept {
    return bucket << kSlotBits | place;
}
constexpr std::uint32_t bucket_of(Slot slot) noexcept {
    return slot >> kSlotBits;
}
constexpr unsigned place_of(Slot slot) noexcept {
    return slot & ((1U << kSlotBits) - 1);
}
// Records lie close together, 31 a bucket.
constexpr std::size_t record_of(Slot slot) noexcept {
    return std::size_t{slot} - bucket_of(slot);
}

struct alignas(64) SignatureLine {
    std::array<std::uint16_t, kPlaces> signature;  // 0: free
    std::uint16_t overflow;                        // records of this bucket that lie in their second one
};
// When a record is to be looked at again, in seconds modulo 2^16; 0: never, for there is none.
struct alignas(64) DueLine {
    std::array<std::uint16_t, kPlaces> due;
    std::uint16_t unused;
};
static_assert(sizeof(SignatureLine) == 64 && sizeof(DueLine) == 64);

// Secret and new for each table, so that nobody can choose tuples that meet in one bucket.
struct HashSeed {
    std::array<std::uint64_t, 4> word{};
};

// Where a key belongs: each bucket by 32 bits of its hash of its own, the signature by all of them. Most lookups need
// no second bucket.
struct Place {
    std::uint64_t hash;
    std::uint32_t first;  // bucket

    std::uint32_t second(std::uint32_t buckets) const noexcept {
        return static_cast<std::uint32_t>((hash & 0xffff'ffffU) * buckets >> 32);
    }
    // Never 0.
    std::uint16_t signature() const noexcept {
        constexpr std::uint64_t kMix = 0x9e37'79b9'7f4a'7c15ULL;
        const auto bits = static_cast<std::uint16_t>(hash * kMix >> 48);
        return static_cast<std::uint16_t>(bits + (bits == 0 ? 1 : 0));
    }
};

inline std::uint64_t multiply_and_fold(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <class Key>
std::uint64_t hash_of(const Key& key, const HashSeed& seed) noexcept {
    std::uint64_t hash = multiply_and_fold(word_of(key, 0) ^ seed.word[0], word_of(key, 1) ^ seed.word[1]);
    if constexpr (sizeof(Key) > 16) {
        hash = multiply_and_fold(hash ^ word_of(key, 2), word_of(key, 3) ^ seed.word[2]);
        hash = multiply_and_fold(hash ^ word_of(key, 4), seed.word[3]);
        static_assert(sizeof(Key) == 40);
    }
    return multiply_and_fold(hash ^ seed.word[2], seed.word[3]);
}

inline Place place_of(std::uint64_t hash, std::uint32_t buckets) noexcept {
    return {hash, static_cast<std::uint32_t>((hash >> 32) * buckets >> 32)};
}

}  // namespace sekisho::nat

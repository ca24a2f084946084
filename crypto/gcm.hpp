// AES-GCM by VAES and VPCLMULQDQ, in two widths. For engine_vaes.cpp, which chooses, and the versions.
//
// Nonces of 12 bytes, tags of 16 (NIST SP 800-38D). No branch and no address depends on a key or a text, but on lengths
// and on whether a tag is right; AES and products are single instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/aead.hpp"

namespace sekisho::crypto {

// A key as both versions read it. A short packet needs the end of the powers and the round keys, which lie side by
// side.
struct alignas(64) GcmKey {
    static constexpr std::size_t kBlock = 16;
    static constexpr std::size_t kGroup = 16;           // blocks that are worked on at a time
    static constexpr std::size_t kPowers = kGroup + 1;  // for a group and the lengths' block behind it

    std::uint8_t powers[kPowers][kBlock];  // of the hash key H, the highest first, in gcm_kernel.hpp's order of bits
    std::uint8_t round_keys[15][kBlock];   // of AES-128 the first eleven are used (FIPS 197 §5)
};
static_assert(sizeof(GcmKey) == 512);

struct GcmVersion {
    const char* name;
    // As AeadEngine's, with GcmKeys. Registers hold no part of a key afterwards.
    bool (*seal)(std::span<AeadJob> jobs) noexcept;
    bool (*open)(std::span<AeadJob> jobs) noexcept;
};

extern const GcmVersion kGcmAvx2;    // VAES, VPCLMULQDQ and AVX2: two blocks an instruction
extern const GcmVersion kGcmAvx512;  // and AVX-512 (F, BW, VL, DQ): four

// `bytes`: as many as the suite's keys have. As above.
void expand_key(Suite suite, const std::uint8_t* bytes, GcmKey& key) noexcept;

}  // namespace sekisho::crypto

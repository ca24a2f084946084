// The name of a key in files and words: 128 bits of a SHA-256 that tell keys apart and not what they are.
//
// Of the AES key alone: two SAs with one key and two salts would have one fingerprint, and so one count of nonces,
// which is more than GCM needs. Keys come from random numbers; a key that can be guessed can be recognised by its
// fingerprint.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "crypto/suite.hpp"
#include "net/secret.hpp"

namespace sekisho::crypto {

struct Fingerprint {
    std::array<std::uint8_t, 16> bytes{};

    std::string text() const;  // 32 hexadecimal digits
    friend auto operator<=>(const Fingerprint&, const Fingerprint&) = default;
};

// `keying_material`: key and salt, as SAs take them, of the suite's length.
Fingerprint fingerprint_of(Suite suite, const Secret& keying_material);

}  // namespace sekisho::crypto

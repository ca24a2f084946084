// SHA-256 and random bytes, by OpenSSL: for fingerprints and the ledger's file.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace sekisho::crypto {

// Of the parts one behind the other. Throws std::bad_alloc where OpenSSL has no memory.
std::array<std::uint8_t, 32> sha256(std::initializer_list<std::span<const std::uint8_t>> parts);

// False: the system has no random numbers; the bytes must not be used.
[[nodiscard]] bool fill_random(std::span<std::uint8_t> bytes);

std::string hexadecimal(std::span<const std::uint8_t> bytes);
// All of `bytes` from what hexadecimal() wrote; false: the text is another one.
[[nodiscard]] bool from_hexadecimal(const std::string& text, std::span<std::uint8_t> bytes);

}  // namespace sekisho::crypto

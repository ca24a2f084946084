// The suites that an SA may use, in one table: names, key lengths, and what they add to a packet.
//
// AES-GCM in ESP as RFC 4106 has it: keying material is the AES key and then a salt of four bytes; the IV of eight
// bytes lies in the packet; nonce = salt, IV; the ICV is 16 bytes long, never less here. Values only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sekisho::crypto {

enum class Suite : std::uint8_t { aes_gcm_128, aes_gcm_256 };

struct SuiteText {
    Suite suite;
    std::string_view name;   // as the policy and the CLI write it
    std::size_t key_length;  // bytes, without the salt
};

inline constexpr std::array kSuites = {
    SuiteText{Suite::aes_gcm_128, "aes_gcm_128", 16},
    SuiteText{Suite::aes_gcm_256, "aes_gcm_256", 32},
};

inline constexpr std::size_t kSaltLength = 4;    // RFC 4106 §4
inline constexpr std::size_t kIvLength = 8;      // RFC 4106 §3.1
inline constexpr std::size_t kNonceLength = 12;  // RFC 4106 §4
inline constexpr std::size_t kIcvLength = 16;    // RFC 4106 §6: 8 and 12 are allowed there, not here
inline constexpr std::size_t kEspAlignment = 4;  // RFC 4303 §2.4

constexpr const SuiteText& text_of(Suite suite) noexcept {
    return kSuites[static_cast<std::size_t>(suite)];
}
constexpr std::string_view name_of(Suite suite) noexcept {
    return text_of(suite).name;
}
constexpr std::optional<Suite> suite_named(std::string_view name) noexcept {
    for (const SuiteText& row : kSuites)
        if (row.name == name) return row.suite;
    return std::nullopt;
}

}  // namespace sekisho::crypto

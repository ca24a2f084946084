// Bytes of frames in tests: written, read and summed in the plainest way, on purpose not with net/'s own code.
//
// What the path rewrites incrementally is compared with what this computes from the beginning (RFC 1071).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace sekisho::test {

using Bytes = std::vector<std::uint8_t>;

inline void put8(Bytes& bytes, std::size_t value) {
    bytes.push_back(static_cast<std::uint8_t>(value));
}
inline void put16(Bytes& bytes, std::size_t value) {
    put8(bytes, value >> 8);
    put8(bytes, value);
}
inline void put32(Bytes& bytes, std::size_t value) {
    put16(bytes, value >> 16);
    put16(bytes, value);
}
inline void put(Bytes& bytes, std::span<const std::uint8_t> more) {
    for (const std::uint8_t byte : more) bytes.push_back(byte);
}
inline void set16(Bytes& bytes, std::size_t at, std::size_t value) {
    bytes.at(at) = static_cast<std::uint8_t>(value >> 8);
    bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}
inline std::uint16_t get16(std::span<const std::uint8_t> bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// The sum of RFC 1071, folded into 16 bits: 0xffff over bytes whose checksum is right. An odd byte is the high half.
inline std::uint16_t sum_of_words(std::initializer_list<std::span<const std::uint8_t>> parts) {
    std::uint32_t sum = 0;
    for (const auto part : parts)
        for (std::size_t i = 0; i < part.size(); ++i) {
            sum += i % 2 == 0 ? static_cast<std::uint32_t>(part[i]) << 8 : part[i];
            sum = (sum & 0xffff) + (sum >> 16);
        }
    return static_cast<std::uint16_t>(sum);
}

inline std::string hex_of(std::span<const std::uint8_t> bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i != 0) text += i % 16 == 0 ? '\n' : ' ';
        text += kDigits[bytes[i] >> 4];
        text += kDigits[bytes[i] & 15];
    }
    return text;
}

}  // namespace sekisho::test

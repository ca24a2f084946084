// The ESP header with AES-GCM's IV behind it (RFC 4303 §2, RFC 4106 §3), and the sizes around them. For seal and open.
#pragma once

#include <cstddef>
#include <cstdint>

#include "crypto/suite.hpp"
#include "net/byte_order.hpp"

namespace sekisho::crypto {

struct EspHeader {
    Be32 spi;
    Be32 sequence;  // the low half
    Be64 iv;        // ours is the whole sequence number: never twice with one key
};
static_assert(sizeof(EspHeader) == 16);

inline constexpr std::size_t kTrailer = 2;       // pad length, next header
inline constexpr std::size_t kPlainAad = 8;      // SPI and sequence number as they lie in the packet
inline constexpr std::size_t kExtendedAad = 12;  // with the high half between
inline constexpr std::uint8_t kNextIpv4 = 4;
inline constexpr std::uint8_t kNextIpv6 = 41;
inline constexpr std::uint8_t kNextDummy = 59;

// The shortest that can be: header, IV, one aligned trailer, ICV.
inline constexpr std::size_t kShortestEsp = sizeof(EspHeader) + kEspAlignment + kIcvLength;

}  // namespace sekisho::crypto

// What an outer header takes from the inner one, and gives back: ECN (RFC 6040), DSCP (RFC 2983), DF (RFC 4301 §8.1).
//
// Pure functions on the bits. The TOS byte of IPv4 and the traffic class of IPv6 are one thing here: DSCP above, ECN in
// the low two bits.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace sekisho::crypto {

inline constexpr std::uint8_t kNotEct = 0;
inline constexpr std::uint8_t kEct1 = 1;
inline constexpr std::uint8_t kEct0 = 2;
inline constexpr std::uint8_t kCe = 3;
inline constexpr std::uint8_t kEcnMask = 3;

enum class EcnMode : std::uint8_t {
    normal,         // copied: the far end understands RFC 6040
    compatibility,  // outer Not-ECT: the far end may lose what congestion marks (RFC 6040 §4.3)
};
enum class DfMode : std::uint8_t { copy, set, clear };

// How an outbound SA marks its outer headers.
struct OuterMarks {
    std::optional<std::uint8_t> dscp = {};  // 0 to 63; none: the inner packet's
    EcnMode ecn = EcnMode::normal;
    DfMode df = DfMode::copy;  // IPv4 outer headers only; an inner IPv6 packet counts as DF
    std::uint8_t hop_limit = 64;
};

// The inner ECN after the tunnel (RFC 6040 §4.2, figure 4); nullopt: drop, for congestion was marked and cannot be
// told.
constexpr std::optional<std::uint8_t> ecn_after_tunnel(std::uint8_t inner, std::uint8_t outer) noexcept {
    inner &= kEcnMask;
    outer &= kEcnMask;
    if (inner == kNotEct) return outer == kCe ? std::nullopt : std::optional(kNotEct);
    if (outer == kCe || inner == kCe) return kCe;
    return outer == kEct1 ? kEct1 : inner;
}

}  // namespace sekisho::crypto

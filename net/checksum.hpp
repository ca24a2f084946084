// The Internet checksum (RFC 1071), whole and incremental (RFC 1624).
//
// Sums are of 16-bit words as a load gives them: the one's complement sum is the same in either byte order (RFC 1071
// §2(B)), so nothing here swaps. A ChecksumDelta is what a rewrite adds to the sum of the bytes that a checksum covers;
// it is prepared once (in a table row) and applied to many packets.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "net/address.hpp"
#include "net/byte_order.hpp"

namespace sekisho {

// Folds a sum of 16-bit words into 16 bits.
constexpr std::uint16_t fold(std::uint64_t sum) noexcept {
    sum = (sum & 0xffff'ffff) + (sum >> 32);
    sum = (sum & 0xffff'ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
}

// The same of a few words only.
constexpr std::uint16_t fold_few(std::uint32_t sum) noexcept {
    // The upper half: both halves, and the carry of the same sum in the lower.
    return static_cast<std::uint16_t>((sum + std::rotl(sum, 16)) >> 16);
}

// The unfolded one's complement sum of `bytes`; an odd last byte counts as padded with zero (RFC 1071 §1).
inline std::uint64_t sum_of(std::span<const std::uint8_t> bytes) noexcept {
    std::uint64_t sum = 0;
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 4; at += 4, left -= 4) {
        std::uint32_t word;
        std::memcpy(&word, at, 4);
        sum += word;
    }
    if (left >= 2) {
        std::uint16_t word;
        std::memcpy(&word, at, 2);
        sum += word;
        at += 2;
        left -= 2;
    }
    if (left == 1) {
        std::uint16_t word = 0;
        std::memcpy(&word, at, 1);
        sum += word;
    }
    return sum;
}

// The sum over the pseudo-header of TCP, UDP and ICMPv6 (RFC 793 §3.1, RFC 8200 §8.1). `length` is that of the L4
// packet.
inline std::uint64_t pseudo_header_sum(Be32 source, Be32 destination, std::uint8_t protocol,
                                       std::size_t length) noexcept {
    return std::uint64_t{source.network_bits()} + destination.network_bits() +
           Be16::from_host(protocol).network_bits() +
           Be32::from_host(static_cast<std::uint32_t>(length)).network_bits();
}
inline std::uint64_t pseudo_header_sum(const Ipv6Wire& source, const Ipv6Wire& destination, std::uint8_t protocol,
                                       std::size_t length) noexcept {
    std::uint64_t sum = Be32::from_host(protocol).network_bits();
    sum += Be32::from_host(static_cast<std::uint32_t>(length)).network_bits();
    for (const std::uint64_t word : {source.high.network_bits(), source.low.network_bits(),
                                     destination.high.network_bits(), destination.low.network_bits()})
        sum += (word & 0xffff'ffff) + (word >> 32);
    return sum;
}

// The checksum field for bytes (and pseudo-header) that sum to `sum` with the field itself zero.
inline Be16 checksum_of(std::uint64_t sum) noexcept {
    return Be16::from_network(static_cast<std::uint16_t>(~fold(sum)));
}
inline Be16 checksum_of(std::span<const std::uint8_t> bytes) noexcept {
    return checksum_of(sum_of(bytes));
}

// True when bytes that include their checksum field sum to all ones.
inline bool checksum_is_good(std::uint64_t sum) noexcept {
    return sum != 0 && sum % 0xffff == 0;  // the same as fold(sum) == 0xffff, in fewer instructions
}

// What replacing some covered words adds to their one's complement sum: m' + ~m for each (RFC 1624 §3).
class ChecksumDelta {
  public:
    constexpr ChecksumDelta() noexcept = default;

    static constexpr ChecksumDelta replace(std::uint16_t old_bits, std::uint16_t new_bits) noexcept {
        return ChecksumDelta(std::uint32_t{new_bits} + static_cast<std::uint16_t>(~old_bits));
    }
    static constexpr ChecksumDelta replace(Be16 before, Be16 after) noexcept {
        return replace(before.network_bits(), after.network_bits());
    }
    static constexpr ChecksumDelta replace(Be32 before, Be32 after) noexcept { return of_few(replaced(before, after)); }
    // Two at once.
    static constexpr ChecksumDelta replace(Be32 before, Be32 after, Be32 and_before, Be32 and_after) noexcept {
        return of_few(replaced(before, after) + replaced(and_before, and_after));
    }
    static constexpr ChecksumDelta replace(const Ipv6Wire& before, const Ipv6Wire& after) noexcept {
        return of_few(halves(after.high) + halves(after.low) + complement_halves(before.high) +
                      complement_halves(before.low));
    }

    // Both rewrites together.
    friend constexpr ChecksumDelta operator+(ChecksumDelta a, ChecksumDelta b) noexcept {
        return ChecksumDelta(a.sum_ + b.sum_);
    }

    // RFC 1624 §3, equation 3: HC' = ~(~HC + ~m + m'). Right for 0x0000 and 0xffff where RFC 1141's was not.
    constexpr Be16 apply(Be16 checksum) const noexcept {
        const std::uint16_t old_sum = static_cast<std::uint16_t>(~checksum.network_bits());
        return Be16::from_network(static_cast<std::uint16_t>(~fold_few(old_sum + sum_)));
    }

  private:
    constexpr explicit ChecksumDelta(std::uint32_t sum) noexcept : sum_(sum) {}
    static constexpr std::uint64_t replaced(Be32 before, Be32 after) noexcept {
        return std::uint64_t{after.network_bits()} + static_cast<std::uint32_t>(~before.network_bits());
    }
    // Of a sum of a few words of 32 bits: its halves, of which a few fit again.
    static constexpr ChecksumDelta of_few(std::uint64_t sum) noexcept {
        return ChecksumDelta(static_cast<std::uint32_t>((sum & 0xffff) + (sum >> 16)));
    }
    static constexpr std::uint64_t halves(Be64 word) noexcept {
        return (word.network_bits() & 0xffff'ffff) + (word.network_bits() >> 32);
    }
    static constexpr std::uint64_t complement_halves(Be64 word) noexcept {
        return halves(Be64::from_network(~word.network_bits()));
    }

    std::uint32_t sum_ = 0;  // of a few words, not folded: that is apply()'s
};

}  // namespace sekisho

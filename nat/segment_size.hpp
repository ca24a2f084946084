// The MSS clamp: the largest segment that a TCP SYN or SYN-ACK asks for, made to fit its way (RFC 879, RFC 9293
// §3.7.1).
//
// Stateless, on a segment's own header: nothing is read behind it, and an option that contradicts itself ends the
// search. Any thread, on packets of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::nat {

inline constexpr std::uint8_t kTcpOptionEnd = 0;
inline constexpr std::uint8_t kTcpOptionNop = 1;
inline constexpr std::uint8_t kTcpOptionMss = 2;

// Lowers every MSS option in the TCP header at the beginning of `tcp` that is larger than `most`, and keeps the
// checksum as right or wrong as it was. A header without the option stays without (its receiver assumes 536 or 1,220
// bytes).
inline void clamp_segment_size(std::span<std::uint8_t> tcp, std::uint16_t most) noexcept {
    auto* const header = header_at<TcpHeader>(tcp, 0);
    if (header == nullptr) return;
    const std::size_t end = std::size_t{4} * (header->data_offset >> 4U);
    if (end > tcp.size()) return;
    for (std::size_t at = sizeof(TcpHeader); at < end && tcp[at] != kTcpOptionEnd;) {
        if (tcp[at] == kTcpOptionNop) {
            ++at;
            continue;
        }
        if (end - at < 2 || tcp[at + 1] < 2 || tcp[at + 1] > end - at) return;
        if (tcp[at] == kTcpOptionMss && tcp[at + 1] == 4) {
            auto& size = *header_at<Be16>(tcp, at + 2);
            const Be16 before = size;
            if (before.to_host() > most) {
                size = Be16::from_host(most);
                // At an odd place its two bytes are in two words of the sum, each the other half (RFC 1071 §2(B)).
                const auto word = [at](Be16 value) {
                    const std::uint16_t bits = value.network_bits();
                    return at % 2 == 0 ? bits : static_cast<std::uint16_t>(bits << 8 | bits >> 8);
                };
                header->checksum = ChecksumDelta::replace(word(before), word(size)).apply(header->checksum);
            }
        }
        at += tcp[at + 1];
    }
}

}  // namespace sekisho::nat

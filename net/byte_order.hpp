// Integers in network byte order, as they lie in a packet.
//
// Be16, Be32 and Be64 have alignment 1, so header structs made of them may lie at any offset. They compare for equality
// only: an order on big-endian bits would mean nothing. Only from_host() and to_host() swap; no other code does.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace sekisho {

template <class Host>
constexpr Host byte_swap(Host value) noexcept {
    if constexpr (sizeof(Host) == 2) return static_cast<Host>(__builtin_bswap16(value));
    if constexpr (sizeof(Host) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(Host) == 8) return __builtin_bswap64(value);
}

template <class Host>
class BigEndian {
  public:
    constexpr BigEndian() noexcept = default;

    static constexpr BigEndian from_host(Host value) noexcept {
        if constexpr (std::endian::native == std::endian::little) value = byte_swap(value);
        return from_network(value);
    }
    // The bits as a load from the packet gives them: for checksums, which do not mind the order (RFC 1071 §2).
    static constexpr BigEndian from_network(Host bits) noexcept {
        BigEndian result;
        result.bytes_ = std::bit_cast<Bytes>(bits);
        return result;
    }
    constexpr Host to_host() const noexcept {
        const Host bits = network_bits();
        return std::endian::native == std::endian::little ? byte_swap(bits) : bits;
    }
    constexpr Host network_bits() const noexcept { return std::bit_cast<Host>(bytes_); }

    // One comparison of registers: the default would compare byte by byte, by a call.
    friend constexpr bool operator==(const BigEndian& a, const BigEndian& b) noexcept {
        return a.network_bits() == b.network_bits();
    }

  private:
    using Bytes = std::array<std::uint8_t, sizeof(Host)>;
    Bytes bytes_{};
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
using Be64 = BigEndian<std::uint64_t>;

static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1);
static_assert(sizeof(Be32) == 4 && alignof(Be32) == 1);
static_assert(sizeof(Be64) == 8 && alignof(Be64) == 1);

}  // namespace sekisho

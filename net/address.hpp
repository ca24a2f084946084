// IPv4, IPv6 and MAC addresses as values: parsed from text, printed to text, compared, counted with.
//
// Values are in host order, so that they compare and add like the numbers they are; load() and store() are the way from
// and to packet bytes. Text forms: RFC 791 dotted quad without leading zeros, RFC 4291 §2.2 read, RFC 5952 written.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "net/byte_order.hpp"

namespace sekisho {

enum class Family : std::uint8_t { ipv4, ipv6 };

class Ipv4Address {
  public:
    static constexpr int kBits = 32;
    static constexpr Family kFamily = Family::ipv4;

    constexpr Ipv4Address() noexcept = default;
    constexpr explicit Ipv4Address(std::uint32_t host_order) noexcept : value_(host_order) {}
    constexpr explicit Ipv4Address(Be32 wire) noexcept : value_(wire.to_host()) {}

    // Strictly four decimal numbers: no leading zeros (which some read as octal), no spaces. nullopt if it is not that.
    static std::optional<Ipv4Address> parse(std::string_view text);
    std::string text() const;

    constexpr std::uint32_t value() const noexcept { return value_; }
    constexpr Be32 wire() const noexcept { return Be32::from_host(value_); }

    constexpr bool is_unspecified() const noexcept { return value_ == 0; }
    constexpr bool is_this_network() const noexcept { return (value_ >> 24) == 0; }     // 0/8, RFC 1122 §3.2.1.3
    constexpr bool is_loopback() const noexcept { return (value_ >> 24) == 127; }       // 127/8
    constexpr bool is_link_local() const noexcept { return (value_ >> 16) == 0xa9fe; }  // 169.254/16, RFC 3927
    constexpr bool is_multicast() const noexcept { return (value_ >> 28) == 0xe; }      // 224/4
    constexpr bool is_reserved() const noexcept { return (value_ >> 28) == 0xf; }       // 240/4 and limited broadcast
    constexpr bool is_limited_broadcast() const noexcept { return value_ == 0xffffffffU; }

    friend constexpr auto operator<=>(Ipv4Address, Ipv4Address) noexcept = default;

  private:
    std::uint32_t value_ = 0;
};

class Ipv6Address {
  public:
    static constexpr int kBits = 128;
    static constexpr Family kFamily = Family::ipv6;

    constexpr Ipv6Address() noexcept = default;
    constexpr Ipv6Address(std::uint64_t high, std::uint64_t low) noexcept : high_(high), low_(low) {}

    // RFC 4291 §2.2 text, an embedded IPv4 tail included; no zone ("%eth0"). nullopt if it is not that.
    static std::optional<Ipv6Address> parse(std::string_view text);
    std::string text() const;  // RFC 5952

    constexpr std::uint64_t high() const noexcept { return high_; }
    constexpr std::uint64_t low() const noexcept { return low_; }

    constexpr bool is_unspecified() const noexcept { return (high_ | low_) == 0; }
    constexpr bool is_loopback() const noexcept { return high_ == 0 && low_ == 1; }
    constexpr bool is_multicast() const noexcept { return (high_ >> 56) == 0xff; }
    constexpr bool is_link_local() const noexcept { return (high_ >> 54) == 0x3fa; }  // fe80::/10
    constexpr bool is_mapped_ipv4() const noexcept { return high_ == 0 && (low_ >> 32) == 0xffff; }

    // The group that the owner of this address listens on: ff02::1:ffXX:XXXX (RFC 4291 §2.7.1).
    constexpr Ipv6Address solicited_node() const noexcept {
        return {0xff02'0000'0000'0000ULL, 0x0000'0001'ff00'0000ULL | (low_ & 0xff'ffff)};
    }

    friend constexpr auto operator<=>(const Ipv6Address&, const Ipv6Address&) noexcept = default;

  private:
    std::uint64_t high_ = 0;
    std::uint64_t low_ = 0;
};

inline constexpr Ipv6Address kAllNodes{0xff02'0000'0000'0000ULL, 1};  // RFC 4291 §2.7.1
inline constexpr Ipv6Address kAllRouters{0xff02'0000'0000'0000ULL, 2};

class MacAddress {
  public:
    using Bytes = std::array<std::uint8_t, 6>;

    constexpr MacAddress() noexcept = default;
    constexpr explicit MacAddress(const Bytes& bytes) noexcept : bytes_(bytes) {}

    // Six two-digit hexadecimal numbers between colons. nullopt if it is not that.
    static std::optional<MacAddress> parse(std::string_view text);
    std::string text() const;

    // The group address of an IPv6 multicast destination: 33:33 and its last four bytes (RFC 2464 §7).
    static constexpr MacAddress of_group(const Ipv6Address& group) noexcept {
        const std::uint64_t low = group.low();
        return MacAddress(Bytes{0x33, 0x33, static_cast<std::uint8_t>(low >> 24), static_cast<std::uint8_t>(low >> 16),
                                static_cast<std::uint8_t>(low >> 8), static_cast<std::uint8_t>(low)});
    }

    constexpr const Bytes& bytes() const noexcept { return bytes_; }
    constexpr bool is_zero() const noexcept { return bytes_ == Bytes{}; }
    constexpr bool is_group() const noexcept { return (bytes_[0] & 1) != 0; }  // multicast or broadcast
    constexpr bool is_locally_administered() const noexcept { return (bytes_[0] & 2) != 0; }

    friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) noexcept = default;
    // In two comparisons of registers.
    friend constexpr bool operator==(const MacAddress& a, const MacAddress& b) noexcept {
        return __builtin_memcmp(a.bytes_.data(), b.bytes_.data(), sizeof a.bytes_) == 0;
    }

    // The six bytes as they lie in memory, in the low 48 bits, in two loads; and back into a header, in two stores.
    std::uint64_t bits() const noexcept {
        std::uint32_t low;
        std::uint16_t high;
        std::memcpy(&low, bytes_.data(), sizeof low);
        std::memcpy(&high, bytes_.data() + sizeof low, sizeof high);
        return std::uint64_t{high} << 32 | low;
    }
    void store(std::uint64_t bits) noexcept {
        const auto low = static_cast<std::uint32_t>(bits);
        const auto high = static_cast<std::uint16_t>(bits >> 32);
        std::memcpy(bytes_.data(), &low, 4);
        std::memcpy(bytes_.data() + 4, &high, 2);
    }

  private:
    Bytes bytes_{};
};

static_assert(sizeof(MacAddress) == 6 && alignof(MacAddress) == 1);
inline constexpr MacAddress kBroadcastMac{MacAddress::Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// The 16 bytes of an IPv6 address as they lie in a header.
struct Ipv6Wire {
    Be64 high;
    Be64 low;

    static constexpr Ipv6Wire from(const Ipv6Address& address) noexcept {
        return {Be64::from_host(address.high()), Be64::from_host(address.low())};
    }
    constexpr Ipv6Address address() const noexcept { return {high.to_host(), low.to_host()}; }
    friend constexpr bool operator==(const Ipv6Wire&, const Ipv6Wire&) noexcept = default;
};
static_assert(sizeof(Ipv6Wire) == 16 && alignof(Ipv6Wire) == 1);

// An address of either family: for the policy, the CLI and `explain`; the packet path always knows its family.
class IpAddress {
  public:
    constexpr IpAddress(Ipv4Address address) noexcept : value_(address) {}
    constexpr IpAddress(Ipv6Address address) noexcept : value_(address) {}

    static std::optional<IpAddress> parse(std::string_view text);
    std::string text() const;

    constexpr Family family() const noexcept { return value_.index() == 0 ? Family::ipv4 : Family::ipv6; }
    constexpr bool is_ipv4() const noexcept { return value_.index() == 0; }
    constexpr Ipv4Address ipv4() const { return std::get<Ipv4Address>(value_); }
    constexpr Ipv6Address ipv6() const { return std::get<Ipv6Address>(value_); }

    friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) noexcept = default;

  private:
    std::variant<Ipv4Address, Ipv6Address> value_;
};

}  // namespace sekisho

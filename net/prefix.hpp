// Address prefixes: a network address and a length, the host bits always zero.
//
// Prefix4 and Prefix6 are what tables are made of; IpPrefix is either, for the policy and the CLI. The arithmetic that
// prefix maps and covering prefixes need (mask, first, last, contains) is here; longest match is lpm/'s business.
#pragma once

#include <cassert>
#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "net/address.hpp"
#include "net/expected.hpp"

namespace sekisho {

constexpr Ipv4Address mask_of(Ipv4Address, int length) noexcept {
    return Ipv4Address(length == 0 ? std::uint32_t{0} : ~std::uint32_t{0} << (32 - length));
}
constexpr Ipv6Address mask_of(const Ipv6Address&, int length) noexcept {
    const std::uint64_t all = ~std::uint64_t{0};
    if (length == 0) return {0, 0};
    if (length <= 64) return {all << (64 - length), 0};
    return {all, all << (128 - length)};
}
constexpr Ipv4Address operator&(Ipv4Address a, Ipv4Address b) noexcept {
    return Ipv4Address(a.value() & b.value());
}
constexpr Ipv4Address operator|(Ipv4Address a, Ipv4Address b) noexcept {
    return Ipv4Address(a.value() | b.value());
}
constexpr Ipv4Address operator~(Ipv4Address a) noexcept {
    return Ipv4Address(~a.value());
}
constexpr Ipv6Address operator&(const Ipv6Address& a, const Ipv6Address& b) noexcept {
    return {a.high() & b.high(), a.low() & b.low()};
}
constexpr Ipv6Address operator|(const Ipv6Address& a, const Ipv6Address& b) noexcept {
    return {a.high() | b.high(), a.low() | b.low()};
}
constexpr Ipv6Address operator~(const Ipv6Address& a) noexcept {
    return {~a.high(), ~a.low()};
}

template <class Addr>
class Prefix {
  public:
    using Address = Addr;

    constexpr Prefix() noexcept = default;  // the default route: 0/0
    // The prefix of `length` bits (0 to Address::kBits) that `address` lies in; its host bits are cleared.
    constexpr Prefix(const Address& address, int length) noexcept
        : address_(address & mask_of(address, length)), length_(length) {
        assert(length >= 0 && length <= Address::kBits);
    }

    // "10.0.0.0/8", "fd00::/8"; a bare address is a host prefix. An address with host bits set is refused, and the
    // error names the prefix that was probably meant.
    static Expected<Prefix> parse(std::string_view text);
    std::string text() const { return address_.text() + "/" + std::to_string(length_); }

    constexpr const Address& address() const noexcept { return address_; }
    constexpr int length() const noexcept { return length_; }
    constexpr Address mask() const noexcept { return mask_of(address_, length_); }
    constexpr const Address& first() const noexcept { return address_; }
    constexpr Address last() const noexcept { return address_ | ~mask(); }

    constexpr bool contains(const Address& address) const noexcept { return (address & mask()) == address_; }
    constexpr bool contains(const Prefix& other) const noexcept {
        return other.length_ >= length_ && contains(other.address_);
    }
    constexpr bool overlaps(const Prefix& other) const noexcept { return contains(other) || other.contains(*this); }

    friend constexpr auto operator<=>(const Prefix&, const Prefix&) noexcept = default;

  private:
    Address address_{};
    int length_ = 0;
};

using Prefix4 = Prefix<Ipv4Address>;
using Prefix6 = Prefix<Ipv6Address>;

class IpPrefix {
  public:
    IpPrefix(Prefix4 prefix) noexcept : value_(prefix) {}
    IpPrefix(Prefix6 prefix) noexcept : value_(prefix) {}

    static Expected<IpPrefix> parse(std::string_view text);
    std::string text() const {
        return std::visit([](const auto& prefix) { return prefix.text(); }, value_);
    }

    Family family() const noexcept { return value_.index() == 0 ? Family::ipv4 : Family::ipv6; }
    bool is_ipv4() const noexcept { return value_.index() == 0; }
    const Prefix4& ipv4() const { return std::get<Prefix4>(value_); }
    const Prefix6& ipv6() const { return std::get<Prefix6>(value_); }
    int length() const noexcept {
        return std::visit([](const auto& prefix) { return prefix.length(); }, value_);
    }
    bool contains(const IpPrefix& other) const noexcept {
        if (family() != other.family()) return false;
        return is_ipv4() ? ipv4().contains(other.ipv4()) : ipv6().contains(other.ipv6());
    }
    bool contains(const IpAddress& address) const noexcept {
        if (family() != address.family()) return false;
        return is_ipv4() ? ipv4().contains(address.ipv4()) : ipv6().contains(address.ipv6());
    }
    bool overlaps(const IpPrefix& other) const noexcept { return contains(other) || other.contains(*this); }

    friend auto operator<=>(const IpPrefix&, const IpPrefix&) noexcept = default;

  private:
    std::variant<Prefix4, Prefix6> value_;
};

}  // namespace sekisho

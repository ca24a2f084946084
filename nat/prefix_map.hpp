// Prefix maps: operator space to hub space and back, without state, by adding a constant.
//
// Two prefixes of one length differ by a constant, so a map is one addition, and what it does to any checksum that
// covers the address is a constant too (RFC 1624): both are prepared once, in a table row. Not checksum-neutral NPTv6
// (RFC 6296). Pure values; any thread.
#pragma once

#include <cassert>

#include "net/checksum.hpp"
#include "net/prefix.hpp"

namespace sekisho::nat {

template <class Address>
class PrefixMap;

template <>
class PrefixMap<Ipv4Address> {
  public:
    constexpr PrefixMap() noexcept = default;  // the identity
    // Maps `from` onto `to`, which must be as long.
    PrefixMap(const Prefix4& from, const Prefix4& to) noexcept
        : difference_(to.address().value() - from.address().value()) {
        assert(from.length() == to.length());
        if (difference_ != 0) checksum_ = ChecksumDelta::replace(from.address().wire(), to.address().wire());
    }

    constexpr Ipv4Address apply(Ipv4Address address) const noexcept {
        return Ipv4Address(address.value() + difference_);
    }
    constexpr ChecksumDelta checksum() const noexcept { return checksum_; }

    friend constexpr bool operator==(const PrefixMap& a, const PrefixMap& b) noexcept {
        return a.difference_ == b.difference_;
    }

  private:
    std::uint32_t difference_ = 0;  // modulo 2^32
    ChecksumDelta checksum_;
};

template <>
class PrefixMap<Ipv6Address> {
  public:
    constexpr PrefixMap() noexcept = default;
    PrefixMap(const Prefix6& from, const Prefix6& to) noexcept {
        assert(from.length() == to.length());
        const Ipv6Address& a = from.address();
        const Ipv6Address& b = to.address();
        low_ = b.low() - a.low();
        high_ = b.high() - a.high() - (b.low() < a.low() ? 1 : 0);
        if ((high_ | low_) != 0) checksum_ = ChecksumDelta::replace(Ipv6Wire::from(a), Ipv6Wire::from(b));
    }

    constexpr Ipv6Address apply(const Ipv6Address& address) const noexcept {
        const std::uint64_t low = address.low() + low_;
        return {address.high() + high_ + (low < low_ ? 1 : 0), low};
    }
    constexpr ChecksumDelta checksum() const noexcept { return checksum_; }

    friend constexpr bool operator==(const PrefixMap& a, const PrefixMap& b) noexcept {
        return a.high_ == b.high_ && a.low_ == b.low_;
    }

  private:
    std::uint64_t high_ = 0;  // the 128-bit difference, modulo 2^128
    std::uint64_t low_ = 0;
    ChecksumDelta checksum_;
};

}  // namespace sekisho::nat

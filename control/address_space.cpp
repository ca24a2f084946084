// A sort and a sweep over claims. Control plane only.
#include "control/address_space.hpp"

#include <algorithm>
#include <utility>

#include "control/place.hpp"

namespace sekisho::control {

std::string Claim::place() const {
    return place_of(kind, id, index ? indexed(field, *index) : std::string(field));
}

AddressSpace::AddressSpace(std::vector<Claim> claims, const std::function<void(const Claim&, const Claim&)>& overlap) {
    // By family, address and then length: a prefix comes right before those that lie inside it. The order of equal ones
    // is that of the document.
    std::stable_sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) { return a.prefix < b.prefix; });
    for (Claim& claim : claims) {
        if (!claims_.empty() && claims_.back().prefix.contains(claim.prefix))
            overlap(claims_.back(), claim);
        else
            claims_.push_back(std::move(claim));
    }
}

PrefixSets AddressSpace::prefixes() const {
    std::vector<Prefix4> ipv4;
    std::vector<Prefix6> ipv6;
    for (const Claim& claim : claims_)
        if (claim.prefix.is_ipv4())
            ipv4.push_back(claim.prefix.ipv4());
        else
            ipv6.push_back(claim.prefix.ipv6());
    return {PrefixSet<Ipv4Address>(ipv4), PrefixSet<Ipv6Address>(ipv6)};
}

const Claim* AddressSpace::covering(const IpPrefix& prefix) const {
    const auto after =
        std::upper_bound(claims_.begin(), claims_.end(), prefix,
                         [](const IpPrefix& wanted, const Claim& claim) { return wanted < claim.prefix; });
    if (after == claims_.begin() || !std::prev(after)->prefix.contains(prefix)) return nullptr;
    return &*std::prev(after);
}

const Claim* AddressSpace::meeting(const IpPrefix& prefix) const {
    if (const Claim* cover = covering(prefix)) return cover;
    const auto inside =
        std::lower_bound(claims_.begin(), claims_.end(), prefix,
                         [](const Claim& claim, const IpPrefix& wanted) { return claim.prefix < wanted; });
    return inside != claims_.end() && prefix.contains(inside->prefix) ? &*inside : nullptr;
}

std::optional<std::string_view> unusable(const IpPrefix& prefix) {
    if (prefix.length() == 0) return "is the whole of the address space";
    if (prefix.is_ipv4()) {
        const auto meets = [&](std::uint32_t address, int length) {
            return prefix.ipv4().overlaps(Prefix4(Ipv4Address(address), length));
        };
        if (meets(0, 8)) return "has addresses of \"this network\", 0.0.0.0/8";
        if (meets(0x7f00'0000, 8)) return "has loopback addresses, 127.0.0.0/8";
        if (meets(0xa9fe'0000, 16)) return "has link-local addresses, 169.254.0.0/16";
        if (meets(0xe000'0000, 4)) return "has multicast addresses, 224.0.0.0/4";
        if (meets(0xf000'0000, 4)) return "has reserved addresses, 240.0.0.0/4";
        return std::nullopt;
    }
    const auto meets = [&](std::uint64_t high, std::uint64_t low, int length) {
        return prefix.ipv6().overlaps(Prefix6(Ipv6Address(high, low), length));
    };
    if (meets(0, 0, 127)) return "has the unspecified or the loopback address, ::/127";
    if (meets(0, 0xffff'0000'0000ULL, 96)) return "has IPv4-mapped addresses, ::ffff:0:0/96";
    if (meets(0xfe80'0000'0000'0000ULL, 0, 10)) return "has link-local addresses, fe80::/10";
    if (meets(0xff00'0000'0000'0000ULL, 0, 8)) return "has multicast addresses, ff00::/8";
    return std::nullopt;
}

}  // namespace sekisho::control

// Who claims which part of an address space: overlaps and covering prefixes, in n log n.
//
// A claim ties a prefix to the object and field that make it. IPv4 and IPv6 claims may be mixed; they never meet. For
// validation, which names both sides of every conflict; tables for packets are lpm/'s business. Pure; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/prefix_set.hpp"
#include "net/prefix.hpp"

namespace sekisho::control {

struct Claim {
    IpPrefix prefix;
    std::string_view kind;  // "institutions"
    std::string_view id;    // lives as long as the policy
    std::string_view field;
    std::optional<std::size_t> index;  // within the field
    std::string_view owner;            // the operator, when that matters

    // `institutions "sato-clinic" .prefixes[1]`
    std::string place() const;
};

// The claims of one space.
class AddressSpace {
  public:
    // Sorts the claims, and calls with (first, second) for every claim that lies inside another: once for each, with
    // the widest claim that covers it. Equal prefixes count.
    AddressSpace(std::vector<Claim> claims, const std::function<void(const Claim&, const Claim&)>& overlap);

    const std::vector<Claim>& claims() const noexcept { return claims_; }  // those that lie in no other, ascending
    PrefixSets prefixes() const;                                           // of those
    // The claim that contains all of `prefix`, or nullptr. Of claims that overlap, the widest.
    const Claim* covering(const IpPrefix& prefix) const;
    // Any claim that shares an address with `prefix`, or nullptr.
    const Claim* meeting(const IpPrefix& prefix) const;

  private:
    std::vector<Claim> claims_;  // ascending and disjoint: without those inside another
};

// Why no host of an operator may have addresses of this prefix ("is multicast"), or nullopt when they may.
std::optional<std::string_view> unusable(const IpPrefix& prefix);

}  // namespace sekisho::control

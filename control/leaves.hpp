// Institution prefixes cut into leaves: the longest prefixes over which the same grants hold.
//
// Only an institution's prefix gives a leaf, and a client or service prefix finer than it gives one more inside it;
// longest match does the rest. Each leaf has its operator's translation and a profile: the set of grants in which it
// is client and the set in which it is service. Leaves become rows of `who` and `hub` in control/compile. Compiler
// thread only.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "control/grants.hpp"
#include "control/interner.hpp"
#include "control/numbering.hpp"
#include "control/policy.hpp"
#include "control/prefix_set.hpp"
#include "net/expected.hpp"
#include "net/ids.hpp"
#include "net/prefix.hpp"

namespace sekisho::control {

struct Profile {
    Sets::Id client = Sets::kEmpty;   // the grants in which it is a client
    Sets::Id service = Sets::kEmpty;  // and those in which it is a service
    // One more than the operator's number, of leaves that no agreement names and no prefix of one meets: all of them
    // have the same rights, whatever becomes of their operator's.
    std::uint32_t home = 0;

    friend auto operator<=>(const Profile&, const Profile&) = default;
};

// The profiles of a node, equal ones with one number.
class Profiles {
  public:
    Sets sets;

    std::uint32_t number_of(const Profile& profile) {
        const auto [known, fresh] = numbers_.try_emplace(profile, static_cast<std::uint32_t>(profiles_.size()));
        if (fresh) profiles_.push_back(profile);
        return known->second;
    }
    std::size_t size() const noexcept { return profiles_.size(); }
    const Profile& operator[](std::uint32_t number) const noexcept { return profiles_[number]; }
    const std::vector<std::uint32_t>& client(std::uint32_t number) const noexcept {
        return sets[profiles_[number].client];
    }
    const std::vector<std::uint32_t>& service(std::uint32_t number) const noexcept {
        return sets[profiles_[number].service];
    }

  private:
    std::map<Profile, std::uint32_t> numbers_;
    std::vector<Profile> profiles_;
};

// A prefix that is of Address's family.
template <class Address>
const Prefix<Address>& of_family(const IpPrefix& prefix) {
    if constexpr (Address::kFamily == Family::ipv4)
        return prefix.ipv4();
    else
        return prefix.ipv6();
}

template <class Address>
struct Leaf {
    Prefix<Address> hub;     // in hub space
    Prefix<Address> inside;  // the same in its operator's space
    // The whole translation that it lies in, both sides.
    Prefix<Address> translation_hub;
    Prefix<Address> translation_inside;
    InstitutionId institution;
    VrfId vrf;
    std::uint16_t pool = 0;  // that it is behind, its number and one: it has no side in hub space then
    std::uint32_t profile = 0;

    bool is_behind() const noexcept { return pool != 0; }
    friend bool operator==(const Leaf&, const Leaf&) = default;
};

template <class Address>
using Leaves = std::vector<Leaf<Address>>;  // ascending by `hub`

// What leaves are cut by, beside the institutions. It stays while agreements and translations do.
struct Sides {  // the set of grants that name each operator, institution and prefix, as a client and as a service
    struct Side {
        std::vector<Sets::Id> of_operator;
        std::vector<Sets::Id> of_institution;
        std::vector<Sets::Id> of_prefix;
    };
    Side client, service;
};
template <class Address>
using Marks = std::vector<std::pair<Prefix<Address>, Profile>>;  // the agreements' prefixes, ascending
template <class Address>
struct Ground {
    struct Translation {
        Prefix<Address> hub;
        Prefix<Address> inside;
        std::uint32_t owner = 0;  // operator
    };
    std::vector<Translation> translations;  // ascending by hub prefix, none inside another
    Marks<Address> marks;
    PrefixSet<Address> taken;  // the institutions' prefixes; set by cut()
};
Sides sides_of(const Grants& grants, const Numbers& numbers, Sets& sets);
template <class Address>
Marks<Address> marks_of(const Grants& grants, const Sides& sides);
// Of an institution's leaves that no mark meets; the operator's own, for a number that nothing names.
Profile profile_of(const Sides& sides, std::uint32_t vrf, std::size_t institution, Sets& sets);
// Errors name the translations: ones that overlap, that are no prefix map, or have sides of different lengths.
template <class Address>
Expected<std::vector<typename Ground<Address>::Translation>> translations_of(const Policy& policy,
                                                                             const Numbers& numbers);
template <class Address>
Expected<Ground<Address>> ground_of(const Policy& policy, const Numbers& numbers, const Grants& grants,
                                    const Sides& sides);

// Cuts the prefixes of one family; adds to `profiles`. Errors name the objects: prefixes that overlap, a prefix without
// translation, a reference to nothing; limit when the agreements overlap so much that their sets outgrow the compiler.
template <class Address>
Expected<Leaves<Address>> cut(const Policy& policy, const Numbers& numbers, const Grants& grants, const Sides& sides,
                              Ground<Address>& ground, Profiles& profiles);
// The leaves of one institution's prefixes, in which no other's lie. Errors: it has no translation, or no operator.
template <class Address>
Expected<Leaves<Address>> cut_one(const Institution& institution, InstitutionId number, const Numbers& numbers,
                                  const Grants& grants, const Sides& sides, const Ground<Address>& ground,
                                  Profiles& profiles);

// Those that institutions, or one of them, have behind port blocks, one for each of their prefixes there, in no order.
// Which pools those are is still to be found.
Expected<Leaves<Ipv4Address>> behind_blocks(const Policy& policy, const Numbers& numbers, const Sides& sides,
                                            Profiles& profiles);
Expected<Leaves<Ipv4Address>> behind_blocks(const Institution& institution, InstitutionId number,
                                            const Numbers& numbers, const Sides& sides, Profiles& profiles);

}  // namespace sekisho::control

// What one family's tables lose and get when institutions are cut again: as they were, and as they are.
//
// Inner header of control/compile_change.cpp. Nothing is changed here but the set of prefixes that are taken; rows are
// made once it is known which numbers the matrices have for them. Compiler thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/compile_state.hpp"
#include "control/port_blocks.hpp"

namespace sekisho::control {

struct Changed {  // an institution, as it was and as it is; the same object, where only what it is cut by differs
    ObjectPtr was, is;

    const std::string& name() const { return (is != nullptr ? is : was)->id; }
};

inline const Institution& institution_of(const ObjectPtr& object) {
    return std::get<Institution>(object->value);
}

// What institutions are cut by, in one generation.
template <class Address>
struct Cut {
    const Numbers& numbers;
    const Grants& grants;
    const Sides& sides;
    const Ground<Address>& ground;
    const BehindPools& pools;

    // False: they cannot be cut.
    bool leaves_of(const ObjectPtr& object, Profiles& profiles, Leaves<Address>& leaves) const {
        const auto number = numbers.institutions.number_of(object->id);
        if (!number) return false;
        auto cut = cut_one(institution_of(object), InstitutionId(*number), numbers, grants, sides, ground, profiles);
        if (!cut) return false;
        leaves = std::move(*cut);
        if constexpr (Address::kFamily == Family::ipv4) {
            auto behind = behind_blocks(institution_of(object), InstitutionId(*number), numbers, sides, profiles);
            if (!behind || find_pools(pools, *behind)) return false;
            leaves.insert(leaves.end(), behind->begin(), behind->end());
        }
        return true;
    }
};

// Profiles that all their leaves have left for another: from the one to the other.
using Renamed = std::unordered_map<std::uint32_t, std::uint32_t>;
inline std::uint32_t renamed(const Renamed& profiles, std::uint32_t profile) {
    const auto found = profiles.find(profile);
    return found == profiles.end() ? profile : found->second;
}

template <class Address>
class LeafChange {
  public:
    struct Fresh {
        Leaf<Address> leaf;
        dataplane::AttachmentSets::Name set = dataplane::AttachmentSets::kNone;
    };

    LeafChange(const Cut<Address>& before, const Cut<Address>& after, Profiles& profiles, const Renamed& renamed)
        : before_(before), after_(after), profiles_(profiles), renamed_(renamed), taken_(before.ground.taken) {}

    // All that goes, before anything comes: institutions may change places. False: step back.
    bool leave(const Changed& changed) {
        if (changed.was == nullptr) return true;
        for (const IpPrefix& prefix : institution_of(changed.was).prefixes)
            if (prefix.family() == Address::kFamily && !taken_.erase(of_family<Address>(prefix))) return false;
        return true;
    }
    // `was_set` and `set` are the sets of attachments that it might use and may use now.
    bool come(const Changed& changed, dataplane::AttachmentSets::Name was_set, dataplane::AttachmentSets::Name set) {
        Leaves<Address> before, after;
        if (changed.was != nullptr && !before_.leaves_of(changed.was, profiles_, before)) return false;
        if (changed.is != nullptr) {
            for (const IpPrefix& prefix : institution_of(changed.is).prefixes)
                if (prefix.family() == Address::kFamily && !taken_.insert(of_family<Address>(prefix))) return false;
            if (!after_.leaves_of(changed.is, profiles_, after)) return false;
        }
        for (Leaf<Address>& leaf : before) leaf.profile = renamed(renamed_, leaf.profile);
        if (was_set == set) drop_common(before, after);
        gone_.insert(gone_.end(), before.begin(), before.end());
        for (const Leaf<Address>& leaf : after) fresh_.push_back({leaf, set});
        return true;
    }

    const Leaves<Address>& gone() const noexcept { return gone_; }
    const std::vector<Fresh>& fresh() const noexcept { return fresh_; }
    PrefixSet<Address>& taken() noexcept { return taken_; }

    // The rows of what comes.
    std::vector<typename Lookups<Address>::NewLeaf> rows(const CellNumbers& numbers, const RoutesOfVrf<Address>& ways,
                                                         const std::vector<dataplane::Nexthop>& nexthops) const {
        Leaves<Address> leaves;
        for (const Fresh& each : fresh_) leaves.push_back(each.leaf);
        const auto to = nexthops_of(leaves, ways, nexthops);
        std::vector<typename Lookups<Address>::NewLeaf> rows;
        for (std::size_t i = 0; i < fresh_.size(); ++i) {
            const Leaf<Address>& leaf = leaves[i];
            rows.push_back(
                {leaf,
                 Lookups<Address>::who_row(leaf, fresh_[i].set, numbers.rows_of[leaf.vrf.index()].at(leaf.profile)),
                 Lookups<Address>::hub_row(leaf, numbers.group_of.at(leaf.profile), to[i])});
        }
        return rows;
    }

  private:
    // Sorts both, and leaves in each what the other has not.
    static void drop_common(Leaves<Address>& before, Leaves<Address>& after) {
        const auto in_order = [](const Leaf<Address>& a, const Leaf<Address>& b) {
            return std::tie(a.hub, a.inside) < std::tie(b.hub, b.inside);
        };
        for (auto* const leaves : {&before, &after}) std::sort(leaves->begin(), leaves->end(), in_order);
        Leaves<Address> gone, fresh;
        auto a = before.begin();
        auto b = after.begin();
        while (a != before.end() || b != after.end()) {
            if (a != before.end() && b != after.end() && *a == *b) {
                ++a;
                ++b;
            } else if (b == after.end() || (a != before.end() && !in_order(*b, *a))) {
                gone.push_back(*a++);
            } else {
                fresh.push_back(*b++);
            }
        }
        before = std::move(gone);
        after = std::move(fresh);
    }

    const Cut<Address> before_, after_;
    Profiles& profiles_;
    const Renamed& renamed_;
    PrefixSet<Address> taken_;
    Leaves<Address> gone_;
    std::vector<Fresh> fresh_;
};

}  // namespace sekisho::control

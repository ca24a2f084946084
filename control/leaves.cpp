// Cutting: all prefixes in order, a stack of those that are open, each frame with what it inherits. Compiler thread
// only.
#include "control/leaves.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "control/place.hpp"
#include "nat/prefix_map.hpp"

namespace sekisho::control {
namespace {

constexpr std::size_t kMaxSetMembers = std::size_t{1} << 25;  // 128 MiB of grant numbers
constexpr std::size_t kNoOwner = ~std::size_t{0};

Sides::Side side_of(const Grants& grants, std::vector<Party> Grant::*parties, const Numbers& numbers, Sets& sets) {
    std::vector<std::pair<Party, std::uint32_t>> named;
    for (std::uint32_t grant = 0; grant < grants.grants.size(); ++grant)
        for (const Party& party : grants.grants[grant].*parties) named.emplace_back(party, grant);
    std::sort(named.begin(), named.end());

    Sides::Side side{std::vector<Sets::Id>(numbers.operators.size()),
                     std::vector<Sets::Id>(numbers.institutions.size()), std::vector<Sets::Id>(grants.prefixes.size())};
    for (auto at = named.begin(); at != named.end();) {
        const Party party = at->first;
        std::vector<std::uint32_t> members;
        for (; at != named.end() && at->first == party; ++at) members.push_back(at->second);
        auto& of_kind = party.kind == Party::Kind::operator_     ? side.of_operator
                        : party.kind == Party::Kind::institution ? side.of_institution
                                                                 : side.of_prefix;
        of_kind[party.number] = sets.intern(std::move(members));
    }
    return side;
}

// Nothing, for an institution that is newer than the agreements.
Sets::Id set_of(const std::vector<Sets::Id>& sets, std::size_t number) {
    return number < sets.size() ? sets[number] : Sets::kEmpty;
}

template <class Address>
struct Map {  // a translation
    Prefix<Address> hub;
    Prefix<Address> inside;
    std::uint32_t owner = 0;  // operator
    std::string_view name;
};

// The translations of one family, ascending by hub prefix, none overlapping another.
template <class Address>
Expected<std::vector<Map<Address>>> maps_of(const Policy& policy, const Numbers& numbers) {
    std::vector<Map<Address>> maps;
    for (const auto& [name, translation] : policy.translations) {
        const std::string place = place_of("translations", name);
        if (translation.kind == TranslationKind::port_block) continue;  // control/port_blocks'
        if (translation.kind != TranslationKind::prefix_map)
            return Error{ErrorCode::unsupported, "no translation between families in this version"}.at(place);
        const auto owner = numbers.operators.number_of(translation.operator_id);
        if (!owner) return owner.error().at(place);
        if (translation.operator_prefix.family() != translation.hub_prefix.family() ||
            translation.operator_prefix.length() != translation.hub_prefix.length())
            return Error{ErrorCode::invalid,
                         fmt::format("{} and {} are not of one family and length", translation.operator_prefix.text(),
                                     translation.hub_prefix.text())}
                .at(place);
        if (translation.hub_prefix.family() != Address::kFamily) continue;
        maps.push_back({of_family<Address>(translation.hub_prefix), of_family<Address>(translation.operator_prefix),
                        *owner, name});
    }
    // In this order, prefixes that overlap include two neighbours that do.
    std::sort(maps.begin(), maps.end(),
              [](const auto& a, const auto& b) { return std::tie(a.owner, a.inside) < std::tie(b.owner, b.inside); });
    for (std::size_t i = 1; i < maps.size(); ++i)
        if (maps[i - 1].owner == maps[i].owner && maps[i - 1].inside.contains(maps[i].inside))
            return Error{ErrorCode::invalid, fmt::format("{} and {} of one operator both have {} on its side",
                                                         place_of("translations", maps[i - 1].name),
                                                         in_quotes(maps[i].name), maps[i].inside.text())};
    std::sort(maps.begin(), maps.end(), [](const auto& a, const auto& b) { return a.hub < b.hub; });
    for (std::size_t i = 1; i < maps.size(); ++i)
        if (maps[i - 1].hub.contains(maps[i].hub))
            return Error{ErrorCode::invalid,
                         fmt::format("{} and {} both have {} in hub space", place_of("translations", maps[i - 1].name),
                                     in_quotes(maps[i].name), maps[i].hub.text())};
    return maps;
}

template <class Address>
struct Owner {  // of a prefix: one institution's one prefix
    std::string_view name;
    InstitutionId institution;
    std::uint32_t vrf = 0;
    std::uint32_t home = 0;  // Profile's, where no mark meets it
    const typename Ground<Address>::Translation* translation = nullptr;
};

template <class Address>
struct Mark {  // a prefix at which something begins
    Prefix<Address> prefix;
    std::size_t owner = kNoOwner;
    Profile adds;
};

template <class Address>
class Cutter {
  public:
    Cutter(const Numbers& numbers, const Grants& grants, const Sides& sides, const Ground<Address>& ground,
           Profiles& profiles)
        : numbers_(numbers), grants_(grants), sides_(sides), ground_(ground), profiles_(profiles) {}

    Expected<void> add(std::string_view name, const Institution& institution, InstitutionId number) {
        const std::string_view of = institution.operator_id;
        const auto vrf = numbers_.operators.number_of(of);
        if (!vrf) return vrf.error().at(place_of("institutions", name));
        const Profile adds = profile_of(sides_, *vrf, number.index(), profiles_.sets);
        for (const IpPrefix& any : institution.prefixes) {
            if (any.family() != Address::kFamily) continue;
            const Prefix<Address>& prefix = of_family<Address>(any);
            const auto* const translation = translation_over(prefix);
            if (translation == nullptr || translation->owner != *vrf)
                return Error{ErrorCode::invalid,
                             fmt::format("no translation of operator {} covers {}", in_quotes(of), prefix.text())}
                    .at(place_of("institutions", name));
            marks_.push_back({prefix, owners_.size(), adds});
            owners_.push_back({name, number, *vrf, adds.home, translation});
        }
        return {};
    }

    Expected<Leaves<Address>> cut() {
        for (const auto& [prefix, adds] : ground_.marks) marks_.push_back({prefix, kNoOwner, adds});
        return sort_and_walk();
    }

    // With the marks that lie in what was added, or around it, only.
    Expected<Leaves<Address>> cut_added() {
        std::vector<Mark<Address>> near;
        for (const Mark<Address>& own : marks_) {
            for (int length = 0; length < own.prefix.length(); ++length)
                add_marks(Prefix<Address>(own.prefix.address(), length), false, near);
            add_marks(own.prefix, true, near);
        }
        marks_.insert(marks_.end(), near.begin(), near.end());
        return sort_and_walk();
    }

    // After cut(): the institutions' prefixes, ascending.
    std::vector<Prefix<Address>> taken() const {
        std::vector<Prefix<Address>> all;
        for (const Mark<Address>& mark : marks_)
            if (mark.owner != kNoOwner) all.push_back(mark.prefix);
        return all;
    }

  private:
    struct Frame {
        Prefix<Address> prefix;
        std::size_t owner = kNoOwner;
        bool marked = false;        // an agreement's prefix is open
        Profile holds;              // all that is open here
        std::uint32_t profile = 0;  // its number, where there is an owner
    };

    void add_marks(const Prefix<Address>& prefix, bool and_inside, std::vector<Mark<Address>>& marks) const {
        auto at = std::lower_bound(ground_.marks.begin(), ground_.marks.end(), prefix,
                                   [](const auto& mark, const auto& wanted) { return mark.first < wanted; });
        for (; at != ground_.marks.end() && (and_inside ? prefix.contains(at->first) : at->first == prefix); ++at)
            marks.push_back({at->first, kNoOwner, at->second});
    }

    const typename Ground<Address>::Translation* translation_over(const Prefix<Address>& prefix) const {
        const auto& all = ground_.translations;
        auto after = std::upper_bound(all.begin(), all.end(), prefix, [](const auto& wanted, const auto& translation) {
            return wanted < translation.hub;
        });
        if (after == all.begin()) return nullptr;
        --after;
        return after->hub.contains(prefix) ? &*after : nullptr;
    }

    Expected<Leaves<Address>> sort_and_walk() {
        std::stable_sort(marks_.begin(), marks_.end(),
                         [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
        return walk();
    }

    Expected<Leaves<Address>> walk() {
        Leaves<Address> leaves;
        std::vector<Frame> open;
        for (auto at = marks_.begin(); at != marks_.end();) {
            // 1. What ends before this prefix is closed; the frame inherits from what is left.
            while (!open.empty() && !open.back().prefix.contains(at->prefix)) open.pop_back();
            Frame frame = open.empty() ? Frame{} : open.back();
            frame.prefix = at->prefix;
            const std::size_t outer = frame.owner;
            // 2. All that begins here.
            for (const Prefix<Address> here = at->prefix; at != marks_.end() && at->prefix == here; ++at) {
                if (at->owner != kNoOwner) {
                    if (frame.owner != kNoOwner) return overlap(frame.owner, at->owner, here);
                    frame.owner = at->owner;
                } else {
                    frame.marked = true;
                }
                frame.holds.client = profiles_.sets.unite(frame.holds.client, at->adds.client);
                frame.holds.service = profiles_.sets.unite(frame.holds.service, at->adds.service);
            }
            if (profiles_.sets.members() > kMaxSetMembers) return too_many_sets();
            // 3. A leaf where an institution begins, or where its grants change.
            if (frame.owner != kNoOwner) {
                const std::uint32_t inherited = frame.profile;
                frame.holds.home = frame.marked ? 0 : owners_[frame.owner].home;
                frame.profile = profiles_.number_of(frame.holds);
                if (outer == kNoOwner || frame.profile != inherited) leaves.push_back(leaf(frame));
            }
            open.push_back(frame);
        }
        return leaves;
    }

    Leaf<Address> leaf(const Frame& frame) const {
        const Owner<Address>& owner = owners_[frame.owner];
        const nat::PrefixMap<Address> to_operator(owner.translation->hub, owner.translation->inside);
        return {frame.prefix,
                Prefix<Address>(to_operator.apply(frame.prefix.address()), frame.prefix.length()),
                owner.translation->hub,
                owner.translation->inside,
                owner.institution,
                VrfId(static_cast<VrfId::Value>(owner.vrf)),
                0,
                frame.profile};
    }

    Error overlap(std::size_t a, std::size_t b, const Prefix<Address>& prefix) const {
        if (owners_[a].name == owners_[b].name)
            return {ErrorCode::invalid, place_of("institutions", owners_[a].name) + " has " + prefix.text() + " twice"};
        return {ErrorCode::invalid, fmt::format("{} and {} both have {}", place_of("institutions", owners_[a].name),
                                                in_quotes(owners_[b].name), prefix.text())};
    }

    Error too_many_sets() const {
        std::vector<std::uint64_t> weights(grants_.grants.size());
        for (Sets::Id set = 0; set < profiles_.sets.size(); ++set)
            for (const std::uint32_t grant : profiles_.sets[set]) ++weights[grant];
        return {ErrorCode::limit,
                "the agreements overlap in too many ways; in most of them are " + heaviest(grants_, weights)};
    }

    const Numbers& numbers_;
    const Grants& grants_;
    const Sides& sides_;
    const Ground<Address>& ground_;
    Profiles& profiles_;
    std::vector<Owner<Address>> owners_;
    std::vector<Mark<Address>> marks_;
};

}  // namespace

Profile profile_of(const Sides& sides, std::uint32_t vrf, std::size_t institution, Sets& sets) {
    const Sets::Id client = set_of(sides.client.of_institution, institution);
    const Sets::Id service = set_of(sides.service.of_institution, institution);
    return {sets.unite(set_of(sides.client.of_operator, vrf), client),
            sets.unite(set_of(sides.service.of_operator, vrf), service),
            client == Sets::kEmpty && service == Sets::kEmpty ? vrf + 1 : 0};
}

Sides sides_of(const Grants& grants, const Numbers& numbers, Sets& sets) {
    return {side_of(grants, &Grant::clients, numbers, sets), side_of(grants, &Grant::services, numbers, sets)};
}

template <class Address>
Expected<std::vector<typename Ground<Address>::Translation>> translations_of(const Policy& policy,
                                                                             const Numbers& numbers) {
    const auto maps = maps_of<Address>(policy, numbers);
    if (!maps) return maps.error();
    std::vector<typename Ground<Address>::Translation> translations;
    for (const Map<Address>& map : *maps) translations.push_back({map.hub, map.inside, map.owner});
    return translations;
}

template <class Address>
Expected<Ground<Address>> ground_of(const Policy& policy, const Numbers& numbers, const Grants& grants,
                                    const Sides& sides) {
    auto translations = translations_of<Address>(policy, numbers);
    if (!translations) return translations.error();
    Ground<Address> ground;
    ground.translations = std::move(*translations);
    ground.marks = marks_of<Address>(grants, sides);
    return ground;
}

template <class Address>
Marks<Address> marks_of(const Grants& grants, const Sides& sides) {
    Marks<Address> marks;
    for (std::size_t i = 0; i < grants.prefixes.size(); ++i) {
        const Profile profile{sides.client.of_prefix[i], sides.service.of_prefix[i], 0};
        if (grants.prefixes[i].family() == Address::kFamily && profile != Profile())
            marks.emplace_back(of_family<Address>(grants.prefixes[i]), profile);
    }
    std::sort(marks.begin(), marks.end());
    return marks;
}

template <class Address>
Expected<Leaves<Address>> cut(const Policy& policy, const Numbers& numbers, const Grants& grants, const Sides& sides,
                              Ground<Address>& ground, Profiles& profiles) {
    Cutter<Address> cutter(numbers, grants, sides, ground, profiles);
    std::size_t i = 0;
    for (const auto& [name, institution] : policy.institutions)
        if (auto added = cutter.add(name, institution, InstitutionId(numbers.institutions[i++])); !added)
            return added.error();
    auto leaves = cutter.cut();
    if (!leaves) return leaves;
    ground.taken = PrefixSet<Address>(cutter.taken());
    return leaves;
}

template <class Address>
Expected<Leaves<Address>> cut_one(const Institution& institution, InstitutionId number, const Numbers& numbers,
                                  const Grants& grants, const Sides& sides, const Ground<Address>& ground,
                                  Profiles& profiles) {
    Cutter<Address> cutter(numbers, grants, sides, ground, profiles);
    if (auto added = cutter.add(institution.id, institution, number); !added) return added.error();
    return cutter.cut_added();
}

Expected<Leaves<Ipv4Address>> behind_blocks(const Institution& institution, InstitutionId number,
                                            const Numbers& numbers, const Sides& sides, Profiles& profiles) {
    const auto vrf = numbers.operators.number_of(institution.operator_id);
    if (!vrf) return vrf.error().at(place_of("institutions", institution.id));
    const std::uint32_t profile = profiles.number_of(profile_of(sides, *vrf, number.index(), profiles.sets));
    Leaves<Ipv4Address> leaves;
    for (const IpPrefix& prefix : institution.operator_prefixes) {
        if (!prefix.is_ipv4())
            return Error{ErrorCode::invalid, prefix.text() + ": port blocks are of IPv4 only"}.at(
                place_of("institutions", institution.id));
        Leaf<Ipv4Address>& leaf = leaves.emplace_back();
        leaf.inside = prefix.ipv4();
        leaf.institution = number;
        leaf.vrf = VrfId(static_cast<VrfId::Value>(*vrf));
        leaf.profile = profile;
    }
    return leaves;
}

Expected<Leaves<Ipv4Address>> behind_blocks(const Policy& policy, const Numbers& numbers, const Sides& sides,
                                            Profiles& profiles) {
    Leaves<Ipv4Address> leaves;
    const auto is_behind = [](const auto& each) { return !each.second.operator_prefixes.empty(); };
    if (std::none_of(policy.institutions.begin(), policy.institutions.end(), is_behind)) return leaves;
    std::size_t i = 0;
    for (const auto& [name, institution] : policy.institutions) {
        const InstitutionId number(numbers.institutions[i++]);
        if (institution.operator_prefixes.empty()) continue;
        const auto of_one = behind_blocks(institution, number, numbers, sides, profiles);
        if (!of_one) return of_one.error();
        leaves.insert(leaves.end(), of_one->begin(), of_one->end());
    }
    return leaves;
}

#define SEKISHO_LEAVES_OF(Address)                                                                                     \
    template Expected<std::vector<typename Ground<Address>::Translation>> translations_of<Address>(const Policy&,      \
                                                                                                   const Numbers&);    \
    template Expected<Ground<Address>> ground_of<Address>(const Policy&, const Numbers&, const Grants&, const Sides&); \
    template Marks<Address> marks_of<Address>(const Grants&, const Sides&);                                            \
    template Expected<Leaves<Address>> cut<Address>(const Policy&, const Numbers&, const Grants&, const Sides&,        \
                                                    Ground<Address>&, Profiles&);                                      \
    template Expected<Leaves<Address>> cut_one<Address>(const Institution&, InstitutionId, const Numbers&,             \
                                                        const Grants&, const Sides&, const Ground<Address>&,           \
                                                        Profiles&);
SEKISHO_LEAVES_OF(Ipv4Address)
SEKISHO_LEAVES_OF(Ipv6Address)
#undef SEKISHO_LEAVES_OF

}  // namespace sekisho::control

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

template <class Address>
const Prefix<Address>& of_family(const IpPrefix& prefix) {
    if constexpr (Address::kFamily == Family::ipv4)
        return prefix.ipv4();
    else
        return prefix.ipv6();
}

// One side of the grants, client or service: the set of grants that name each operator, institution and prefix.
struct Side {
    std::vector<Sets::Id> of_operator;
    std::vector<Sets::Id> of_institution;
    std::vector<Sets::Id> of_prefix;
};

Side side_of(const Grants& grants, std::vector<Party> Grant::*parties, const Numbers& numbers, Sets& sets) {
    std::vector<std::pair<Party, std::uint32_t>> named;
    for (std::uint32_t grant = 0; grant < grants.grants.size(); ++grant)
        for (const Party& party : grants.grants[grant].*parties) named.emplace_back(party, grant);
    std::sort(named.begin(), named.end());

    Side side{std::vector<Sets::Id>(numbers.operators.size()), std::vector<Sets::Id>(numbers.institutions.size()),
              std::vector<Sets::Id>(grants.prefixes.size())};
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
    const Map<Address>* map = nullptr;
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
    Cutter(const Policy& policy, const Numbers& numbers, const Grants& grants, Profiles& profiles)
        : policy_(policy), numbers_(numbers), grants_(grants), profiles_(profiles) {}

    Expected<Leaves<Address>> cut() {
        if (auto marked = mark_institutions(); !marked) return marked.error();
        mark_agreements();
        std::stable_sort(marks_.begin(), marks_.end(),
                         [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
        return walk();
    }

  private:
    struct Frame {
        Prefix<Address> prefix;
        std::size_t owner = kNoOwner;
        Profile holds;              // all that is open here
        std::uint32_t profile = 0;  // its number, where there is an owner
    };

    Expected<void> mark_institutions() {
        auto maps = maps_of<Address>(policy_, numbers_);
        if (!maps) return maps.error();
        maps_ = std::move(*maps);
        const Side client = side_of(grants_, &Grant::clients, numbers_, profiles_.sets);
        const Side service = side_of(grants_, &Grant::services, numbers_, profiles_.sets);
        client_prefixes_ = client.of_prefix;
        service_prefixes_ = service.of_prefix;
        std::size_t i = 0;
        for (const auto& [name, institution] : policy_.institutions) {
            const std::uint32_t number = numbers_.institutions[i++];
            const std::string_view of = institution.operator_id;
            const auto vrf = numbers_.operators.number_of(of);
            if (!vrf) return vrf.error().at(place_of("institutions", name));
            const Profile adds{profiles_.sets.unite(client.of_operator[*vrf], client.of_institution[number]),
                               profiles_.sets.unite(service.of_operator[*vrf], service.of_institution[number])};
            for (const IpPrefix& any : institution.prefixes) {
                if (any.family() != Address::kFamily) continue;
                const Prefix<Address>& prefix = of_family<Address>(any);
                const Map<Address>* map = map_over(prefix);
                if (map == nullptr || map->owner != *vrf)
                    return Error{ErrorCode::invalid,
                                 fmt::format("no translation of operator {} covers {}", in_quotes(of), prefix.text())}
                        .at(place_of("institutions", name));
                marks_.push_back({prefix, owners_.size(), adds});
                owners_.push_back({name, InstitutionId(number), *vrf, map});
            }
        }
        return {};
    }

    void mark_agreements() {
        for (std::size_t i = 0; i < grants_.prefixes.size(); ++i)
            if (grants_.prefixes[i].family() == Address::kFamily)
                marks_.push_back(
                    {of_family<Address>(grants_.prefixes[i]), kNoOwner, {client_prefixes_[i], service_prefixes_[i]}});
    }

    const Map<Address>* map_over(const Prefix<Address>& prefix) const {
        auto after = std::upper_bound(maps_.begin(), maps_.end(), prefix,
                                      [](const auto& wanted, const auto& map) { return wanted < map.hub; });
        if (after == maps_.begin()) return nullptr;
        --after;
        return after->hub.contains(prefix) ? &*after : nullptr;
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
                }
                frame.holds.client = profiles_.sets.unite(frame.holds.client, at->adds.client);
                frame.holds.service = profiles_.sets.unite(frame.holds.service, at->adds.service);
            }
            if (profiles_.sets.members() > kMaxSetMembers) return too_many_sets();
            // 3. A leaf where an institution begins, or where its grants change.
            if (frame.owner != kNoOwner) {
                const std::uint32_t inherited = frame.profile;
                frame.profile = profiles_.number_of(frame.holds);
                if (outer == kNoOwner || frame.profile != inherited) leaves.push_back(leaf(frame));
            }
            open.push_back(frame);
        }
        return leaves;
    }

    Leaf<Address> leaf(const Frame& frame) const {
        const Owner<Address>& owner = owners_[frame.owner];
        const nat::PrefixMap<Address> to_operator(owner.map->hub, owner.map->inside);
        return {frame.prefix,      Prefix<Address>(to_operator.apply(frame.prefix.address()), frame.prefix.length()),
                owner.map->hub,    owner.map->inside,
                owner.institution, VrfId(static_cast<VrfId::Value>(owner.vrf)),
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

    const Policy& policy_;
    const Numbers& numbers_;
    const Grants& grants_;
    Profiles& profiles_;
    std::vector<Map<Address>> maps_;
    std::vector<Sets::Id> client_prefixes_;
    std::vector<Sets::Id> service_prefixes_;
    std::vector<Owner<Address>> owners_;
    std::vector<Mark<Address>> marks_;
};

}  // namespace

template <class Address>
Expected<Leaves<Address>> cut(const Policy& policy, const Numbers& numbers, const Grants& grants, Profiles& profiles) {
    return Cutter<Address>(policy, numbers, grants, profiles).cut();
}

Expected<Leaves<Ipv4Address>> behind_blocks(const Policy& policy, const Numbers& numbers, const Grants& grants,
                                            Profiles& profiles) {
    Leaves<Ipv4Address> leaves;
    const auto is_behind = [](const auto& each) { return !each.second.operator_prefixes.empty(); };
    if (std::none_of(policy.institutions.begin(), policy.institutions.end(), is_behind)) return leaves;
    const Side client = side_of(grants, &Grant::clients, numbers, profiles.sets);
    const Side service = side_of(grants, &Grant::services, numbers, profiles.sets);
    std::size_t i = 0;
    for (const auto& [name, institution] : policy.institutions) {
        const std::uint32_t number = numbers.institutions[i++];
        if (institution.operator_prefixes.empty()) continue;
        const auto vrf = numbers.operators.number_of(institution.operator_id);
        if (!vrf) return vrf.error().at(place_of("institutions", name));
        const Profile profile{profiles.sets.unite(client.of_operator[*vrf], client.of_institution[number]),
                              profiles.sets.unite(service.of_operator[*vrf], service.of_institution[number])};
        for (const IpPrefix& prefix : institution.operator_prefixes) {
            if (!prefix.is_ipv4())
                return Error{ErrorCode::invalid, prefix.text() + ": port blocks are of IPv4 only"}.at(
                    place_of("institutions", name));
            Leaf<Ipv4Address> leaf;
            leaf.inside = prefix.ipv4();
            leaf.institution = InstitutionId(number);
            leaf.vrf = VrfId(static_cast<VrfId::Value>(*vrf));
            leaf.profile = profiles.number_of(profile);
            leaves.push_back(leaf);
        }
    }
    return leaves;
}

template Expected<Leaves<Ipv4Address>> cut<Ipv4Address>(const Policy&, const Numbers&, const Grants&, Profiles&);
template Expected<Leaves<Ipv6Address>> cut<Ipv6Address>(const Policy&, const Numbers&, const Grants&, Profiles&);

}  // namespace sekisho::control

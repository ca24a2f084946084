// Collecting routes and numbering nexthops. Compiler thread only.
#include "control/ways.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {
namespace {

using dataplane::kResolve;
using dataplane::Nexthop;

constexpr Prefix6 kLinkLocal{Ipv6Address(0xfe80'0000'0000'0000ULL, 0), 10};

auto key_of(const Nexthop& nexthop) {
    return std::tuple(nexthop.kind, nexthop.family, nexthop.attachment, nexthop.gateway4, nexthop.gateway6,
                      nexthop.group);
}
struct Before {
    bool operator()(const Nexthop& a, const Nexthop& b) const noexcept { return key_of(a) < key_of(b); }
};

using Members = std::vector<WayMember>;
constexpr std::size_t kMostGroups = 1'024;

// Groups that say the same are one.
struct MemberBefore {
    bool operator()(const WayMember& a, const WayMember& b) const noexcept {
        return std::tuple(key_of(a.nexthop), a.weight, a.backup) < std::tuple(key_of(b.nexthop), b.weight, b.backup);
    }
};
struct MembersBefore {
    bool operator()(const Members& a, const Members& b) const noexcept {
        return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), MemberBefore());
    }
};

Expected<Nexthop> nexthop_of(const Policy& policy, const Numbers& numbers, const Route& route,
                             const RouteNexthop& told) {
    Nexthop nexthop;
    nexthop.family = route.prefix.family();
    const auto id = numbers.attachments.number_of(told.attachment);
    if (!id) return id.error();
    const Attachment& attachment = policy.attachments.at(told.attachment);
    if (attachment.operator_id != route.operator_id)
        return Error{ErrorCode::invalid, fmt::format("attachment {} is not of operator {}", in_quotes(told.attachment),
                                                     in_quotes(route.operator_id))};
    nexthop.attachment = AttachmentId(*id);
    nexthop.kind = attachment.is_tunnel() ? Nexthop::Kind::tunnel
                   : told.gateway         ? Nexthop::Kind::gateway
                                          : Nexthop::Kind::connected;
    if (attachment.is_tunnel() && told.gateway)
        return Error{ErrorCode::invalid,
                     fmt::format("attachment {} is a tunnel, which has no gateways", in_quotes(told.attachment))};
    if (!told.gateway) return nexthop;
    if (told.gateway->family() != nexthop.family)
        return Error{ErrorCode::invalid,
                     fmt::format("the gateway {} is not of the prefix's family", told.gateway->text())};
    if (told.gateway->is_ipv4())
        nexthop.gateway4 = told.gateway->ipv4();
    else
        nexthop.gateway6 = told.gateway->ipv6();
    return nexthop;
}

struct Way {
    Nexthop nexthop;
    std::string_view kind;  // of object that says so, and its name: for errors
    std::string_view name;

    std::string origin() const { return place_of(kind, name); }
};
template <class Address>
using WaysOfVrf = std::vector<std::map<Prefix<Address>, Way>>;

class Collector {
  public:
    Collector(const Policy& policy, const Numbers& numbers)
        : policy_(policy), numbers_(numbers), ipv4_(numbers.operators.size()), ipv6_(numbers.operators.size()) {}

    Expected<void> add_connected() {
        std::size_t i = 0;
        for (const auto& [name, attachment] : policy_.attachments) {
            Way way{{}, "attachments", name};
            const auto vrf = numbers_.operators.number_of(attachment.operator_id);
            if (!vrf) return vrf.error().at(way.origin());
            for (const auto& [prefix, nexthop] : connected_of(attachment, AttachmentId(numbers_.attachments[i]))) {
                way.nexthop = nexthop;
                if (auto added = add(*vrf, prefix, way); !added) return added;
            }
            ++i;
        }
        return {};
    }

    Expected<void> add_routes() {
        for (const auto& [name, route] : policy_.routes) {
            Way way{{}, "routes", name};
            const auto vrf = numbers_.operators.number_of(route.operator_id);
            if (!vrf) return vrf.error().at(way.origin());
            const auto nexthop = nexthop_of(route);
            if (!nexthop) return nexthop.error().at(way.origin());
            way.nexthop = *nexthop;
            if (auto added = add(*vrf, route.prefix, way); !added) return added;
        }
        return {};
    }

    Ways numbered(const std::vector<Nexthop>& last) const {
        Ways ways;
        // 1. Every nexthop in use, with the number that it had.
        std::map<Nexthop, std::uint32_t, Before> numbers;
        for (const auto& vrf : ipv4_)
            for (const auto& [prefix, way] : vrf) numbers.emplace(way.nexthop, kResolve.value());
        for (const auto& vrf : ipv6_)
            for (const auto& [prefix, way] : vrf) numbers.emplace(way.nexthop, kResolve.value());
        for (const auto& [members, group] : groups_)
            for (const WayMember& member : members) numbers.emplace(member.nexthop, kResolve.value());
        std::vector<bool> taken(last.size() + numbers.size());
        for (std::uint32_t number = 0; number < last.size(); ++number) {
            const auto kept = numbers.find(last[number]);
            if (kept == numbers.end() || kept->second != kResolve.value()) continue;
            kept->second = number;
            taken[number] = true;
        }
        // 2. The others in their order, each with the lowest number that is free.
        std::uint32_t next = 0;
        for (auto& [nexthop, number] : numbers) {
            if (number == kResolve.value()) {
                while (taken[next]) ++next;
                number = next;
                taken[next] = true;
            }
            if (ways.nexthops.size() <= number) ways.nexthops.resize(number + std::size_t{1});
            ways.nexthops[number] = nexthop;
        }
        ways.groups.resize(groups_.size());
        for (const auto& [members, group] : groups_) {
            std::vector<dataplane::GroupMember> numbered;
            for (const WayMember& member : members)
                numbered.push_back(
                    {NexthopId(numbers.at(member.nexthop)), static_cast<std::uint8_t>(member.weight), member.backup});
            ways.groups[group] = dataplane::NexthopGroup(numbered);
        }
        ways.ipv4 = routes(ipv4_, numbers);
        ways.ipv6 = routes(ipv6_, numbers);
        return ways;
    }

  private:
    Expected<void> add(std::uint32_t vrf, const IpPrefix& prefix, const Way& way) {
        return prefix.is_ipv4() ? add(ipv4_[vrf], prefix.ipv4(), way) : add(ipv6_[vrf], prefix.ipv6(), way);
    }
    template <class Address>
    static Expected<void> add(std::map<Prefix<Address>, Way>& ways, const Prefix<Address>& prefix, const Way& way) {
        const auto [known, fresh] = ways.try_emplace(prefix, way);
        if (fresh) return {};
        return Error{ErrorCode::invalid, fmt::format("{}: {} has a way already, by {}", way.origin(), prefix.text(),
                                                     known->second.origin())};
    }

    Expected<Nexthop> nexthop_of(const Route& route) {
        auto way = way_of(policy_, numbers_, route);
        if (!way) return way.error();
        if (way->members.size() < 2) return way->nexthop;
        const auto [group, fresh] =
            groups_.try_emplace(std::move(way->members), static_cast<std::uint32_t>(groups_.size()));
        if (groups_.size() > kMostGroups)
            return Error{ErrorCode::limit, fmt::format("more than {} different sets of nexthops", kMostGroups)};
        way->nexthop.group = group->second;
        return way->nexthop;
    }

    template <class Address>
    static RoutesOfVrf<Address> routes(const WaysOfVrf<Address>& ways,
                                       const std::map<Nexthop, std::uint32_t, Before>& numbers) {
        RoutesOfVrf<Address> routes(ways.size());
        for (std::size_t vrf = 0; vrf < ways.size(); ++vrf) {
            routes[vrf].reserve(ways[vrf].size());
            for (const auto& [prefix, way] : ways[vrf]) routes[vrf].push_back({prefix, numbers.at(way.nexthop)});
        }
        return routes;
    }

    const Policy& policy_;
    const Numbers& numbers_;
    WaysOfVrf<Ipv4Address> ipv4_;
    WaysOfVrf<Ipv6Address> ipv6_;
    std::map<Members, std::uint32_t, MembersBefore> groups_;
};

}  // namespace

std::vector<ConnectedWay> connected_of(const Attachment& attachment, AttachmentId id) {
    const auto kind = attachment.is_tunnel() ? Nexthop::Kind::tunnel : Nexthop::Kind::connected;
    std::vector<ConnectedWay> ways;
    if (attachment.serves(Family::ipv4) && attachment.ipv4)
        ways.push_back({attachment.subnet4, {kind, Family::ipv4, id, {}, {}}});
    if (attachment.serves(Family::ipv6) && attachment.ipv6 && !kLinkLocal.contains(attachment.subnet6))
        ways.push_back({attachment.subnet6, {kind, Family::ipv6, id, {}, {}}});
    return ways;
}

bool same_way(const Nexthop& a, const Nexthop& b) noexcept {
    return key_of(a) == key_of(b);
}

Expected<RouteWay> way_of(const Policy& policy, const Numbers& numbers, const Route& route) {
    RouteWay way;
    way.nexthop.family = route.prefix.family();
    if (!route.prefix.is_ipv4() && kLinkLocal.contains(route.prefix.ipv6()))
        return Error{ErrorCode::invalid, "link-local addresses are not routed"};
    if (route.blackhole) {
        if (!route.nexthops.empty()) return Error{ErrorCode::invalid, "a blackhole has no nexthops"};
        return way;
    }
    if (route.nexthops.empty() || route.nexthops.size() > dataplane::NexthopGroup::kMembers)
        return Error{ErrorCode::invalid, fmt::format("{} nexthops; it must have 1 to {}", route.nexthops.size(),
                                                     dataplane::NexthopGroup::kMembers)};
    for (const RouteNexthop& told : route.nexthops) {
        const auto one = nexthop_of(policy, numbers, route, told);
        if (!one) return one.error();
        for (const WayMember& other : way.members)
            if (same_way(other.nexthop, *one))
                return Error{ErrorCode::invalid, fmt::format("nexthop {} by attachment {} twice",
                                                             told.gateway ? told.gateway->text() : "connected",
                                                             in_quotes(told.attachment))};
        way.members.push_back({*one, told.weight, told.backup});
    }
    if (std::all_of(way.members.begin(), way.members.end(), [](const WayMember& each) { return each.backup; }))
        return Error{ErrorCode::invalid, "all its nexthops are backup: at least one must not be"};
    if (way.members.size() == 1)
        way.nexthop = way.members.front().nexthop;
    else
        way.nexthop.kind = Nexthop::Kind::group;
    return way;
}

Expected<Ways> ways_of(const Policy& policy, const Numbers& numbers, const std::vector<Nexthop>& last) {
    Collector collector(policy, numbers);
    if (auto added = collector.add_connected(); !added) return added.error();
    if (auto added = collector.add_routes(); !added) return added.error();
    return collector.numbered(last);
}

template <class Address>
NexthopId way_to(const RoutesOfVrf<Address>& routes, VrfId vrf, const Address& address) {
    const auto& ways = routes[vrf.index()];
    for (int length = Address::kBits; length >= 0; --length) {
        const Prefix<Address> wanted(address, length);
        const auto at = std::lower_bound(ways.begin(), ways.end(), wanted,
                                         [](const auto& way, const auto& prefix) { return way.prefix < prefix; });
        if (at != ways.end() && at->prefix == wanted) return NexthopId(at->row);
    }
    return dataplane::kNoNexthop;
}
template NexthopId way_to<Ipv4Address>(const RoutesOfVrf<Ipv4Address>&, VrfId, const Ipv4Address&);
template NexthopId way_to<Ipv6Address>(const RoutesOfVrf<Ipv6Address>&, VrfId, const Ipv6Address&);

template <class Address>
std::vector<NexthopId> nexthops_of(const Leaves<Address>& leaves, const RoutesOfVrf<Address>& routes,
                                   const std::vector<Nexthop>& nexthops) {
    std::vector<std::size_t> order(leaves.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::tie(leaves[a].vrf, leaves[a].inside) < std::tie(leaves[b].vrf, leaves[b].inside);
    });
    std::vector<NexthopId> result(leaves.size(), kResolve);
    std::vector<const lpm::Route<Address>*> open;  // those that cover the leaf, the longest last
    std::size_t next = 0;                          // the first route after the leaf, in order of prefix
    const Leaf<Address>* before = nullptr;
    for (const std::size_t i : order) {
        const Leaf<Address>& leaf = leaves[i];
        const auto& ways = routes[leaf.vrf.index()];
        if (before == nullptr || before->vrf != leaf.vrf) {
            open.clear();
            next = 0;
        }
        before = &leaf;
        const auto close = [&](const Prefix<Address>& prefix) {
            while (!open.empty() && !open.back()->prefix.contains(prefix)) open.pop_back();
        };
        for (; next < ways.size() && ways[next].prefix <= leaf.inside; ++next) {
            close(ways[next].prefix);
            open.push_back(&ways[next]);
        }
        close(leaf.inside);
        const bool split = next < ways.size() && leaf.inside.contains(ways[next].prefix);
        if (open.empty() || split || nexthops[open.back()->row].kind == Nexthop::Kind::connected) continue;
        result[i] = NexthopId(open.back()->row);
    }
    return result;
}

template std::vector<NexthopId> nexthops_of<Ipv4Address>(const Leaves<Ipv4Address>&, const RoutesOfVrf<Ipv4Address>&,
                                                         const std::vector<Nexthop>&);
template std::vector<NexthopId> nexthops_of<Ipv6Address>(const Leaves<Ipv6Address>&, const RoutesOfVrf<Ipv6Address>&,
                                                         const std::vector<Nexthop>&);

}  // namespace sekisho::control

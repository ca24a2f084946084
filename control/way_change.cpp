// Routes that changed, one by one. Compiler thread only.
#include "control/way_change.hpp"

#include <algorithm>

namespace sekisho::control {

namespace {

constexpr std::size_t kMostRoutes = 1024;           // that change; beyond, the whole way takes no longer
constexpr std::size_t kMostGroupsOfRoutes = 1'024;  // as in control/ways.cpp

// Where a prefix is, or would be.
template <class Routes, class Address>
auto place_of_prefix(Routes& routes, const Prefix<Address>& prefix) {
    return std::lower_bound(routes.begin(), routes.end(), prefix,
                            [](const auto& route, const auto& wanted) { return route.prefix < wanted; });
}

template <class Address>
bool has(const RoutesOfVrf<Address>& ways, VrfId vrf, const Prefix<Address>& prefix) {
    const auto& routes = ways[vrf.index()];
    const auto at = place_of_prefix(routes, prefix);
    return at != routes.end() && at->prefix == prefix;
}

bool same_group(const dataplane::NexthopGroup& a, const dataplane::NexthopGroup& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t m = 0; m < a.size(); ++m)
        if (a.member(m).nexthop != b.member(m).nexthop || a.member(m).weight != b.member(m).weight ||
            a.member(m).backup != b.member(m).backup)
            return false;
    return true;
}

// The leaves of a VRF that overlap the prefix, as far as their nexthops depend on it.
template <class Address>
Leaves<Address> leaves_at(const Lookups<Address>& lookups, const dataplane::FamilyTables<Address>& tables, VrfId vrf,
                          const Prefix<Address>& prefix, std::vector<lpm::Row>& rows) {
    Leaves<Address> leaves;
    lookups.who().for_each(static_cast<lpm::TableId>(vrf.index()), [&](const lpm::Route<Address>& route) {
        if (!route.prefix.overlaps(prefix)) return;
        Leaf<Address> leaf;
        leaf.inside = route.prefix;
        leaf.vrf = vrf;
        const auto& who = tables.who_rows[route.row];
        if (!who.is_behind()) leaf.hub = {who.to_hub.apply(route.prefix.address()), route.prefix.length()};
        leaves.push_back(leaf);
        rows.push_back(route.row);
    });
    return leaves;
}

}  // namespace

NexthopId WayChange::number_of(const dataplane::Nexthop& nexthop) {
    const auto same = [&](const dataplane::Nexthop& each) {
        return same_way(each, nexthop) && each.group == nexthop.group;
    };
    const auto known = std::find_if(nexthops_.begin(), nexthops_.end(), same);
    const auto number = static_cast<std::uint32_t>(known - nexthops_.begin());
    if (known == nexthops_.end()) nexthops_.push_back(nexthop);
    return NexthopId(number);
}

std::optional<std::uint32_t> WayChange::group_of(const std::vector<WayMember>& members) {
    std::vector<dataplane::GroupMember> numbered;
    for (const WayMember& member : members)
        numbered.push_back({number_of(member.nexthop), static_cast<std::uint8_t>(member.weight), member.backup});
    const dataplane::NexthopGroup group(numbered);
    const auto known =
        std::find_if(groups_.begin(), groups_.end(), [&](const auto& each) { return same_group(each, group); });
    const auto number = static_cast<std::uint32_t>(known - groups_.begin());
    if (known == groups_.end()) groups_.push_back(group);
    return groups_.size() > kMostGroupsOfRoutes ? std::nullopt : std::optional(number);
}

// False: the prefix has a way already, or none that could go.
bool WayChange::move(const Compiler::State::Basis& basis, const Moved& moved) {
    const bool known = moved.prefix.is_ipv4() ? has(basis.ways4, moved.vrf, moved.prefix.ipv4())
                                              : has(basis.ways6, moved.vrf, moved.prefix.ipv6());
    const bool twice = std::any_of(moved_.begin(), moved_.end(), [&](const Moved& other) {
        return other.vrf == moved.vrf && other.prefix == moved.prefix;
    });
    if (known != moved.was || twice || moved_.size() == kMostRoutes) return false;
    moved_.push_back(moved);
    return true;
}

std::optional<WayChange> WayChange::of(const Compiler::State::Basis& basis, const Policy& policy,
                                       const Numbers& numbers, const std::vector<ConnectedMove>& connected) {
    WayChange change;
    change.nexthops_ = basis.tables.nexthops;
    change.groups_ = basis.tables.groups;
    bool can = true;
    for (const ConnectedMove& each : connected) {
        Moved moved{each.prefix, each.vrf, !each.now, {}};
        if (each.now) moved.now = change.number_of(*each.now);
        can = can && change.move(basis, moved);
    }
    const auto take = [&](const Route* was, const Route* is) {
        const Route& route = is != nullptr ? *is : *was;
        const auto vrf = (is != nullptr ? numbers : basis.numbers).operators.number_of(route.operator_id);
        if (!can || !vrf) {
            can = false;
            return;
        }
        Moved moved{route.prefix, VrfId(static_cast<VrfId::Value>(*vrf)), was != nullptr, {}};
        if (is != nullptr) {
            auto way = way_of(policy, numbers, *is);
            const auto group =
                way && way->members.size() > 1 ? change.group_of(way->members) : std::optional<std::uint32_t>(0);
            if (!way || !group) {
                can = false;
                return;
            }
            way->nexthop.group = *group;
            moved.now = change.number_of(way->nexthop);
        }
        can = change.move(basis, moved);
    };
    decltype(policy.routes)::differences(basis.policy.routes, policy.routes, take);
    // Nexthops that nothing names any more keep their numbers, until everything is numbered anew.
    if (!can || change.nexthops_.size() > 2 * basis.report.where_rows + kMostRoutes) return std::nullopt;
    return change;
}

template <class Address>
bool WayChange::apply(const Moved& moved, RoutesOfVrf<Address>& ways, Lookups<Address>& lookups,
                      dataplane::FamilyTables<Address>& tables) const {
    const Prefix<Address>& prefix = of_family<Address>(moved.prefix);
    auto& routes = ways[moved.vrf.index()];
    const auto at = place_of_prefix(routes, prefix);
    if (!moved.now)
        routes.erase(at);
    else if (moved.was)
        at->row = moved.now->value();
    else
        routes.insert(at, {prefix, moved.now->value()});
    if (!lookups.change_way(moved.vrf, prefix, moved.now)) return false;

    std::vector<lpm::Row> rows;
    const Leaves<Address> leaves = leaves_at(lookups, tables, moved.vrf, prefix, rows);
    const auto nexthops = nexthops_of(leaves, ways, nexthops_);
    for (std::size_t i = 0; i < leaves.size(); ++i)
        if (!lookups.change_nexthop(leaves[i], rows[i], nexthops[i], tables)) return false;
    return true;
}

bool WayChange::apply(Compiler::State::Basis& basis, Lookups<Ipv4Address>& ipv4, Lookups<Ipv6Address>& ipv6) const {
    dataplane::TableParts& tables = basis.tables;
    tables.nexthops = nexthops_;
    tables.groups = groups_;
    for (const Moved& moved : moved_) {
        const bool done = moved.prefix.is_ipv4() ? apply(moved, basis.ways4, ipv4, tables.ipv4)
                                                 : apply(moved, basis.ways6, ipv6, tables.ipv6);
        if (!done) return false;
        const std::size_t change = moved.was ? (moved.now ? 0 : ~std::size_t{0}) : 1;
        basis.report.where_rows += change;
    }
    for (dataplane::Tunnel& tunnel : tables.tunnels) {
        const auto lies_in = [&](const Moved& moved) {
            return moved.prefix.contains(tunnel.peer) && moved.vrf == tables.attachments[tunnel.underlay.index()].vrf;
        };
        if (!tunnel.exists || std::none_of(moved_.begin(), moved_.end(), lies_in)) continue;
        const auto way = way_of_tunnel(tunnel, basis.ways4, basis.ways6, tables);
        if (!way) return false;
        tunnel.way = *way;
    }
    return true;
}

}  // namespace sekisho::control

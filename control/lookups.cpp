// Leaves become rows of `who` and `hub`. Compiler thread only.
#include "control/lookups.hpp"

#include <algorithm>
#include <utility>

#include "nat/prefix_map.hpp"

namespace sekisho::control {

template <class Address>
typename Lookups<Address>::Plan Lookups<Address>::plan(const Leaves<Address>& leaves,
                                                       const std::vector<NexthopId>& nexthops,
                                                       const std::vector<std::uint16_t>& attachment_sets,
                                                       const Cells& cells, RoutesOfVrf<Address> ways) const {
    Plan plan{routes_in(who_), routes_in(hub_), routes_in(where_), {}, {}, std::move(ways), {}, {}};
    // 1. The routes, holding the index of their leaf until they have a row.
    plan.who.resize(cells.matrices.size());
    plan.hub.resize(1);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        plan.who[leaves[i].vrf.index()].push_back({leaves[i].inside, static_cast<lpm::Row>(i)});
        plan.hub[0].push_back({leaves[i].hub, static_cast<lpm::Row>(i)});
    }
    for (auto& table : plan.who)
        std::sort(table.begin(), table.end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });

    // 2. Rows of `who`: operator space to hub space.
    const RowNumbers who = number_rows(plan.who_before, plan.who);
    plan.who_rows.resize(who.size);
    for (std::size_t vrf = 0; vrf < plan.who.size(); ++vrf)
        for (std::size_t i = 0; i < plan.who[vrf].size(); ++i) {
            lpm::Row& row = plan.who[vrf][i].row;
            const Leaf<Address>& leaf = leaves[row];
            row = who.of[vrf][i];
            plan.who_rows[row] = {leaf.institution, attachment_sets[leaf.institution.index()],
                                  cells.rows_of[vrf].at(leaf.profile),
                                  nat::PrefixMap<Address>(leaf.translation_inside, leaf.translation_hub)};
        }
    // 3. Rows of `hub`: hub space to operator space.
    const RowNumbers hub = number_rows(plan.hub_before, plan.hub);
    plan.hub_rows.resize(hub.size);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        const Leaf<Address>& leaf = leaves[i];
        plan.hub[0][i].row = hub.of[0][i];
        plan.hub_rows[hub.of[0][i]] = {leaf.institution, leaf.vrf, cells.group_of[leaf.profile], nexthops[i],
                                       nat::PrefixMap<Address>(leaf.translation_hub, leaf.translation_inside)};
    }
    return plan;
}

template <class Address>
Expected<void> Lookups<Address>::apply(const Plan& plan) {
    auto done = change(who_, plan.who_before, plan.who);
    if (done) done = change(hub_, plan.hub_before, plan.hub);
    if (done) done = change(where_, plan.where_before, plan.where);
    return done;
}

template <class Address>
void Lookups<Address>::show(dataplane::FamilyTables<Address>& tables) const {
    tables.who = who_.view();
    tables.hub = hub_.view();
    tables.where = where_.view();
}

template class Lookups<Ipv4Address>;
template class Lookups<Ipv6Address>;

}  // namespace sekisho::control

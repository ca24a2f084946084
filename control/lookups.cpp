// Leaves become rows of `who` and `hub`. Compiler thread only.
#include "control/lookups.hpp"

#include <algorithm>
#include <utility>

#include "nat/prefix_map.hpp"

namespace sekisho::control {

namespace {

// Room for the rows of small changes: an eighth, and something for a node that has few.
std::size_t room_beside(std::size_t rows) {
    return rows / 8 + 1024;
}

// Adds what is behind port blocks to `who`, and the pools to `hub`, numbered on from the leaves.
void add_blocks(const BlockLeaves& blocks, std::size_t leaves, Lookups<Ipv4Address>::Plan& plan) {
    for (std::size_t i = 0; i < blocks.leaves.size(); ++i)
        plan.who[blocks.leaves[i].vrf.index()].push_back({blocks.leaves[i].inside, static_cast<lpm::Row>(leaves + i)});
    for (std::size_t i = 0; i < blocks.shared.size(); ++i)
        plan.hub[0].push_back({blocks.shared[i].prefix, static_cast<lpm::Row>(leaves + i)});
    std::sort(plan.hub[0].begin(), plan.hub[0].end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
}
void add_blocks(const BlockLeaves&, std::size_t, Lookups<Ipv6Address>::Plan&) {}

}  // namespace

template <class Address>
dataplane::WhoRow<Address> Lookups<Address>::who_row(const Leaf<Address>& leaf,
                                                     dataplane::AttachmentSets::Name attachments,
                                                     std::uint16_t matrix_row) {
    dataplane::WhoRow<Address> row{.institution = leaf.institution, .attachments = attachments};
    if (!leaf.is_behind()) row.to_hub = nat::PrefixMap<Address>(leaf.translation_inside, leaf.translation_hub);
    row.matrix_row = matrix_row;
    return row;
}
template <class Address>
dataplane::HubRow<Address> Lookups<Address>::hub_row(const Leaf<Address>& leaf, std::uint16_t group,
                                                     NexthopId nexthop) {
    dataplane::HubRow<Address> row{leaf.institution, leaf.vrf, group, nexthop, {}, leaf.pool};
    if (!leaf.is_behind()) row.to_operator = nat::PrefixMap<Address>(leaf.translation_hub, leaf.translation_inside);
    return row;
}

template <class Address>
dataplane::HubRow<Address> Lookups<Address>::pool_row(const SharedAddresses& shared) {
    return {{}, shared.vrf, 0, dataplane::kResolve, {}, static_cast<std::uint16_t>(shared.number + 1)};
}

template <class Address>
typename Lookups<Address>::Plan Lookups<Address>::plan(
    const Leaves<Address>& leaves, const std::vector<NexthopId>& nexthops,
    const std::vector<dataplane::AttachmentSets::Name>& attachment_sets, const Cells& cells, RoutesOfVrf<Address> ways,
    const BlockLeaves& blocks) const {
    Plan plan{routes_in(who_), routes_in(hub_), routes_in(where_), {}, {}, std::move(ways), {}, {}};
    // 1. The routes, holding the index of their leaf until they have a row; behind the leaves, what blocks add.
    plan.who.resize(cells.matrices.size());
    plan.hub.resize(1);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        plan.who[leaves[i].vrf.index()].push_back({leaves[i].inside, static_cast<lpm::Row>(i)});
        plan.hub[0].push_back({leaves[i].hub, static_cast<lpm::Row>(i)});
    }
    add_blocks(blocks, leaves.size(), plan);
    for (auto& table : plan.who)
        std::sort(table.begin(), table.end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    const RowNumbers who = number_rows(plan.who_before, plan.who);
    const RowNumbers hub = number_rows(plan.hub_before, plan.hub);

    // 2. Rows of `who`: operator space to hub space, or to the row that a session leads to.
    plan.who_rows = dataplane::SharedRows<dataplane::WhoRow<Address>>(who.size, room_beside(who.size));
    for (std::size_t vrf = 0; vrf < plan.who.size(); ++vrf)
        for (std::size_t i = 0; i < plan.who[vrf].size(); ++i) {
            lpm::Row& row = plan.who[vrf][i].row;
            const std::size_t number = row;
            row = who.of[vrf][i];
            dataplane::WhoRow<Address>& filled = plan.who_rows.fresh(row);
            const auto fill = [&](const auto& leaf) {
                filled.institution = leaf.institution;
                filled.attachments = attachment_sets[leaf.institution.index()];
                filled.matrix_row = cells.numbers.rows_of[vrf].at(leaf.profile);
            };
            if (number < leaves.size()) {
                fill(leaves[number]);
                filled.to_hub =
                    nat::PrefixMap<Address>(leaves[number].translation_inside, leaves[number].translation_hub);
            } else {
                fill(blocks.leaves[number - leaves.size()]);
                filled.behind = static_cast<std::uint32_t>(hub.size + number - leaves.size());
            }
        }
    // 3. Rows of `hub`: hub space to operator space; behind those that lookups lead to, those that are behind blocks.
    const std::size_t hub_rows = hub.size + blocks.leaves.size();
    plan.hub_rows = dataplane::SharedRows<dataplane::HubRow<Address>>(hub_rows, room_beside(hub_rows));
    for (std::size_t i = 0; i < plan.hub[0].size(); ++i) {
        const std::size_t number = plan.hub[0][i].row;
        plan.hub[0][i].row = hub.of[0][i];
        dataplane::HubRow<Address>& row = plan.hub_rows.fresh(hub.of[0][i]);
        if (number < leaves.size()) {
            const Leaf<Address>& leaf = leaves[number];
            row = {leaf.institution, leaf.vrf, cells.numbers.group_of.at(leaf.profile), nexthops[number],
                   nat::PrefixMap<Address>(leaf.translation_hub, leaf.translation_inside)};
        } else {
            row = pool_row(blocks.shared[number - leaves.size()]);
        }
    }
    for (std::size_t i = 0; i < blocks.leaves.size(); ++i) {
        const Leaf<Ipv4Address>& leaf = blocks.leaves[i];
        plan.hub_rows.fresh(hub.size + i) = {leaf.institution,   leaf.vrf, cells.numbers.group_of.at(leaf.profile),
                                             blocks.nexthops[i], {},       leaf.pool};
    }
    return plan;
}

template <class Address>
Expected<void> Lookups<Address>::apply(const Plan& plan) {
    auto done = control::change(who_, plan.who_before, plan.who);
    if (done) done = control::change(hub_, plan.hub_before, plan.hub);
    if (done) done = control::change(where_, plan.where_before, plan.where);
    return done;
}

template <class Address>
Expected<void> Lookups<Address>::change(const Leaves<Address>& gone, const std::vector<NewLeaf>& fresh,
                                        dataplane::FamilyTables<Address>& tables) {
    for (const Leaf<Address>& leaf : gone) {
        if (auto erased = who_.erase(static_cast<lpm::TableId>(leaf.vrf.index()), leaf.inside); !erased) return erased;
        if (leaf.is_behind()) continue;
        if (auto erased = hub_.erase(0, leaf.hub); !erased) return erased;
    }
    for (const NewLeaf& each : fresh) {
        const auto hub = static_cast<lpm::Row>(tables.hub_rows.append(each.hub));
        dataplane::WhoRow<Address> row = each.who;
        if (each.leaf.is_behind()) row.behind = hub;
        const auto who = static_cast<lpm::Row>(tables.who_rows.append(row));
        const auto table = static_cast<lpm::TableId>(each.leaf.vrf.index());
        if (auto inserted = who_.insert(table, each.leaf.inside, who); !inserted) return inserted;
        if (each.leaf.is_behind()) continue;
        if (auto inserted = hub_.insert(0, each.leaf.hub, hub); !inserted) return inserted;
    }
    return {};
}

template <class Address>
Expected<void> Lookups<Address>::add_pool(const Prefix<Address>& prefix, const SharedAddresses& shared,
                                          dataplane::FamilyTables<Address>& tables) {
    return hub_.insert(0, prefix, static_cast<lpm::Row>(tables.hub_rows.append(pool_row(shared))));
}

template <class Address>
Expected<void> Lookups<Address>::change_way(VrfId vrf, const Prefix<Address>& prefix,
                                            std::optional<NexthopId> nexthop) {
    const auto table = static_cast<lpm::TableId>(vrf.index());
    return nexthop ? where_.insert(table, prefix, nexthop->value()) : where_.erase(table, prefix);
}

template <class Address>
Expected<void> Lookups<Address>::change_nexthop(const Leaf<Address>& leaf, lpm::Row who, NexthopId nexthop,
                                                dataplane::FamilyTables<Address>& tables) {
    dataplane::WhoRow<Address> row = tables.who_rows[who];
    const auto known = row.is_behind() ? std::optional<lpm::Row>(row.behind) : hub_.exact(0, leaf.hub);
    if (!known) return Error{ErrorCode::not_found, "a leaf without its hub row"};
    dataplane::HubRow<Address> hub = tables.hub_rows[*known];
    if (hub.nexthop == nexthop) return {};
    if (!tables.hub_rows.has_room(1) || !tables.who_rows.has_room(1))
        return Error{ErrorCode::limit, "no room for more rows"};
    hub.nexthop = nexthop;
    const auto fresh = static_cast<lpm::Row>(tables.hub_rows.append(hub));
    if (!row.is_behind()) return hub_.insert(0, leaf.hub, fresh);
    row.behind = fresh;
    return who_.insert(static_cast<lpm::TableId>(leaf.vrf.index()), leaf.inside,
                       static_cast<lpm::Row>(tables.who_rows.append(row)));
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

// Compiling a small change: a few lines, the ways of a few routes, the leaves of the institutions that it touches, the
// matrices, and the gates; all else stays as it is.
//
// What follows from a change is its own rows: they are appended, and the lookup structures led to them, while workers
// read what was before. Where anything is out of the ordinary, from a mistake in the policy to rows that would have to
// be numbered anew, it steps back, and compile_whole() says what is to be said. Compiler thread only.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "control/compile_state.hpp"
#include "control/ground_change.hpp"
#include "control/leaf_change.hpp"
#include "control/line_change.hpp"
#include "control/rights_change.hpp"
#include "control/way_change.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostChanges = 4096;  // institutions; beyond, the whole way takes no longer

// Whether what everything rests on is the same: pools, and operators' namespaces.
bool same_ground(const Policy& before, const Policy& policy) {
    bool same = before.hub_pools == policy.hub_pools;
    decltype(policy.operators)::differences(
        before.operators, policy.operators, [&](const Operator* was, const Operator* is) {
            same = same && (was == nullptr || is == nullptr || was->network_namespace == is->network_namespace);
        });
    return same;
}

// The numbers of the names of a kind's objects, or of those that `is_one` says, where a few of them come or go.
template <class Map, class IsOne>
bool plan_names(const Map& before, const Map& now, const Numbering& numbering, Numbering::Plan& plan, IsOne&& is_one) {
    std::vector<std::string_view> gone, fresh;
    bool same = true;
    Map::differences(before, now, [&](const auto* was, const auto* is) {
        const bool was_one = was != nullptr && is_one(*was), is_now = is != nullptr && is_one(*is);
        same = same && !was_one && !is_now;
        if (was_one && !is_now) gone.push_back(was->id);
        if (!was_one && is_now) fresh.push_back(is->id);
    });
    if (same) return true;
    auto planned = numbering.plan_change(gone, fresh);
    if (!planned) return false;
    plan = std::move(*planned);
    return true;
}

// Agreements name institutions by their numbers: one that is named cannot go.
bool is_named(const Sides& sides, std::uint32_t number) {
    const auto names = [number](const Sides::Side& side) {
        return number < side.of_institution.size() && side.of_institution[number] != Sets::kEmpty;
    };
    return names(sides.client) || names(sides.service);
}

// The institutions whose numbers are told, to be cut again, beside those that change anyway. False: step back.
bool add_affected(const std::vector<std::uint32_t>& numbers, const NumberedNames& names, const Policy& policy,
                  std::vector<Changed>& changes) {
    std::set<std::string_view> known;
    for (const Changed& changed : changes) known.insert(changed.name());
    for (const std::uint32_t number : numbers) {
        const Named* const named = names.find(number);
        if (named == nullptr || !known.insert(named->id).second) continue;
        ObjectPtr object = policy.institutions.objects().find(named->id);
        if (object == nullptr) return false;
        changes.push_back({object, object});
    }
    return true;
}

// Leaves that came to profiles, less those that left them, by VRF.
using Moves = std::vector<std::unordered_map<std::uint32_t, std::int64_t>>;

template <class Address>
void add_moves(const LeafChange<Address>& change, Moves& moves) {
    for (const Leaf<Address>& leaf : change.gone()) --moves[leaf.vrf.index()][leaf.profile];
    for (const auto& each : change.fresh()) ++moves[each.leaf.vrf.index()][each.leaf.profile];
}

void add_up(const Moves& moves, ProfileCounts& counts) {
    for (std::size_t vrf = 0; vrf < moves.size(); ++vrf)
        for (const auto& [profile, by] : moves[vrf])
            if ((counts[vrf][profile] += by) == 0) counts[vrf].erase(profile);
}

bool have_numbers(const Moves& moves, const CellNumbers& numbers) {
    for (std::size_t vrf = 0; vrf < moves.size(); ++vrf)
        for (const auto& [profile, by] : moves[vrf])
            if (by > 0 && !(vrf < numbers.rows_of.size() && numbers.rows_of[vrf].contains(profile) &&
                            numbers.group_of.contains(profile)))
                return false;
    return true;
}

// What was given to a profile is given to what it is renamed to.
CellNumbers given_to(const Renamed& renamed, CellNumbers numbers) {
    for (const auto& [was, is] : renamed) {
        if (const auto group = numbers.group_of.find(was); group != numbers.group_of.end())
            numbers.group_of[is] = group->second;
        for (auto& rows : numbers.rows_of)
            if (const auto row = rows.find(was); row != rows.end()) rows[is] = row->second;
    }
    return numbers;
}

template <class Address>
void count(CompileReport& report, const LeafChange<Address>& change) {
    // What is behind a pool has no row that a lookup in hub space leads to.
    for (const Leaf<Address>& leaf : change.gone()) {
        --report.who_rows;
        if (!leaf.is_behind()) --report.hub_rows;
    }
    for (const auto& each : change.fresh()) {
        ++report.who_rows;
        if (!each.leaf.is_behind()) ++report.hub_rows;
    }
}

template <class Address>
bool has_room(std::size_t rows, const dataplane::FamilyTables<Address>& tables) {
    return tables.who_rows.has_room(rows) && tables.hub_rows.has_room(rows);
}

template <class Address>
std::size_t row_bytes(const dataplane::FamilyTables<Address>& tables) {
    return tables.who_rows.size() * sizeof(dataplane::WhoRow<Address>) +
           tables.hub_rows.size() * sizeof(dataplane::HubRow<Address>);
}

}  // namespace

std::optional<Compiled> Compiler::State::compile_change(const Policy& policy, std::uint64_t generation,
                                                        const InForce& force) {
    if (!basis || !same_ground(basis->policy, policy)) return std::nullopt;

    // 1. What differs, and the numbers of the names.
    std::vector<Changed> changes;
    std::vector<std::string_view> gone, fresh;
    ObjectMap<Object>::differences(basis->policy.institutions.objects(), policy.institutions.objects(),
                                   [&](const ObjectPtr& was, const ObjectPtr& is) {
                                       changes.push_back({was, is});
                                       if (is == nullptr) gone.push_back(was->id);
                                       if (was == nullptr) fresh.push_back(is->id);
                                   });
    if (changes.size() > kMostChanges) return std::nullopt;
    auto planned = institutions.plan_change(gone, fresh);
    if (!planned) return std::nullopt;
    Numbers numbers = basis->numbers;
    numbers.institutions = std::move(*planned);
    const auto all = [](const auto&) { return true; };
    const auto blocks = [](const Translation& each) { return each.kind == TranslationKind::port_block; };
    if (!plan_names(basis->policy.operators, policy.operators, operators, numbers.operators, all) ||
        !plan_names(basis->policy.attachments, policy.attachments, attachments, numbers.attachments, all) ||
        !plan_names(basis->policy.tunnels, policy.tunnels, tunnels, numbers.tunnels, all) ||
        !plan_names(basis->policy.translations, policy.translations, port_blocks, numbers.port_blocks, blocks))
        return std::nullopt;
    // The VRFs of operators that come have nothing yet, which is what they have if all of this is for nothing.
    const std::size_t vrfs = std::max(basis->profile_counts.size(), numbers.operators.size());
    basis->profile_counts.resize(vrfs);
    basis->ways4.resize(vrfs);
    basis->ways6.resize(vrfs);
    // Lines, and the ways that they bring; routes.
    const auto lines = LineChange::of(*basis, policy, numbers, *attachment_names, force, ports);
    if (!lines) return std::nullopt;
    std::optional<WayChange> ways;
    if (!lines->connected().empty() || !basis->policy.routes.same(policy.routes)) {
        ways = WayChange::of(*basis, policy, numbers, lines->connected());
        if (!ways) return std::nullopt;
    }
    std::vector<std::uint32_t> owner_of = basis->owner_of;
    owner_of.resize(std::max(owner_of.size(), numbers.institutions.size()), std::numeric_limits<std::uint32_t>::max());

    // 2. Translations and rights, and whose change.
    auto ground = GroundChange::of(*basis, policy, numbers, port_pools, static_cast<std::uint32_t>(generation));
    if (!ground || !add_affected(ground->institutions, *institution_names, policy, changes)) return std::nullopt;
    std::optional<RightsChange> rights;
    if (force.agreements != basis->agreements) {
        rights = rights_change(*basis, force, numbers);
        if (!rights || !add_affected(rights->institutions, *institution_names, policy, changes)) return std::nullopt;
    }
    const Renamed renamed = rights ? rights->renamed : Renamed();
    const Grants& grants = rights ? rights->grants : basis->grants;
    const Sides& sides = rights ? rights->sides : basis->sides;
    Ground<Ipv4Address> ground4 = basis->ground4;
    Ground<Ipv6Address> ground6 = basis->ground6;
    if (!basis->policy.translations.same(policy.translations)) {
        auto translations4 = translations_of<Ipv4Address>(policy, numbers);
        auto translations6 = translations_of<Ipv6Address>(policy, numbers);
        if (!translations4 || !translations6) return std::nullopt;
        ground4.translations = std::move(*translations4);
        ground6.translations = std::move(*translations6);
    }
    if (rights) {
        ground4.marks = rights->marks4;
        ground6.marks = rights->marks6;
    }

    // 3. Their leaves.
    Profiles& profiles = basis->profiles;
    if (changes.size() > kMostChanges) return std::nullopt;
    const auto pools_before = behind_pools(basis->policy, basis->numbers);
    const auto pools = behind_pools(policy, numbers);
    if (!pools_before || !pools) return std::nullopt;
    LeafChange<Ipv4Address> leaves4({basis->numbers, basis->grants, basis->sides, basis->ground4, *pools_before},
                                    {numbers, grants, sides, ground4, *pools}, profiles, renamed);
    LeafChange<Ipv6Address> leaves6({basis->numbers, basis->grants, basis->sides, basis->ground6, *pools_before},
                                    {numbers, grants, sides, ground6, *pools}, profiles, renamed);
    for (const Changed& changed : changes) {
        if (!leaves4.leave(changed) || !leaves6.leave(changed)) return std::nullopt;
        if (changed.is != nullptr) continue;
        const auto number = basis->numbers.institutions.number_of(changed.name());
        if (!number || (!rights && is_named(basis->sides, *number))) return std::nullopt;
        owner_of[*number] = std::numeric_limits<std::uint32_t>::max();
    }
    for (const Changed& changed : changes) {
        SharedAttachments::Name sets[2] = {};
        for (const bool now : {false, true}) {
            const ObjectPtr& object = now ? changed.is : changed.was;
            if (object == nullptr) continue;
            const auto set = basis->attachments.set_of(policy, object->id, institution_of(object), numbers);
            if (!set) return std::nullopt;
            sets[now ? 1 : 0] = *set;
        }
        if (!leaves4.come(changed, sets[0], sets[1]) || !leaves6.come(changed, sets[0], sets[1])) return std::nullopt;
        if (changed.is == nullptr) continue;
        const auto owner = numbers.operators.number_of(institution_of(changed.is).operator_id);
        const auto number = numbers.institutions.number_of(changed.name());
        if (!owner || !number) return std::nullopt;
        owner_of[*number] = *owner;
    }

    // 4. The matrices, where rights have changed, somebody has some that nobody had, or an operator has come.
    Moves moves(vrfs);
    for (std::size_t vrf = 0; vrf < moves.size(); ++vrf)
        for (const auto& [was, is] : renamed)
            if (const auto count = basis->profile_counts[vrf].find(was);
                count != basis->profile_counts[vrf].end() && was != is) {
                moves[vrf][was] -= count->second;
                moves[vrf][is] += count->second;
            }
    add_moves(leaves4, moves);
    add_moves(leaves6, moves);
    std::optional<ProfileCounts> profile_counts;
    std::optional<Cells> cells;
    if (rights || vrfs > basis->tables.matrices.size() || !have_numbers(moves, basis->cell_numbers)) {
        profile_counts = basis->profile_counts;
        add_up(moves, *profile_counts);
        std::optional<PortClasses> same_classes;
        if (!rights) {
            auto classes = classify(terms_in_use(grants));
            if (!classes) return std::nullopt;
            same_classes = std::move(*classes);
        }
        const CellNumbers kept = given_to(renamed, basis->cell_numbers);
        auto made = cells_of(grants, rights ? rights->classes : *same_classes, profiles, profiles_in(*profile_counts),
                             limits.matrix_bytes, &kept);
        if (!made) return std::nullopt;
        cells = std::move(*made);
    }
    const CellNumbers& cell_numbers = cells ? cells->numbers : basis->cell_numbers;

    dataplane::TableParts& tables = basis->tables;
    const std::size_t fresh4 = leaves4.fresh().size() + ground->fresh.size();
    if (!has_room(fresh4, tables.ipv4) || !has_room(leaves6.fresh().size(), tables.ipv6)) return std::nullopt;

    // 5. Lines, ways and the lookup structures: the ways of the leaves that were, then the leaves. From here on what
    // refuses leaves something half changed, and everything is filled anew.
    lines->place_attachments(tables);
    if (lines->moves_taps()) place_taps(policy, numbers, taps, tables);
    bool applied = !ways || ways->apply(*basis, ipv4, ipv6);
    applied = applied && lines->place_tunnels(policy, numbers, basis->ways4, basis->ways6, tables);
    const auto rows4 = leaves4.rows(cell_numbers, basis->ways4, tables.nexthops);
    const auto rows6 = leaves6.rows(cell_numbers, basis->ways6, tables.nexthops);
    applied = applied && has_room(fresh4, tables.ipv4) && has_room(rows6.size(), tables.ipv6);
    for (const Prefix4& gone_pool : ground->gone) applied = applied && ipv4.drop_pool(gone_pool);
    applied = applied && ipv4.change(leaves4.gone(), rows4, tables.ipv4);
    for (const SharedAddresses& shared : ground->fresh)
        applied = applied && ipv4.add_pool(shared.prefix, shared, tables.ipv4);
    applied = applied && ipv6.change(leaves6.gone(), rows6, tables.ipv6);
    if (!applied) {
        forget();
        return std::nullopt;
    }
    ipv4.show(tables.ipv4);
    ipv6.show(tables.ipv6);

    // 6. Gates, and the rest.
    adopt(numbers);
    auto gates = std::make_shared<GateTargets>();
    gates->numbers = numbers;
    gates->owner_of = owner_of;
    for (const std::string& name : basis->closed_attachments)
        if (const auto number = numbers.attachments.number_of(name)) tables.attachments[*number].open.set(true);
    basis->closed_attachments.clear();
    for (const std::string_view name : force.closed_attachments)
        if (const auto number = numbers.attachments.number_of(name)) {
            tables.attachments[*number].open.set(false);
            basis->closed_attachments.emplace(name);
        }
    close_by_document(force, tables, *gates);
    tables.closed_institutions.resize(gates->closed_institutions.size());
    tables.attachment_sets = basis->attachments.written();
    tables.timeouts = policy.timers;
    if (ground->pools) {
        tables.port_pools = std::move(ground->pools->rows);
        tables.static_maps = std::move(ground->pools->static_maps);
    }
    tables.generation = generation;
    if (rights) {
        tables.tcp_classes = std::move(rights->classes.tcp);
        tables.udp_classes = std::move(rights->classes.udp);
        tables.tracks = rights->tracks;
        basis->report.port_classes = rights->classes.count;
        basis->grants = std::move(rights->grants);
        basis->sides = std::move(rights->sides);
    }
    if (cells) {
        basis->report.permissions = cells->permissions.count();
        basis->report.matrix_bytes = cells->bytes;
        tables.permissions = std::move(cells->permissions);
        tables.matrices = std::move(cells->matrices);
        basis->cell_numbers = std::move(cells->numbers);
        basis->profile_counts = std::move(*profile_counts);
    } else {
        add_up(moves, basis->profile_counts);
    }

    if (ways) nexthops = tables.nexthops;
    basis->policy = policy;
    basis->agreements = force.agreements;
    basis->ground4 = std::move(ground4);
    basis->ground6 = std::move(ground6);
    basis->ground4.taken = std::move(leaves4.taken());
    basis->ground6.taken = std::move(leaves6.taken());
    basis->numbers = std::move(numbers);
    basis->numbers.settle();
    basis->owner_of = std::move(owner_of);
    basis->report.hub_rows += ground->fresh.size() - ground->gone.size();
    count(basis->report, leaves4);
    count(basis->report, leaves6);
    basis->report.table_bytes = ipv4.memory() + ipv6.memory();
    basis->report.row_bytes = row_bytes(tables.ipv4) + row_bytes(tables.ipv6);
    basis->report.next_change = force.next_change;
    basis->report.from_last = true;
    Compiled result{std::make_unique<dataplane::Tables>(tables), basis->report, std::move(gates)};
    result.tables->close_institutions(result.gates->closed_institutions);
    result.tables->seal();
    return result;
}

}  // namespace sekisho::control

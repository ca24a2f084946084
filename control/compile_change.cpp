// Compiling a small change: the leaves of the institutions that it touches, and the gates; all else stays as it is.
//
// It is taken where agreements in force, lines, routes and translations are the same objects as before. What follows
// from a change is then its own rows: they are appended, and the lookup structures led to them, while workers read the
// generation before. Where anything is out of the ordinary, from a mistake in the policy to rows that no agreement has
// numbers for, it steps back, and compile_whole() says what is to be said. Compiler thread only.
#include <algorithm>

#include "control/compile_state.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostChanges = 4096;  // institutions; beyond, the whole way takes no longer

template <class Map>
bool same(const Map& a, const Map& b) {
    bool same = true;
    Map::differences(a, b, [&](const auto*, const auto*) { same = false; });
    return same;
}

struct Changed {  // an institution, as it was and as it is
    ObjectPtr was, is;

    const std::string& name() const { return (is != nullptr ? is : was)->id; }
};

const Institution& institution_of(const ObjectPtr& object) {
    return std::get<Institution>(object->value);
}

template <class Address>
struct FamilyChange {
    PrefixSet<Address> taken;
    Leaves<Address> gone;
    std::vector<typename Lookups<Address>::NewLeaf> fresh;
};

// What one family's tables lose and get.
template <class Address>
class LeafChange {
  public:
    using Basis = Compiler::State::Basis;
    LeafChange(Basis& basis, const Ground<Address>& ground, const RoutesOfVrf<Address>& ways, const Numbers& numbers)
        : basis_(basis), ground_(ground), ways_(ways), numbers_(numbers) {
        change_.taken = ground.taken;
    }

    // All that goes, before anything comes: institutions may change places. False: step back.
    bool leave(const Changed& changed) {
        if (changed.was == nullptr) return true;
        for (const IpPrefix& prefix : institution_of(changed.was).prefixes)
            if (prefix.family() == Address::kFamily && !change_.taken.erase(of_family<Address>(prefix))) return false;
        return true;
    }
    // `was_set` and `set` are the sets of attachments that it might use and may use now.
    bool come(const Changed& changed, std::uint16_t was_set, std::uint16_t set) {
        Leaves<Address> before, after;
        if (changed.was != nullptr && !leaves_of(changed.was, basis_.numbers, before)) return false;
        if (changed.is != nullptr) {
            for (const IpPrefix& prefix : institution_of(changed.is).prefixes)
                if (prefix.family() == Address::kFamily && !change_.taken.insert(of_family<Address>(prefix)))
                    return false;
            if (!leaves_of(changed.is, numbers_, after)) return false;
        }
        if (was_set == set) drop_common(before, after);
        change_.gone.insert(change_.gone.end(), before.begin(), before.end());
        const auto nexthops = nexthops_of(after, ways_, basis_.tables.nexthops);
        for (std::size_t i = 0; i < after.size(); ++i) {
            const auto row = row_of(after[i]);
            const auto group = group_of(after[i]);
            if (!row || !group) return false;
            change_.fresh.push_back({after[i], Lookups<Address>::who_row(after[i], set, *row),
                                     Lookups<Address>::hub_row(after[i], *group, nexthops[i])});
        }
        return true;
    }
    FamilyChange<Address> take() { return std::move(change_); }

  private:
    bool leaves_of(const ObjectPtr& object, const Numbers& numbers, Leaves<Address>& leaves) {
        const auto number = numbers.institutions.number_of(object->id);
        if (!number) return false;
        auto cut = cut_one(institution_of(object), InstitutionId(*number), numbers, basis_.grants, basis_.sides,
                           ground_, basis_.profiles);
        if (!cut) return false;
        leaves = std::move(*cut);
        return true;
    }

    // Both ascend by hub prefix.
    static void drop_common(Leaves<Address>& before, Leaves<Address>& after) {
        Leaves<Address> gone, fresh;
        auto a = before.begin();
        auto b = after.begin();
        while (a != before.end() || b != after.end()) {
            if (a != before.end() && b != after.end() && *a == *b) {
                ++a;
                ++b;
            } else if (b == after.end() || (a != before.end() && a->hub <= b->hub)) {
                gone.push_back(*a++);
            } else {
                fresh.push_back(*b++);
            }
        }
        before = std::move(gone);
        after = std::move(fresh);
    }

    // Nothing, for rights that no leaf had when the cells were made; without any, row and group are 0.
    bool has_no_rights(const Leaf<Address>& leaf) const {
        return basis_.profiles.client(leaf.profile).empty() && basis_.profiles.service(leaf.profile).empty();
    }
    std::optional<std::uint16_t> row_of(const Leaf<Address>& leaf) const {
        const auto& rows = basis_.rows_of[leaf.vrf.index()];
        if (const auto row = rows.find(leaf.profile); row != rows.end()) return row->second;
        return has_no_rights(leaf) ? std::optional<std::uint16_t>(0) : std::nullopt;
    }
    std::optional<std::uint16_t> group_of(const Leaf<Address>& leaf) const {
        if (leaf.profile < basis_.group_of.size()) return basis_.group_of[leaf.profile];
        return has_no_rights(leaf) ? std::optional<std::uint16_t>(0) : std::nullopt;
    }

    Basis& basis_;
    const Ground<Address>& ground_;
    const RoutesOfVrf<Address>& ways_;
    const Numbers& numbers_;
    FamilyChange<Address> change_;
};

template <class Address>
bool has_room(const FamilyChange<Address>& change, const dataplane::FamilyTables<Address>& tables) {
    return tables.who_rows.has_room(change.fresh.size()) && tables.hub_rows.has_room(change.fresh.size());
}

// Whether nothing differs but institutions and gates.
bool same_ground(const Compiler::State::Basis& basis, const Policy& policy, const InForce& force) {
    const Policy& before = basis.policy;
    return force.agreements == basis.agreements && before.hub_pools == policy.hub_pools &&
           same(before.operators, policy.operators) && same(before.attachments, policy.attachments) &&
           same(before.tunnels, policy.tunnels) && same(before.translations, policy.translations) &&
           same(before.routes, policy.routes);
}

// Agreements name institutions by their numbers: one that is named cannot go.
bool is_named(const Sides& sides, std::uint32_t number) {
    const auto names = [number](const Sides::Side& side) {
        return number < side.of_institution.size() && side.of_institution[number] != Sets::kEmpty;
    };
    return names(sides.client) || names(sides.service);
}

void count(CompileReport& report, std::size_t gone, std::size_t fresh) {
    report.who_rows = report.who_rows + fresh - gone;
    report.hub_rows = report.hub_rows + fresh - gone;
}

template <class Address>
std::size_t row_bytes(const dataplane::FamilyTables<Address>& tables) {
    return tables.who_rows.size() * sizeof(dataplane::WhoRow<Address>) +
           tables.hub_rows.size() * sizeof(dataplane::HubRow<Address>);
}

}  // namespace

std::optional<Compiled> Compiler::State::compile_change(const Policy& policy, std::uint64_t generation,
                                                        const InForce& force) {
    if (!basis || !same_ground(*basis, policy, force)) return std::nullopt;

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
    for (const Changed& changed : changes)
        if (changed.is != nullptr && !institution_of(changed.is).operator_prefixes.empty()) return std::nullopt;
    auto planned = institutions.plan_change(gone, fresh);
    if (!planned) return std::nullopt;
    Numbers numbers = basis->numbers;
    numbers.institutions = std::move(*planned);
    std::vector<std::uint32_t> owner_of = basis->owner_of;
    owner_of.resize(std::max(owner_of.size(), numbers.institutions.size()), std::numeric_limits<std::uint32_t>::max());

    // 2. Their leaves.
    LeafChange<Ipv4Address> leaves4(*basis, basis->ground4, basis->ways4, numbers);
    LeafChange<Ipv6Address> leaves6(*basis, basis->ground6, basis->ways6, numbers);
    for (const Changed& changed : changes) {
        if (!leaves4.leave(changed) || !leaves6.leave(changed)) return std::nullopt;
        if (changed.is != nullptr) continue;
        const auto number = basis->numbers.institutions.number_of(changed.name());
        if (!number || is_named(basis->sides, *number)) return std::nullopt;
        owner_of[*number] = std::numeric_limits<std::uint32_t>::max();
    }
    for (const Changed& changed : changes) {
        std::uint16_t sets[2] = {0, 0};
        for (const bool now : {false, true}) {
            const ObjectPtr& object = now ? changed.is : changed.was;
            if (object == nullptr) continue;
            const auto set =
                attachment_set(policy, object->id, institution_of(object), numbers, basis->attachment_sets);
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
    FamilyChange<Ipv4Address> change4 = leaves4.take();
    FamilyChange<Ipv6Address> change6 = leaves6.take();
    dataplane::TableParts& tables = basis->tables;
    if (!has_room(change4, tables.ipv4) || !has_room(change6, tables.ipv6)) return std::nullopt;

    // 3. The lookup structures. From here on only they can refuse, and are then filled anew.
    auto applied = ipv4.change(change4.gone, change4.fresh, tables.ipv4);
    if (applied) applied = ipv6.change(change6.gone, change6.fresh, tables.ipv6);
    if (!applied) {
        forget();
        return std::nullopt;
    }
    ipv4.show(tables.ipv4);
    ipv6.show(tables.ipv6);

    // 4. Gates, and the rest.
    adopt(numbers);
    auto gates = std::make_shared<GateTargets>();
    gates->numbers = numbers;
    gates->owner_of = owner_of;
    for (const auto& [name, attachment] : policy.attachments)
        if (const auto number = numbers.attachments.number_of(name))
            tables.attachments[*number].open.set(!force.closed_attachments.contains(name));
    close_by_document(force, tables, *gates);
    tables.closed_institutions.resize(gates->closed_institutions.size());
    write_attachment_sets(basis->attachment_sets, tables);
    tables.timeouts = policy.timers;
    tables.generation = generation;

    basis->policy = policy;
    basis->agreements = force.agreements;
    basis->ground4.taken = std::move(change4.taken);
    basis->ground6.taken = std::move(change6.taken);
    basis->numbers = std::move(numbers);
    basis->owner_of = std::move(owner_of);
    count(basis->report, change4.gone.size(), change4.fresh.size());
    count(basis->report, change6.gone.size(), change6.fresh.size());
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

// Compiling a small change: a few lines, the ways of a few routes, the leaves of the institutions that it touches, the
// matrices, and the gates; all else stays as it is.
//
// What follows from a change is its own rows: they are appended, and the lookup structures led to them, while workers
// read what was before. Where anything is out of the ordinary, from a mistake in the policy to rows that would have to
// be numbered anew, it steps back, and compile_whole() says what is to be said. Compiler thread only.
#include <algorithm>
#include <limits>
#include <set>

#include "control/cell_change.hpp"
#include "control/compile_state.hpp"
#include "control/ground_change.hpp"
#include "control/leaf_change.hpp"
#include "control/line_change.hpp"
#include "control/rights_change.hpp"
#include "control/way_change.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostChanges = 4096;  // institutions; beyond, the whole way takes no longer
constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();

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

// From the generation that the basis is of to the next one. Its steps are called in their order; each says false where
// only the whole way tells, and until apply() nothing is changed but the numbers of profiles and sets.
class Change {
  public:
    Change(Compiler::State& state, const Policy& policy, const InForce& force)
        : state_(state), basis_(*state.basis), policy_(policy), force_(force) {}

    bool plan(std::uint32_t epoch) {
        return plan_institutions() && plan_other_names() && plan_lines() && plan_ground(epoch) && plan_rights() &&
               changes_.size() <= kMostChanges && cut_leaves() && plan_cells();
    }
    // Lines, ways and the lookup structures: the ways of the leaves that were, then the leaves. What refuses here
    // leaves something half changed.
    bool apply();
    Compiled adopt(std::uint64_t generation);

  private:
    bool plan_institutions();
    bool plan_other_names();
    bool plan_lines();
    bool plan_ground(std::uint32_t epoch);
    bool plan_rights();
    bool cut_leaves();
    bool leave(const Changed& changed);
    bool come(const Changed& changed);
    bool plan_cells();
    void set_gates(GateTargets& gates);

    // IPv4 rows that come: a pool has one in `hub`.
    std::size_t fresh4() const { return leaves4_->fresh().size() + ground_->fresh.size(); }
    const Grants& grants() const { return rights_ ? rights_->grants : basis_.grants; }
    const Sides& sides() const { return rights_ ? rights_->sides : basis_.sides; }

    Compiler::State& state_;
    Compiler::State::Basis& basis_;
    const Policy& policy_;
    const InForce& force_;

    Numbers numbers_ = basis_.numbers;
    std::size_t vrfs_ = 0;
    std::vector<Changed> changes_;
    std::vector<std::uint32_t> owner_of_ = basis_.owner_of;
    std::optional<LineChange> lines_;
    std::optional<WayChange> ways_;  // where any differ
    std::optional<GroundChange> ground_;
    std::optional<RightsChange> rights_;  // where agreements differ
    Renamed renamed_;
    Ground<Ipv4Address> ground4_ = basis_.ground4;
    Ground<Ipv6Address> ground6_ = basis_.ground6;
    BehindPools pools_before_, pools_;
    std::optional<LeafChange<Ipv4Address>> leaves4_;
    std::optional<LeafChange<Ipv6Address>> leaves6_;
    std::optional<CellChange> cells_;
};

bool Change::plan_institutions() {
    std::vector<std::string_view> gone, fresh;
    ObjectMap<Object>::differences(basis_.policy.institutions.objects(), policy_.institutions.objects(),
                                   [&](const ObjectPtr& was, const ObjectPtr& is) {
                                       changes_.push_back({was, is});
                                       if (is == nullptr) gone.push_back(was->id);
                                       if (was == nullptr) fresh.push_back(is->id);
                                   });
    if (changes_.size() > kMostChanges) return false;
    auto planned = state_.institutions.plan_change(gone, fresh);
    if (!planned) return false;
    numbers_.institutions = std::move(*planned);
    owner_of_.resize(std::max(owner_of_.size(), numbers_.institutions.size()), kNobody);
    return true;
}

bool Change::plan_other_names() {
    const auto all = [](const auto&) { return true; };
    const auto blocks = [](const Translation& each) { return each.kind == TranslationKind::port_block; };
    const Policy& before = basis_.policy;
    if (!plan_names(before.operators, policy_.operators, state_.operators, numbers_.operators, all) ||
        !plan_names(before.attachments, policy_.attachments, state_.attachments, numbers_.attachments, all) ||
        !plan_names(before.tunnels, policy_.tunnels, state_.tunnels, numbers_.tunnels, all) ||
        !plan_names(before.translations, policy_.translations, state_.port_blocks, numbers_.port_blocks, blocks))
        return false;
    // The VRFs of operators that come have nothing yet, which is what they have if all of this is for nothing.
    vrfs_ = std::max(basis_.profile_counts.size(), numbers_.operators.size());
    basis_.profile_counts.resize(vrfs_);
    basis_.ways4.resize(vrfs_);
    basis_.ways6.resize(vrfs_);
    return true;
}

// Lines, and the ways that they bring; routes.
bool Change::plan_lines() {
    lines_ = LineChange::of(basis_, policy_, numbers_, *state_.attachment_names, force_, state_.ports);
    if (!lines_) return false;
    if (lines_->connected().empty() && basis_.policy.routes.same(policy_.routes)) return true;
    ways_ = WayChange::of(basis_, policy_, numbers_, lines_->connected());
    return ways_.has_value();
}

bool Change::plan_ground(std::uint32_t epoch) {
    ground_ = GroundChange::of(basis_, policy_, numbers_, state_.port_pools, epoch);
    if (!ground_ || !add_affected(ground_->institutions, *state_.institution_names, policy_, changes_)) return false;
    auto before = behind_pools(basis_.policy, basis_.numbers);
    auto now = behind_pools(policy_, numbers_);
    if (!before || !now) return false;
    pools_before_ = std::move(*before);
    pools_ = std::move(*now);
    if (basis_.policy.translations.same(policy_.translations)) return true;
    auto translations4 = translations_of<Ipv4Address>(policy_, numbers_);
    auto translations6 = translations_of<Ipv6Address>(policy_, numbers_);
    if (!translations4 || !translations6) return false;
    ground4_.translations = std::move(*translations4);
    ground6_.translations = std::move(*translations6);
    return true;
}

bool Change::plan_rights() {
    if (force_.agreements == basis_.agreements) return true;
    rights_ = rights_change(basis_, force_, numbers_);
    if (!rights_ || !add_affected(rights_->institutions, *state_.institution_names, policy_, changes_)) return false;
    renamed_ = rights_->renamed;
    ground4_.marks = rights_->marks4;
    ground6_.marks = rights_->marks6;
    return true;
}

bool Change::cut_leaves() {
    leaves4_.emplace(Cut<Ipv4Address>{basis_.numbers, basis_.grants, basis_.sides, basis_.ground4, pools_before_},
                     Cut<Ipv4Address>{numbers_, grants(), sides(), ground4_, pools_}, basis_.profiles, renamed_);
    leaves6_.emplace(Cut<Ipv6Address>{basis_.numbers, basis_.grants, basis_.sides, basis_.ground6, pools_before_},
                     Cut<Ipv6Address>{numbers_, grants(), sides(), ground6_, pools_}, basis_.profiles, renamed_);
    return std::all_of(changes_.begin(), changes_.end(), [&](const Changed& each) { return leave(each); }) &&
           std::all_of(changes_.begin(), changes_.end(), [&](const Changed& each) { return come(each); });
}

bool Change::leave(const Changed& changed) {
    if (!leaves4_->leave(changed) || !leaves6_->leave(changed)) return false;
    if (changed.is != nullptr) return true;
    const auto number = basis_.numbers.institutions.number_of(changed.name());
    if (!number || (!rights_ && is_named(basis_.sides, *number))) return false;
    owner_of_[*number] = kNobody;
    return true;
}

bool Change::come(const Changed& changed) {
    SharedAttachments::Name was_set = {}, set = {};  // of attachments that it might use, and may use now
    for (const auto& [object, of_object] : {std::pair(&changed.was, &was_set), std::pair(&changed.is, &set)}) {
        if (*object == nullptr) continue;
        const auto found = basis_.attachments.set_of(policy_, (*object)->id, institution_of(*object), numbers_);
        if (!found) return false;
        *of_object = *found;
    }
    if (!leaves4_->come(changed, was_set, set) || !leaves6_->come(changed, was_set, set)) return false;
    if (changed.is == nullptr) return true;
    const auto owner = numbers_.operators.number_of(institution_of(changed.is).operator_id);
    const auto number = numbers_.institutions.number_of(changed.name());
    if (!owner || !number) return false;
    owner_of_[*number] = *owner;
    return true;
}

bool Change::plan_cells() {
    cells_.emplace(basis_, vrfs_, rights_ ? &*rights_ : nullptr);
    cells_->add(*leaves4_);
    cells_->add(*leaves6_);
    return cells_->make(basis_.profiles, state_.limits.matrix_bytes) && has_room(fresh4(), basis_.tables.ipv4) &&
           has_room(leaves6_->fresh().size(), basis_.tables.ipv6);
}

bool Change::apply() {
    dataplane::TableParts& tables = basis_.tables;
    lines_->place_attachments(tables);
    if (lines_->moves_taps()) place_taps(policy_, numbers_, state_.taps, tables);
    bool applied = !ways_ || ways_->apply(basis_, state_.ipv4, state_.ipv6);
    applied = applied && lines_->place_tunnels(policy_, numbers_, basis_.ways4, basis_.ways6, tables);
    const auto rows4 = leaves4_->rows(cells_->numbers(), basis_.ways4, tables.nexthops);
    const auto rows6 = leaves6_->rows(cells_->numbers(), basis_.ways6, tables.nexthops);
    applied = applied && has_room(fresh4(), tables.ipv4) && has_room(rows6.size(), tables.ipv6);
    for (const Prefix4& gone : ground_->gone) applied = applied && state_.ipv4.drop_pool(gone);
    applied = applied && state_.ipv4.change(leaves4_->gone(), rows4, tables.ipv4);
    for (const SharedAddresses& shared : ground_->fresh)
        applied = applied && state_.ipv4.add_pool(shared.prefix, shared, tables.ipv4);
    return applied && state_.ipv6.change(leaves6_->gone(), rows6, tables.ipv6);
}

// The document's, of attachments and institutions.
void Change::set_gates(GateTargets& gates) {
    dataplane::TableParts& tables = basis_.tables;
    const auto set_open = [&](std::string_view name, bool open) {
        const auto number = numbers_.attachments.number_of(name);
        if (number) tables.attachments[*number].open.set(open);
        return number.has_value();
    };
    for (const std::string& name : basis_.closed_attachments) set_open(name, true);
    basis_.closed_attachments.clear();
    for (const std::string_view name : force_.closed_attachments)
        if (set_open(name, false)) basis_.closed_attachments.emplace(name);
    gates.numbers = numbers_;
    gates.owner_of = owner_of_;
    close_by_document(force_, tables, gates);
    tables.closed_institutions.resize(gates.closed_institutions.size());
}

Compiled Change::adopt(std::uint64_t generation) {
    dataplane::TableParts& tables = basis_.tables;
    state_.ipv4.show(tables.ipv4);
    state_.ipv6.show(tables.ipv6);
    state_.adopt(numbers_);
    if (ways_) state_.nexthops = tables.nexthops;
    auto gates = std::make_shared<GateTargets>();
    set_gates(*gates);

    tables.generation = generation;
    tables.attachment_sets = basis_.attachments.written();
    tables.timeouts = policy_.timers;
    if (ground_->pools) {
        tables.port_pools = std::move(ground_->pools->rows);
        tables.static_maps = std::move(ground_->pools->static_maps);
    }
    cells_->adopt(basis_);
    if (rights_) {
        tables.tcp_classes = std::move(rights_->classes.tcp);
        tables.udp_classes = std::move(rights_->classes.udp);
        tables.tracks = rights_->tracks;
        basis_.report.port_classes = rights_->classes.count;
        basis_.grants = std::move(rights_->grants);
        basis_.sides = std::move(rights_->sides);
    }

    basis_.policy = policy_;
    basis_.agreements = force_.agreements;
    basis_.ground4 = std::move(ground4_);
    basis_.ground6 = std::move(ground6_);
    basis_.ground4.taken = std::move(leaves4_->taken());
    basis_.ground6.taken = std::move(leaves6_->taken());
    basis_.numbers = std::move(numbers_);
    basis_.numbers.settle();
    basis_.owner_of = std::move(owner_of_);

    CompileReport& report = basis_.report;
    report.hub_rows += ground_->fresh.size() - ground_->gone.size();
    count(report, *leaves4_);
    count(report, *leaves6_);
    report.table_bytes = state_.ipv4.memory() + state_.ipv6.memory();
    report.row_bytes = row_bytes(tables.ipv4) + row_bytes(tables.ipv6);
    report.next_change = force_.next_change;
    report.from_last = true;
    Compiled result{std::make_unique<dataplane::Tables>(tables), report, std::move(gates)};
    result.tables->close_institutions(result.gates->closed_institutions);
    result.tables->seal();
    return result;
}

}  // namespace

std::optional<Compiled> Compiler::State::compile_change(const Policy& policy, std::uint64_t generation,
                                                        const InForce& force) {
    if (!basis || !same_ground(basis->policy, policy)) return std::nullopt;
    Change change(*this, policy, force);
    if (!change.plan(static_cast<std::uint32_t>(generation))) return std::nullopt;
    if (change.apply()) return change.adopt(generation);
    forget();  // everything is filled anew
    return std::nullopt;
}

}  // namespace sekisho::control

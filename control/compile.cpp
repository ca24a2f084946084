// Assembling a generation whole: numbers, grants, leaves, cells, ways, rows; the lookup structures last. Compiler
// thread only.
//
// All that can fail for a reason in the policy comes before anything is changed. Then the lookup structures change;
// should one of them refuse, all are emptied, and the next compile() fills them whole: the generation that workers read
// holds views of its own and does not notice.
#include "control/compile.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "control/compile_state.hpp"
#include "control/port_classes.hpp"

namespace sekisho::control {
namespace {

using dataplane::Tables;

// Installs the rows of a family that the compiler planned, now that its Fibs lead to them.
template <class Address>
void install(typename Lookups<Address>::Plan plan, const Lookups<Address>& lookups,
             dataplane::FamilyTables<Address>& tables, CompileReport& report) {
    lookups.show(tables);
    tables.who_rows = std::move(plan.who_rows);
    tables.hub_rows = std::move(plan.hub_rows);
    for (const auto& table : plan.who) report.who_rows += table.size();
    for (const auto& table : plan.hub) report.hub_rows += table.size();
    for (const auto& table : plan.where) report.where_rows += table.size();
    report.table_bytes += lookups.memory();
    report.row_bytes +=
        tables.who_rows.size() * sizeof tables.who_rows[0] + tables.hub_rows.size() * sizeof tables.hub_rows[0];
}

template <class Address>
void count_profiles(const Leaves<Address>& leaves, ProfileCounts& counts) {
    for (const Leaf<Address>& leaf : leaves) ++counts[leaf.vrf.index()][leaf.profile];
}

// What the types of numbers leave room for.
CompileLimits possible(CompileLimits limits) {
    limits.operators = std::min<std::size_t>(limits.operators, std::numeric_limits<VrfId::Value>::max());
    limits.attachments = std::min<std::size_t>(limits.attachments, dataplane::kMostAttachments);
    limits.institutions = std::min<std::size_t>(limits.institutions, std::numeric_limits<std::int32_t>::max());
    return limits;
}

template <class Id>
std::optional<Id> number_of(const NumberedNames& names, std::string_view name) {
    for (std::size_t number = 0; number < names.size() && !name.empty(); ++number)
        if (const Named* const named = names.find(number); named != nullptr && named->id == name)
            return Id(static_cast<typename Id::Value>(number));
    return std::nullopt;
}

}  // namespace

std::vector<std::vector<std::uint32_t>> profiles_in(const ProfileCounts& counts) {
    std::vector<std::vector<std::uint32_t>> profiles;
    for (const auto& of_vrf : counts) {
        auto& all = profiles.emplace_back();
        for (const auto& [profile, count] : of_vrf) all.push_back(profile);
        std::sort(all.begin(), all.end());
    }
    return profiles;
}

void close_by_document(const InForce& in_force, const dataplane::TableParts& tables, GateTargets& gates) {
    constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();
    auto& closed = gates.closed_institutions;
    closed.assign(gates.numbers.institutions.size() / 64 + 1, 0);
    const auto close = [&](std::size_t number) { closed[number / 64] |= std::uint64_t{1} << number % 64; };
    std::vector<bool> operators(gates.numbers.operators.size());
    for (const std::string_view name : in_force.closed_operators)
        if (const auto number = gates.numbers.operators.number_of(name)) operators[*number] = true;
    if (in_force.node_closed || !in_force.closed_operators.empty())
        for (std::size_t i = 0; i < gates.owner_of.size(); ++i)
            if (gates.owner_of[i] != kNobody && (in_force.node_closed || operators[gates.owner_of[i]])) close(i);
    for (const std::string_view name : in_force.closed_institutions)
        if (const auto number = gates.numbers.institutions.number_of(name)) close(*number);
    gates.open_attachments.clear();
    for (const dataplane::Attachment& attachment : tables.attachments)
        gates.open_attachments.push_back(attachment.open);
}

Compiler::State::State(NodePorts node_ports, const CompileLimits& node_limits)
    : ports(std::move(node_ports)),
      limits(possible(node_limits)),
      operators("operator", limits.operators),
      attachments("attachment", limits.attachments),
      tunnels("tunnel", limits.attachments),
      institutions("institution", limits.institutions),
      port_blocks("port block", kMostPortBlocks),
      ipv4(limits.operators),
      ipv6(limits.operators),
      port_pools(ports.workers) {}

Expected<Numbers> Compiler::State::plan_numbers(const Policy& policy) const {
    auto operator_plan = operators.plan(names_of(policy.operators));
    if (!operator_plan) return operator_plan.error();
    auto attachment_plan = attachments.plan(names_of(policy.attachments));
    if (!attachment_plan) return attachment_plan.error();
    auto tunnel_plan = tunnels.plan(names_of(policy.tunnels));
    if (!tunnel_plan) return tunnel_plan.error();
    auto institution_plan = institutions.plan(names_of(policy.institutions));
    if (!institution_plan) return institution_plan.error();
    auto block_plan = port_blocks.plan(names_of_blocks(policy));
    if (!block_plan) return block_plan.error();
    return Numbers{std::move(*operator_plan), std::move(*attachment_plan), std::move(*tunnel_plan),
                   std::move(*institution_plan), std::move(*block_plan)};
}

void Compiler::State::adopt(const Numbers& numbers) {
    adopt(operators, numbers.operators, operator_names);
    adopt(attachments, numbers.attachments, attachment_names);
    adopt(tunnels, numbers.tunnels, tunnel_names);
    adopt(institutions, numbers.institutions, institution_names);
    port_blocks.adopt(numbers.port_blocks);
}

void Compiler::State::adopt(Numbering& numbering, const Numbering::Plan& plan, NamesPtr& names) {
    if (!plan.changed()) return;
    NumberedNames now = *names;  // written by this thread only
    plan.name(now);
    auto fresh = std::make_shared<const NumberedNames>(std::move(now));
    numbering.adopt(plan);
    const std::lock_guard lock(names_mutex);
    names.swap(fresh);
}

Compiler::State::NamesPtr Compiler::State::read(const NamesPtr& names) const {
    const std::lock_guard lock(names_mutex);
    return names;
}

std::string Compiler::State::name(const NamesPtr& names, std::size_t number) const {
    const auto snapshot = read(names);
    const Named* const named = snapshot->find(number);
    return named == nullptr ? std::string() : named->id;
}

void Compiler::State::forget() {
    ipv4.forget();
    ipv6.forget();
    basis.reset();
}

Compiler::Compiler(NodePorts ports, const CompileLimits& limits)
    : state_(std::make_unique<State>(std::move(ports), limits)) {}
Compiler::~Compiler() = default;

Expected<Compiled> Compiler::compile(const Policy& policy, std::uint64_t generation,
                                     std::chrono::system_clock::time_point now, const NamesByHand& closed_agreements) {
    const auto begin = std::chrono::steady_clock::now();
    auto force = in_force(policy, now);
    if (!force) return force.error();
    std::erase_if(force->agreements, [&](const auto& each) { return closed_agreements.contains(each.first); });
    std::optional<Compiled> change = state_->compile_change(policy, generation, *force);
    Expected<Compiled> compiled = change ? std::move(*change) : state_->compile_whole(policy, generation, *force);
    if (compiled)
        compiled->report.time =
            std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
    return compiled;
}

Expected<Compiled> Compiler::State::compile_whole(const Policy& policy, std::uint64_t generation,
                                                  const InForce& force) {
    Compiled result{std::make_unique<Tables>(), {}, {}};
    Tables& tables = *result.tables;
    tables.generation = generation;
    Basis fresh;
    fresh.policy = policy;
    fresh.agreements = force.agreements;

    // 1. The numbers of all names.
    auto numbers = plan_numbers(policy);
    if (!numbers) return numbers.error();
    const std::size_t vrfs = numbers->operators.size();

    // 2. Attachments, institutions' gates, pools.
    if (auto placed = place_attachments(policy, *numbers, force, ports, tables); !placed) return placed.error();
    const auto attachment_sets = fresh.attachments.sets_of(policy, *numbers);
    if (!attachment_sets) return attachment_sets.error();
    tables.attachment_sets = fresh.attachments.written();
    place_taps(policy, *numbers, taps, tables);
    auto gates = std::make_shared<GateTargets>();
    gates->owner_of.assign(numbers->institutions.size(), std::numeric_limits<std::uint32_t>::max());
    std::size_t i = 0;
    for (const auto& [name, institution] : policy.institutions) {
        const std::uint32_t number = numbers->institutions[i++];
        if (const auto owner = numbers->operators.number_of(institution.operator_id)) gates->owner_of[number] = *owner;
    }
    gates->numbers = *numbers;
    close_by_document(force, tables, *gates);
    tables.closed_institutions.resize(gates->closed_institutions.size());
    tables.close_institutions(gates->closed_institutions);
    for (const IpPrefix& pool : policy.hub_pools) {
        if (pool.is_ipv4())
            tables.ipv4.hub_space.push_back(pool.ipv4());
        else
            tables.ipv6.hub_space.push_back(pool.ipv6());
    }

    // 3. Who may reach whom with what.
    auto grants = grants_of(force, *numbers);
    if (!grants) return grants.error();
    auto classes = classify(grants->terms);
    if (!classes) return classes.error();
    Profiles& profiles = fresh.profiles;
    fresh.sides = sides_of(*grants, *numbers, profiles.sets);
    auto ground4 = ground_of<Ipv4Address>(policy, *numbers, *grants, fresh.sides);
    if (!ground4) return ground4.error();
    const auto leaves4 = cut(policy, *numbers, *grants, fresh.sides, *ground4, profiles);
    if (!leaves4) return leaves4.error();
    auto ground6 = ground_of<Ipv6Address>(policy, *numbers, *grants, fresh.sides);
    if (!ground6) return ground6.error();
    const auto leaves6 = cut(policy, *numbers, *grants, fresh.sides, *ground6, profiles);
    if (!leaves6) return leaves6.error();
    auto pools = port_pools.of(policy, *numbers, tables.epoch());
    if (!pools) return pools.error();
    tables.port_pools = std::move(pools->rows);
    tables.static_maps = std::move(pools->static_maps);
    auto leaves_behind = behind_blocks(policy, *numbers, fresh.sides, profiles);
    if (!leaves_behind) return leaves_behind.error();
    BlockLeaves blocks{std::move(*leaves_behind), {}, std::move(pools->shared)};
    if (const auto leaf = find_pools(*behind_pools(policy, *numbers), blocks.leaves)) return not_covered(policy, *leaf);
    fresh.profile_counts.resize(vrfs);
    count_profiles(*leaves4, fresh.profile_counts);
    count_profiles(*leaves6, fresh.profile_counts);
    count_profiles(blocks.leaves, fresh.profile_counts);
    auto cells = cells_of(*grants, *classes, profiles, profiles_in(fresh.profile_counts), limits.matrix_bytes);
    if (!cells) return cells.error();

    // 4. Ways, and the rows of the three kinds of table.
    auto ways = ways_of(policy, *numbers, nexthops);
    if (!ways) return ways.error();
    if (auto placed = place_tunnels(policy, *numbers, *ways, tables); !placed) return placed.error();
    const auto nexthops4 = nexthops_of(*leaves4, ways->ipv4, ways->nexthops);
    const auto nexthops6 = nexthops_of(*leaves6, ways->ipv6, ways->nexthops);
    blocks.nexthops = nexthops_of(blocks.leaves, ways->ipv4, ways->nexthops);
    auto plan4 = ipv4.plan(*leaves4, nexthops4, *attachment_sets, *cells, std::move(ways->ipv4), blocks);
    auto plan6 = ipv6.plan(*leaves6, nexthops6, *attachment_sets, *cells, std::move(ways->ipv6));

    // 5. The lookup structures. From here on only they can refuse.
    auto applied = ipv4.apply(plan4);
    if (applied) applied = ipv6.apply(plan6);
    if (!applied) {
        forget();
        return applied.error().at("lookup tables");
    }
    fresh.ways4 = plan4.where;
    fresh.ways6 = plan6.where;
    install(std::move(plan4), ipv4, tables.ipv4, result.report);
    install(std::move(plan6), ipv6, tables.ipv6, result.report);

    // 6. The new generation is whole.
    tables.tcp_classes = std::move(classes->tcp);
    tables.udp_classes = std::move(classes->udp);
    result.report.port_classes = classes->count;
    result.report.permissions = cells->permissions.count();
    result.report.matrix_bytes = cells->bytes;
    tables.permissions = std::move(cells->permissions);
    tables.tracks =
        std::any_of(grants->terms.begin(), grants->terms.end(), [](const Terms& terms) { return terms.tracked; });
    tables.matrices = std::move(cells->matrices);
    tables.timeouts = policy.timers;
    nexthops = ways->nexthops;
    tables.nexthops = std::move(ways->nexthops);
    tables.groups = std::move(ways->groups);
    adopt(*numbers);
    tables.seal();
    result.report.next_change = force.next_change;

    // 7. What the next one may begin with.
    fresh.ground4 = std::move(*ground4);
    fresh.ground6 = std::move(*ground6);
    fresh.grants = std::move(*grants);
    fresh.cell_numbers = std::move(cells->numbers);
    fresh.numbers = std::move(*numbers);
    fresh.numbers.settle();
    fresh.owner_of = gates->owner_of;
    fresh.tables = tables;
    fresh.report = result.report;
    fresh.closed_attachments.insert(force.closed_attachments.begin(), force.closed_attachments.end());
    basis = std::move(fresh);
    result.gates = std::move(gates);
    return result;
}

std::string Compiler::operator_name(OperatorId id) const {
    return state_->name(state_->operator_names, id.index());
}
std::string Compiler::attachment_name(AttachmentId id) const {
    return state_->name(state_->attachment_names, id.index());
}
std::string Compiler::institution_name(InstitutionId id) const {
    return state_->name(state_->institution_names, id.index());
}
std::string Compiler::tunnel_name(TunnelId id) const {
    return id == TunnelId() ? std::string() : state_->name(state_->tunnel_names, id.index() - 1);
}
std::string Compiler::vrf_name(VrfId id) const {
    return state_->name(state_->operator_names, id.index());
}
std::optional<AttachmentId> Compiler::attachment_id(std::string_view name) const {
    return number_of<AttachmentId>(*state_->read(state_->attachment_names), name);
}
std::optional<VrfId> Compiler::vrf_id(std::string_view name) const {
    return number_of<VrfId>(*state_->read(state_->operator_names), name);
}

}  // namespace sekisho::control

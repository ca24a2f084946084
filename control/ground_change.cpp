// Comparing translations, before and after. Compiler thread only.
#include "control/ground_change.hpp"

#include <set>
#include <string_view>
#include <utility>

namespace sekisho::control {

namespace {

class Taking {
  public:
    Taking(const Compiler::State::Basis& basis, const Policy& policy, const Numbers& numbers)
        : basis_(basis), policy_(policy), numbers_(numbers) {}

    std::optional<GroundChange> take(PortPools& port_pools, std::uint32_t epoch) {
        bool differ = false, can = true;
        decltype(policy_.translations)::differences(
            basis_.policy.translations, policy_.translations, [&](const Translation* was, const Translation* is) {
                const Translation* const was_block = of_kind(was, TranslationKind::port_block);
                const Translation* const is_block = of_kind(is, TranslationKind::port_block);
                differ = differ || was_block != nullptr || is_block != nullptr;
                can = can && of_kind(is, TranslationKind::family) == nullptr;
                can = can && add_addresses(was_block, is_block);
                if (was_block == nullptr || is_block == nullptr || !same_behind(*was_block, *is_block))
                    for (const Translation* const each : {was_block, is_block})
                        if (each != nullptr) operators_.insert(each->operator_id);
                for (const Translation* const each : {was, is}) add_inside(of_kind(each, TranslationKind::prefix_map));
            });
        if (!can) return std::nullopt;
        if (differ) {
            auto pools = port_pools.of(policy_, numbers_, epoch);
            if (!pools) return std::nullopt;
            change_.pools = std::move(*pools);
        }
        if (!operators_.empty()) add_behind();
        return std::move(change_);
    }

  private:
    static const Translation* of_kind(const Translation* translation, TranslationKind kind) {
        return translation != nullptr && translation->kind == kind ? translation : nullptr;
    }
    static bool same_behind(const Translation& was, const Translation& is) {
        return was.operator_id == is.operator_id && was.operator_prefix == is.operator_prefix;
    }

    // False: one of them is no pool.
    bool add_addresses(const Translation* was, const Translation* is) {
        std::optional<SharedAddresses> before, now;
        if (was != nullptr) before = shared_by(*was, basis_.numbers);
        if (is != nullptr) now = shared_by(*is, numbers_);
        if ((was != nullptr && !before) || (is != nullptr && !now)) return false;
        if (before == now) return true;
        if (before) change_.gone.push_back(before->prefix);
        if (now) change_.fresh.push_back(*now);
        return true;
    }

    // Institutions that had numbers in a prefix map, or have them there now.
    void add_inside(const Translation* map) {
        if (map == nullptr) return;
        const IpPrefix& hub = map->hub_prefix;
        if (hub.is_ipv4())
            add_inside(hub.ipv4(), basis_.ground4, basis_.tables.ipv4);
        else
            add_inside(hub.ipv6(), basis_.ground6, basis_.tables.ipv6);
    }
    template <class Address>
    void add_inside(const Prefix<Address>& hub, const Ground<Address>& ground,
                    const dataplane::FamilyTables<Address>& tables) {
        ground.taken.for_each_inside(hub, [&](const Prefix<Address>& prefix) {
            const lpm::Row row = tables.hub.find(lpm::TableId{0}, prefix.address());
            if (row != lpm::kNoRow)
                change_.institutions.push_back(static_cast<std::uint32_t>(tables.hub_rows[row].institution.index()));
            return true;
        });
    }

    // Institutions that are behind a port block of those operators, or may be.
    void add_behind() {
        for (const auto& [id, institution] : policy_.institutions) {
            if (institution.operator_prefixes.empty() || !operators_.contains(institution.operator_id)) continue;
            if (const auto number = basis_.numbers.institutions.number_of(id)) change_.institutions.push_back(*number);
        }
    }

    const Compiler::State::Basis& basis_;
    const Policy& policy_;
    const Numbers& numbers_;
    GroundChange change_;
    std::set<std::string_view> operators_;  // what is behind whose port blocks is another now
};

}  // namespace

std::optional<GroundChange> GroundChange::of(const Compiler::State::Basis& basis, const Policy& policy,
                                             const Numbers& numbers, PortPools& port_pools, std::uint32_t epoch) {
    return Taking(basis, policy, numbers).take(port_pools, epoch);
}

}  // namespace sekisho::control

#include "control/port_blocks.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

bool is_block(const Translation& translation) {
    return translation.kind == TranslationKind::port_block;
}

// Errors, at its place: it is of no operator, or not of IPv4.
Expected<BehindPool> pool_of(const Translation& translation, const Numbers& numbers) {
    const std::string place = place_of("translations", translation.id);
    const auto owner = numbers.operators.number_of(translation.operator_id);
    if (!owner) return owner.error().at(place);
    if (!translation.hub_prefix.is_ipv4() || !translation.operator_prefix.is_ipv4())
        return Error{ErrorCode::invalid, "port_block is of IPv4 only"}.at(place);
    const auto number = numbers.port_blocks.number_of(translation.id);
    if (!number) return number.error().at(place);
    return BehindPool{VrfId(static_cast<VrfId::Value>(*owner)), translation.operator_prefix.ipv4(),
                      static_cast<std::uint16_t>(*number)};
}

bool in_order(const BehindPool& a, const BehindPool& b) {
    return std::tie(a.vrf, a.prefix) < std::tie(b.vrf, b.prefix);
}

}  // namespace

std::vector<std::string_view> names_of_blocks(const Policy& policy) {
    std::vector<std::string_view> names;
    for (const auto& [name, translation] : policy.translations)
        if (is_block(translation)) names.push_back(name);
    return names;
}

std::optional<SharedAddresses> shared_by(const Translation& block, const Numbers& numbers) {
    const auto pool = pool_of(block, numbers);
    if (!pool) return std::nullopt;
    return SharedAddresses{block.hub_prefix.ipv4(), pool->vrf, pool->number};
}

Error not_covered(const Policy& policy, const Leaf<Ipv4Address>& leaf) {
    for (const auto& [name, institution] : policy.institutions)
        for (const IpPrefix& prefix : institution.operator_prefixes)
            if (prefix == IpPrefix(leaf.inside))
                return Error{ErrorCode::invalid, fmt::format("no port block of operator {} covers {}",
                                                             in_quotes(institution.operator_id), prefix.text())}
                    .at(place_of("institutions", name));
    return {ErrorCode::invalid, fmt::format("no port block covers {}", leaf.inside.text())};
}

Expected<BehindPools> behind_pools(const Policy& policy, const Numbers& numbers) {
    BehindPools pools;
    for (const auto& [name, translation] : policy.translations) {
        if (!is_block(translation)) continue;
        const auto pool = pool_of(translation, numbers);
        if (!pool) return pool.error();
        pools.push_back(*pool);
    }
    std::sort(pools.begin(), pools.end(), in_order);
    return pools;
}

std::optional<Leaf<Ipv4Address>> find_pools(const BehindPools& pools, Leaves<Ipv4Address>& leaves) {
    for (Leaf<Ipv4Address>& leaf : leaves) {
        const auto after = std::upper_bound(pools.begin(), pools.end(), BehindPool{leaf.vrf, leaf.inside, 0}, in_order);
        const bool is_after_one = after != pools.begin() && std::prev(after)->vrf == leaf.vrf;
        if (is_after_one && std::prev(after)->prefix.contains(leaf.inside))
            leaf.pool = static_cast<std::uint16_t>(std::prev(after)->number + 1);
        else if (is_after_one || (after != pools.end() && after->vrf == leaf.vrf))
            return leaf;
    }
    std::erase_if(leaves, [](const Leaf<Ipv4Address>& leaf) { return !leaf.is_behind(); });
    return std::nullopt;
}

Expected<std::shared_ptr<dataplane::PortShares>> PortPools::shares_of(const Identity& identity, std::uint32_t epoch) {
    auto& known = known_[identity];
    if (auto shares = known.lock()) return shares;
    auto made = dataplane::PortShares::make(identity, workers_, epoch);
    if (made) known = *made;
    return made;
}

Expected<PortPools::OfGeneration> PortPools::of(const Policy& policy, const Numbers& numbers, std::uint32_t epoch) {
    OfGeneration pools;
    pools.rows.resize(numbers.port_blocks.size());
    std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
    std::vector<nat::StaticMap> statics;
    for (const auto& [name, translation] : policy.translations) {
        if (!is_block(translation)) continue;
        const auto pool = pool_of(translation, numbers);
        if (!pool) return pool.error();
        const PortBlock& told = translation.port_block;
        const Prefix4& addresses = translation.hub_prefix.ipv4();
        auto shares = shares_of({name, addresses, told.by_institution}, epoch);
        if (!shares) return shares.error().at(place_of("translations", name));
        pools.rows[pool->number] = {
            std::move(*shares), pool->vrf, {told.blocks, told.hold_down, told.parity, told.filtering}};
        pools.shared.push_back({addresses, pool->vrf, pool->number});
        for (const StaticMap& map : told.static_maps)
            statics.push_back({map.protocol == Protocol::tcp ? nat::PortProtocol::tcp : nat::PortProtocol::udp,
                               {map.hub_address, map.hub_port},
                               dataplane::space_of(pool->vrf),
                               {map.operator_address, map.operator_port}});
    }
    auto maps = nat::StaticMaps::make(std::move(statics));
    if (!maps) return maps.error().at("translations");
    pools.static_maps = std::move(*maps);
    return pools;
}

}  // namespace sekisho::control

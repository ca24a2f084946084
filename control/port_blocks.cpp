#include "control/port_blocks.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

Error not_covered(const Policy& policy, const Leaf<Ipv4Address>& leaf) {
    for (const auto& [name, institution] : policy.institutions)
        for (const IpPrefix& prefix : institution.operator_prefixes)
            if (prefix == IpPrefix(leaf.inside))
                return Error{ErrorCode::invalid, fmt::format("no port block of operator {} covers {}",
                                                             in_quotes(institution.operator_id), prefix.text())}
                    .at(place_of("institutions", name));
    return {ErrorCode::invalid, fmt::format("no port block covers {}", leaf.inside.text())};
}

}  // namespace

Expected<BehindPools> behind_pools(const Policy& policy, const Numbers& numbers) {
    BehindPools pools;
    for (const auto& [name, translation] : policy.translations) {
        if (translation.kind != TranslationKind::port_block) continue;
        const std::string place = place_of("translations", name);
        const auto owner = numbers.operators.number_of(translation.operator_id);
        if (!owner) return owner.error().at(place);
        if (!translation.hub_prefix.is_ipv4() || !translation.operator_prefix.is_ipv4())
            return Error{ErrorCode::invalid, "port_block is of IPv4 only"}.at(place);
        pools.emplace_back(VrfId(static_cast<VrfId::Value>(*owner)), translation.operator_prefix.ipv4());
    }
    return pools;
}

std::optional<Leaf<Ipv4Address>> find_pools(const BehindPools& pools, Leaves<Ipv4Address>& leaves) {
    for (Leaf<Ipv4Address>& leaf : leaves) {
        bool has_one = false;
        for (std::size_t i = pools.size(); i-- > 0;) {
            if (pools[i].first != leaf.vrf) continue;
            has_one = true;
            if (pools[i].second.contains(leaf.inside)) leaf.pool = static_cast<std::uint16_t>(i + 1);
        }
        if (has_one && !leaf.is_behind()) return leaf;
    }
    std::erase_if(leaves, [](const Leaf<Ipv4Address>& leaf) { return !leaf.is_behind(); });
    return std::nullopt;
}

Expected<std::shared_ptr<dataplane::PortShares>> PortBlocks::shares_of(const Identity& identity, std::uint32_t epoch) {
    auto& known = known_[identity];
    if (auto shares = known.lock()) return shares;
    auto made = dataplane::PortShares::make(identity, workers_, epoch);
    if (made) known = *made;
    return made;
}

Expected<BlockLeaves> PortBlocks::place(const Policy& policy, const Numbers& numbers, const Sides& sides,
                                        Profiles& profiles, dataplane::Tables& tables) {
    BlockLeaves blocks;
    std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
    // 1. The pools.
    const auto pools = behind_pools(policy, numbers);
    if (!pools) return pools.error();
    std::vector<nat::StaticMap> statics;
    for (const auto& [name, translation] : policy.translations) {
        if (translation.kind != TranslationKind::port_block) continue;
        const VrfId vrf = (*pools)[tables.port_pools.size()].first;
        const PortBlock& told = translation.port_block;
        auto shares = shares_of({name, translation.hub_prefix.ipv4(), told.by_institution}, tables.epoch());
        if (!shares) return shares.error().at(place_of("translations", name));
        tables.port_pools.push_back(
            {std::move(*shares), vrf, {told.blocks, told.hold_down, told.parity, told.filtering}});
        blocks.shared.emplace_back(translation.hub_prefix.ipv4(), vrf);
        for (const StaticMap& map : told.static_maps)
            statics.push_back({map.protocol == Protocol::tcp ? nat::PortProtocol::tcp : nat::PortProtocol::udp,
                               {map.hub_address, map.hub_port},
                               dataplane::space_of(vrf),
                               {map.operator_address, map.operator_port}});
    }
    auto maps = nat::StaticMaps::make(std::move(statics));
    if (!maps) return maps.error().at("translations");
    tables.static_maps = std::move(*maps);
    // 2. Who is behind them.
    auto behind = behind_blocks(policy, numbers, sides, profiles);
    if (!behind) return behind.error();
    if (const auto leaf = find_pools(*pools, *behind)) return not_covered(policy, *leaf);
    blocks.leaves = std::move(*behind);
    return blocks;
}

}  // namespace sekisho::control

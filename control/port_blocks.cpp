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
    std::vector<std::pair<VrfId, Prefix4>> maps_of_vrf;  // by pool: what is behind it
    std::vector<nat::StaticMap> statics;
    for (const auto& [name, translation] : policy.translations) {
        if (translation.kind != TranslationKind::port_block) continue;
        const std::string place = place_of("translations", name);
        const auto owner = numbers.operators.number_of(translation.operator_id);
        if (!owner) return owner.error().at(place);
        if (!translation.hub_prefix.is_ipv4() || !translation.operator_prefix.is_ipv4())
            return Error{ErrorCode::invalid, "port_block is of IPv4 only"}.at(place);
        const VrfId vrf(static_cast<VrfId::Value>(*owner));
        const PortBlock& told = translation.port_block;
        auto shares = shares_of({name, translation.hub_prefix.ipv4(), told.by_institution}, tables.epoch());
        if (!shares) return shares.error().at(place);
        tables.port_pools.push_back(
            {std::move(*shares), vrf, {told.blocks, told.hold_down, told.parity, told.filtering}});
        blocks.shared.emplace_back(translation.hub_prefix.ipv4(), vrf);
        maps_of_vrf.emplace_back(vrf, translation.operator_prefix.ipv4());
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
    const auto behind = behind_blocks(policy, numbers, sides, profiles);
    if (!behind) return behind.error();
    for (const Leaf<Ipv4Address>& leaf : *behind) {
        const auto is_its = [&](const auto& each) { return each.first == leaf.vrf; };
        if (std::none_of(maps_of_vrf.begin(), maps_of_vrf.end(), is_its)) continue;  // another node's
        const auto at = std::find_if(maps_of_vrf.begin(), maps_of_vrf.end(), [&](const auto& each) {
            return is_its(each) && each.second.contains(leaf.inside);
        });
        if (at == maps_of_vrf.end()) return not_covered(policy, leaf);
        blocks.leaves.push_back(leaf);
        blocks.pools.push_back(static_cast<std::uint16_t>(at - maps_of_vrf.begin() + 1));
    }
    return blocks;
}

}  // namespace sekisho::control

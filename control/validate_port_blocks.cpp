// Port blocks: who is behind which, what leads to a server, and whether the addresses have ports for all (clause 2-4).
// Compiler thread.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "control/findings.hpp"
#include "control/policy_reader.hpp"
#include "nat/port_block.hpp"

namespace sekisho::control {

namespace {

constexpr int kLongestPool = 24;  // the length of the prefix: 256 addresses
constexpr std::uint64_t kLentBlocks = nat::kBlocksOfAddress - 1024 / nat::kBlockPorts;  // of an address; low ones apart

// Blocks for all at once, and as many at rest: an address that is given back and wanted again must not be waited for.
void check_size(const Translation& translation, ObjectFindings& about) {
    const Prefix4& shared = translation.hub_prefix.ipv4();
    if (shared.length() < kLongestPool)
        return about.wrong("hub_prefix", shared.text() + " is more than 256 addresses; say several translations");
    const PortBlock& block = translation.port_block;
    const std::uint64_t has = (std::uint64_t{1} << (32 - shared.length())) * kLentBlocks;
    const std::uint64_t needs = std::uint64_t{block.subscribers} * block.blocks;
    if (2 * needs <= has) return;
    about.wrong("port_block", std::to_string(block.subscribers) + " subscribers with " + std::to_string(block.blocks) +
                                  " blocks each, and as many at rest for the hold-down, are " +
                                  std::to_string(2 * needs) + " blocks; hub_prefix " + shared.text() + " has " +
                                  std::to_string(has));
}

void check_statics(const Translation& translation, const PrefixSets* behind, ObjectFindings& about) {
    std::set<std::tuple<Protocol, Ipv4Address, std::uint16_t>> outside, inside;
    const auto& maps = translation.port_block.static_maps;
    for (std::size_t i = 0; i < maps.size(); ++i) {
        const StaticMap& map = maps[i];
        const std::string field = indexed("port_block.static_maps", i);
        if (!translation.hub_prefix.ipv4().contains(map.hub_address))
            about.wrong(field + ".hub_address",
                        map.hub_address.text() + " is none of hub_prefix " + translation.hub_prefix.text());
        const bool is_owned = behind != nullptr && behind->ipv4.covers(Prefix4(map.operator_address, 32));
        if (!is_owned || !translation.operator_prefix.ipv4().contains(map.operator_address))
            about.wrong(field + ".operator_address",
                        map.operator_address.text() + " is not inside an institution's operator_prefixes behind it");
        if (!outside.emplace(map.protocol, map.hub_address, map.hub_port).second)
            about.wrong(field, map.hub_address.text() + " port " + std::to_string(map.hub_port) + " stands twice");
        if (!inside.emplace(map.protocol, map.operator_address, map.operator_port).second)
            about.wrong(field, map.operator_address.text() + " port " + std::to_string(map.operator_port) +
                                   " has another static map");
    }
}

}  // namespace

BlocksOf blocks_of(const Policy& policy) {
    BlocksOf blocks;
    for (const auto& [id, translation] : policy.translations)
        if (translation.kind == TranslationKind::port_block)
            blocks[translation.operator_id].push_back(translation.operator_prefix);
    return blocks;
}

void check_own_behind(const BlocksOf& blocks, const Institution& institution, ObjectFindings& about) {
    // Where the operator has none here, they are another node's (docs/store.md): a warning tells it.
    const auto of_operator = blocks.find(institution.operator_id);
    if (of_operator == blocks.end()) return;
    for (std::size_t i = 0; i < institution.operator_prefixes.size(); ++i) {
        const IpPrefix& prefix = institution.operator_prefixes[i];
        if (std::none_of(of_operator->second.begin(), of_operator->second.end(),
                         [&](const IpPrefix& block) { return block.contains(prefix); }))
            about.wrong(indexed("operator_prefixes", i), prefix.text() +
                                                             " is not inside one port_block translation of operator " +
                                                             in_quotes(institution.operator_id));
    }
}

Behind check_behind(const Policy& policy, Findings& findings) {
    const BlocksOf blocks = blocks_of(policy);
    std::map<std::string_view, std::vector<Claim>> claims;
    for (const auto& [id, institution] : policy.institutions) {
        if (institution.operator_prefixes.empty()) continue;
        ObjectFindings about(findings, "institutions", id);
        check_own_behind(blocks, institution, about);
        auto& of_operator = claims[institution.operator_id];
        for (std::size_t i = 0; i < institution.operator_prefixes.size(); ++i)
            of_operator.push_back({institution.operator_prefixes[i], "institutions", id, "operator_prefixes", i,
                                   institution.operator_id});
    }
    Behind behind;
    for (auto& [id, of_operator] : claims)
        behind.emplace(id, AddressSpace(std::move(of_operator), [&](const Claim& cover, const Claim& claim) {
                               findings.add(
                                   ErrorCode::invalid, claim.place(),
                                   claim.prefix.text() + " overlaps " + cover.prefix.text() + " of " + cover.place());
                           }).prefixes());
    return behind;
}

void check_port_blocks(const Policy& policy, const Behind& behind, Findings& findings) {
    for (const auto& [id, translation] : policy.translations) {
        if (translation.kind != TranslationKind::port_block) continue;
        ObjectFindings about(findings, "translations", id);
        if (!translation.hub_prefix.is_ipv4() || !translation.operator_prefix.is_ipv4()) {
            about.wrong("kind", "port_block is of IPv4 only");
            continue;
        }
        check_size(translation, about);
        const auto of_operator = behind.find(translation.operator_id);
        check_statics(translation, of_operator == behind.end() ? nullptr : &of_operator->second, about);
    }
}

}  // namespace sekisho::control

// Port blocks: who is behind which, what leads to a server, and whether the addresses have ports for all (clause 2-4).
// Compiler thread.
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

void check_statics(const Translation& translation, const AddressSpace& behind, ObjectFindings& about) {
    std::set<std::tuple<Protocol, Ipv4Address, std::uint16_t>> outside, inside;
    const auto& maps = translation.port_block.static_maps;
    for (std::size_t i = 0; i < maps.size(); ++i) {
        const StaticMap& map = maps[i];
        const std::string field = indexed("port_block.static_maps", i);
        if (!translation.hub_prefix.ipv4().contains(map.hub_address))
            about.wrong(field + ".hub_address",
                        map.hub_address.text() + " is none of hub_prefix " + translation.hub_prefix.text());
        const Claim* const owner = behind.covering(Prefix4(map.operator_address, 32));
        if (owner == nullptr || !translation.operator_prefix.ipv4().contains(map.operator_address))
            about.wrong(field + ".operator_address",
                        map.operator_address.text() + " is not inside an institution's operator_prefixes behind it");
        if (!outside.emplace(map.protocol, map.hub_address, map.hub_port).second)
            about.wrong(field, map.hub_address.text() + " port " + std::to_string(map.hub_port) + " stands twice");
        if (!inside.emplace(map.protocol, map.operator_address, map.operator_port).second)
            about.wrong(field, map.operator_address.text() + " port " + std::to_string(map.operator_port) +
                                   " has another static map");
    }
}

// By operator, what its institutions have behind blocks.
std::map<std::string_view, AddressSpace> behind_of(const Policy& policy, Findings& findings) {
    std::map<std::string_view, std::vector<Claim>> claims;
    for (const auto& [id, institution] : policy.institutions) {
        ObjectFindings about(findings, "institutions", id);
        for (std::size_t i = 0; i < institution.operator_prefixes.size(); ++i) {
            const IpPrefix& prefix = institution.operator_prefixes[i];
            bool is_behind = false;
            for (const auto& [name, translation] : policy.translations)
                is_behind = is_behind || (translation.kind == TranslationKind::port_block &&
                                          translation.operator_id == institution.operator_id &&
                                          translation.operator_prefix.contains(prefix));
            if (!is_behind)
                about.wrong(indexed("operator_prefixes", i), prefix.text() +
                                                                 " is not inside one port_block translation "
                                                                 "of operator " +
                                                                 in_quotes(institution.operator_id));
            claims[institution.operator_id].push_back(
                {prefix, "institutions", id, "operator_prefixes", i, institution.operator_id});
        }
    }
    std::map<std::string_view, AddressSpace> spaces;
    for (auto& [id, of] : claims)
        spaces.try_emplace(id, std::move(of), [&](const Claim& cover, const Claim& claim) {
            findings.add(ErrorCode::invalid, claim.place(),
                         claim.prefix.text() + " overlaps " + cover.prefix.text() + " of " + cover.place());
        });
    return spaces;
}

}  // namespace

void check_port_blocks(const Policy& policy, Findings& findings) {
    const auto behind = behind_of(policy, findings);
    static const AddressSpace kNobody({}, [](const Claim&, const Claim&) {});
    for (const auto& [id, translation] : policy.translations) {
        if (translation.kind != TranslationKind::port_block) continue;
        ObjectFindings about(findings, "translations", id);
        if (!translation.hub_prefix.is_ipv4() || !translation.operator_prefix.is_ipv4()) {
            about.wrong("kind", "port_block is of IPv4 only");
            continue;
        }
        check_size(translation, about);
        const auto of_operator = behind.find(translation.operator_id);
        check_statics(translation, of_operator == behind.end() ? kNobody : of_operator->second, about);
    }
}

}  // namespace sekisho::control

// Hub numbers: pools, translations and the institutions' prefixes, each inside the other and nobody's twice (clauses
// 2-3, 2-4). Compiler thread.
#include <map>
#include <set>

#include "control/allocations.hpp"
#include "control/findings.hpp"
#include "control/policy_reader.hpp"

namespace sekisho::control {

namespace {

std::string both(const Claim& cover, const Claim& claim) {
    return claim.prefix.text() + " overlaps " + cover.prefix.text() + " of " + cover.place();
}

AddressSpace check_pools(const Policy& policy, Findings& findings) {
    std::vector<Claim> claims;
    for (std::size_t i = 0; i < policy.hub_pools.size(); ++i) {
        const IpPrefix& pool = policy.hub_pools[i];
        if (const auto why = unusable(pool))
            findings.add(ErrorCode::invalid, "hub ." + indexed("pools", i), pool.text() + " " + std::string(*why));
        claims.push_back({pool, "hub", "", "pools", i, ""});
    }
    return {std::move(claims), [&](const Claim& cover, const Claim& claim) {
                findings.add(ErrorCode::invalid, claim.place(), both(cover, claim));
            }};
}

void check_translation(const Policy& policy, const Translation& translation, const AddressSpace& pools,
                       const AddressSpace& allocations, ObjectFindings& about) {
    const IpPrefix& operators = translation.operator_prefix;
    const IpPrefix& hub = translation.hub_prefix;
    if (!policy.operators.contains(translation.operator_id))
        about.dangling("operator", "operator", translation.operator_id);
    if (translation.kind == TranslationKind::family)
        about.unsupported("kind " + std::string(name_of(translation.kind)), R"(say "kind": "prefix_map")");
    if (const auto why = unusable(operators))
        about.wrong("operator_prefix", operators.text() + " " + std::string(*why));
    if (operators.family() != hub.family())
        about.wrong("hub_prefix", hub.text() + " and operator_prefix " + operators.text() + " differ in family");
    else if (operators.length() != hub.length() && translation.kind != TranslationKind::port_block)
        about.wrong("hub_prefix", hub.text() + " and operator_prefix " + operators.text() + " differ in length");
    if (pools.covering(hub) == nullptr) about.wrong("hub_prefix", hub.text() + " is not inside one of the hub's pools");
    check_allocated(policy, translation, allocations, about);
    // Otherwise an address of the operator's own would look like somebody's hub number.
    if (const Claim* pool = pools.meeting(operators); pool != nullptr && operators != hub)
        about.wrong("operator_prefix", operators.text() + " overlaps the pool " + pool->prefix.text() + " of " +
                                           pool->place() + ", and hub_prefix is not the same");
}

AddressSpace check_translations(const Policy& policy, const AddressSpace& pools, const AddressSpace& allocations,
                                Findings& findings) {
    std::vector<Claim> hub_claims;
    std::map<std::string_view, std::vector<Claim>> operator_claims;
    for (const auto& [id, translation] : policy.translations) {
        ObjectFindings about(findings, "translations", id);
        check_translation(policy, translation, pools, allocations, about);
        hub_claims.push_back(
            {translation.hub_prefix, "translations", id, "hub_prefix", std::nullopt, translation.operator_id});
        operator_claims[translation.operator_id].push_back({translation.operator_prefix, "translations", id,
                                                            "operator_prefix", std::nullopt, translation.operator_id});
    }
    // Nesting is refused as well: the outer map would give the inner one's hosts a second hub number.
    const auto overlap = [&](const Claim& cover, const Claim& claim) {
        findings.add(ErrorCode::invalid, claim.place(), both(cover, claim));
    };
    for (auto& [operator_id, claims] : operator_claims) AddressSpace(std::move(claims), overlap);
    return {std::move(hub_claims), overlap};
}

void check_prefix(const Policy& policy, const Institution& institution, std::size_t index, const HubSpace& hub,
                  ObjectFindings& about) {
    const IpPrefix& prefix = institution.prefixes[index];
    const std::string field = indexed("prefixes", index);
    if (hub.pools.covering(prefix) == nullptr)
        return about.wrong(field, prefix.text() + " is not inside one of the hub's pools");
    const Claim* translation = hub.translations.covering(prefix);
    if (translation != nullptr && translation->owner == institution.operator_id) {
        if (policy.translations.at(translation->id).kind != TranslationKind::port_block) return;
        return about.wrong(field, prefix.text() + " is of " + translation->place() +
                                      ", a port block's, whose addresses are nobody's own; say operator_prefixes");
    }
    std::string words =
        prefix.text() + " is not inside one translation of operator " + in_quotes(institution.operator_id);
    if (translation == nullptr) translation = hub.translations.meeting(prefix);
    if (translation != nullptr)
        words += ": " + translation->place() + " is " + translation->prefix.text() + ", of operator " +
                 in_quotes(translation->owner);
    about.wrong(field, words);
}

}  // namespace

HubSpace check_hub_space(const Policy& policy, Findings& findings) {
    AddressSpace pools = check_pools(policy, findings);
    const AddressSpace allocations = check_allocations(policy, pools, findings);
    AddressSpace translations = check_translations(policy, pools, allocations, findings);
    return {std::move(pools), std::move(translations)};
}

void check_own_numbers(const Policy& policy, const Institution& institution, const HubSpace& hub,
                       ObjectFindings& about) {
    if (institution.prefixes.empty() && institution.operator_prefixes.empty())
        about.wrong("prefixes", "has none (clause 2-3)");
    for (std::size_t i = 0; i < institution.prefixes.size(); ++i) check_prefix(policy, institution, i, hub, about);
}

HubNumbers check_numbers(const Policy& policy, const HubSpace& hub, Findings& findings) {
    std::vector<Claim> claims;
    claims.reserve(policy.institutions.size());
    for (const auto& [id, institution] : policy.institutions) {
        ObjectFindings about(findings, "institutions", id);
        check_own_numbers(policy, institution, hub, about);
        for (std::size_t i = 0; i < institution.prefixes.size(); ++i)
            claims.push_back({institution.prefixes[i], "institutions", id, "prefixes", i, institution.operator_id});
    }
    const AddressSpace space(std::move(claims), [&](const Claim& cover, const Claim& claim) {
        findings.add(ErrorCode::invalid, claim.place(), both(cover, claim));
    });
    HubNumbers numbers{space.prefixes(), check_behind(policy, findings)};
    check_port_blocks(policy, numbers.behind, findings);
    return numbers;
}

}  // namespace sekisho::control

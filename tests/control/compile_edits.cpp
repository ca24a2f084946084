// Random edits of random policies: objects that come, change and go, with what names them, so that the policy stays one
// that compiles.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "tests/control/compile_support.hpp"

namespace sekisho::control::test {

// An attachment: gone with all that names it, changed, or another one for the same tunnel.
void RandomPolicies::edit_attachment(Policy& policy) {
    if (policy.attachments.empty()) return;
    std::uint16_t vlan = 1;
    for (const auto& [name, attachment] : policy.attachments)
        vlan = std::max<std::uint16_t>(vlan, attachment.vlan + 1U);
    const std::string name = any_of(policy.attachments);
    if (one_in(2)) {
        Attachment& changed = policy.attachments[name];
        changed.mtu = static_cast<std::uint16_t>(1280 + below(200));
        if (changed.is_tunnel()) return;
        changed.vlan = one_in(2) ? vlan : changed.vlan;
        changed.port = one_in(2) ? fmt::format("p{}", below(4)) : changed.port;
        changed.reachable_time = static_cast<std::uint16_t>(1 + below(100));
        changed.kernel_interface = one_in(2) ? "k-" + name : "";
        if (changed.underlay) return;
        changed.family = one_in(4) ? FamilyChoice::ipv4 : FamilyChoice::dual;
        return;
    }
    const bool another = policy.attachments.at(name).is_tunnel() && one_in(2);
    drop_attachment(policy, name, another ? name + "-too" : "");
}

// Whatever names it names the other one afterwards, or is gone as well.
void RandomPolicies::drop_attachment(Policy& policy, const std::string& name, const std::string& other) {
    const Attachment gone = policy.attachments.at(name);
    policy.attachments.erase(name);
    if (!other.empty()) (policy.attachments[other] = gone).id = other;
    if (gone.is_tunnel() && other.empty()) policy.tunnels.erase(gone.tunnel);
    if (gone.underlay) {
        const auto attachments = policy.attachments;
        for (const auto& [id, user] : attachments)
            if (user.is_tunnel() && policy.tunnels.at(user.tunnel).underlay == name) drop_attachment(policy, id, "");
    }
    const auto routes = policy.routes;
    for (const auto& [id, route] : routes)
        for (std::size_t i = 0; i < route.nexthops.size() && policy.routes.contains(id); ++i) {
            if (route.nexthops[i].attachment != name) continue;
            if (other.empty())
                policy.routes.erase(id);
            else
                policy.routes[id].nexthops[i].attachment = other;
        }
    const auto institutions = policy.institutions;
    for (const auto& [id, institution] : institutions)
        for (std::size_t i = 0; i < institution.links.size(); ++i) {
            const auto& by = institution.links[i].attachments;
            if (std::find(by.begin(), by.end(), name) == by.end()) continue;
            auto& now = policy.institutions[id].links[i].attachments;
            std::erase(now, name);
            if (!other.empty()) now.push_back(other);
        }
    const auto gates = policy.gates;
    for (const auto& [id, gate] : gates)
        if (gate.target == GateTarget::attachment && gate.target_id == name) policy.gates.erase(id);
}

void RandomPolicies::edit_tunnel(Policy& policy) {
    if (policy.tunnels.empty()) return;
    Tunnel& tunnel = policy.tunnels[any_of(policy.tunnels)];
    const Attachment& line = policy.attachments.at(tunnel.underlay);
    if (one_in(2))
        tunnel.peer = one_in(2) ? IpAddress(Ipv4Address(line.subnet4.address().value() + 2 + below(20)))
                                : IpAddress(Ipv6Address(line.subnet6.address().high(), 2 + below(5)));
    else
        tunnel.replay_window *= 2;
    if (one_in(4)) tunnel.udp.reset();
}

// Translations, most of them of nobody's prefixes, and what people call an operator.
void RandomPolicies::edit_ground(Policy& policy) {
    const std::string id = fmt::format("x{}", below(4));
    switch (below(5)) {
        case 0: policy.translations.erase(id); break;
        case 4: {  // one that somebody may have numbers in: its other side moves
            Translation& moved = policy.translations[any_of(policy.translations)];
            if (moved.operator_prefix == moved.hub_prefix || moved.id[0] == 'x') break;
            if (moved.operator_prefix.is_ipv4())
                moved.operator_prefix = Prefix4(Ipv4Address(moved.operator_prefix.ipv4().address().value() ^ 1U << 14),
                                                moved.operator_prefix.length());
            else
                moved.operator_prefix =
                    Prefix6(Ipv6Address(moved.operator_prefix.ipv6().address().high() ^ 1U << 12, 0),
                            moved.operator_prefix.length());
            break;
        }
        case 1: policy.operators[any_of(policy.operators)].name = fmt::format("called {}", below(100)); break;
        default: {
            const std::string of = any_of(policy.operators);
            const std::string net = std::to_string(below(100));
            const bool ipv4 = one_in(2);
            policy.translations[id] = {id, of, TranslationKind::prefix_map,
                                       prefix(ipv4 ? "10.255." + net + ".0/24" : "fd00:ffff:ff" + net + "::/48"),
                                       prefix(ipv4 ? "198.51." + net + ".0/24" : "3fff:ff" + net + "::/48")};
            for (const auto& [other, translation] : policy.translations)
                if (other != id && translation.hub_prefix == policy.translations.at(id).hub_prefix) {
                    policy.translations.erase(id);
                    break;
                }
        }
    }
}

// An operator, with all that names it. Not one that bears tunnels: others may be by them.
void RandomPolicies::drop_operator(Policy& policy) {
    const std::string gone = any_of(policy.operators);
    const auto bears = [&](const auto& each) { return each.second.operator_id == gone && each.second.underlay; };
    if (policy.operators.size() < 3 || std::any_of(policy.attachments.begin(), policy.attachments.end(), bears)) return;
    std::set<std::string> names{gone};
    const auto drop = [&](auto& objects) {
        const auto all = objects;
        for (const auto& [id, object] : all)
            if (object.operator_id == gone) {
                names.insert(id);
                objects.erase(id);
            }
    };
    const auto attachments = policy.attachments;
    for (const auto& [id, attachment] : attachments)
        if (attachment.operator_id == gone && attachment.is_tunnel()) policy.tunnels.erase(attachment.tunnel);
    drop(policy.attachments);
    drop(policy.institutions);
    drop(policy.translations);
    drop(policy.routes);
    policy.operators.erase(gone);
    const auto agreements = policy.agreements;
    for (const auto& [id, agreement] : agreements) {
        Agreement& left = policy.agreements[id];
        for (auto* list : {&left.client_operators, &left.client_institutions, &left.service_institutions})
            std::erase_if(*list, [&](const std::string& name) { return names.contains(name); });
    }
    const auto gates = policy.gates;
    for (const auto& [id, gate] : gates)
        if (names.contains(gate.target_id)) policy.gates.erase(id);
}

void RandomPolicies::edit(Policy& policy) {
    const auto drop = [&](auto& objects) {
        if (!objects.empty()) objects.erase(any_of(objects));
    };
    const auto drop_gates = [&](const auto& is_gone) {
        const auto all = policy.gates;
        for (const auto& [name, gate] : all)
            if (is_gone(gate)) policy.gates.erase(name);
    };
    switch (below(22)) {
        case 0: add_random_operator(policy); break;
        case 1:
            if (one_in(2))
                add_random_tunnel(policy);
            else
                add_random_attachment(policy);
            break;
        case 2:
        case 3: add_random_institution(policy); break;
        case 4:
        case 5:
        case 6: add_random_agreement(policy); break;
        case 7:
        case 8: add_random_route(policy); break;
        case 9: add_random_gate(policy); break;
        case 10:
        case 11: drop(policy.agreements); break;
        case 12: {  // not the way to a tunnel's peer: another would take its place that is no underlay's
            if (policy.routes.empty()) break;
            const std::string gone = any_of(policy.routes);
            const auto& nexthops = policy.routes.at(gone).nexthops;
            if (std::none_of(nexthops.begin(), nexthops.end(),
                             [&](const auto& hop) { return policy.attachments.at(hop.attachment).underlay; }))
                policy.routes.erase(gone);
            break;
        }
        case 13: drop(policy.gates); break;
        case 14: {  // an institution, with all that names it
            if (policy.institutions.empty()) break;
            const std::string gone = any_of(policy.institutions);
            policy.institutions.erase(gone);
            drop_gates([&](const Gate& gate) { return gate.target_id == gone; });
            const auto all = policy.agreements;
            for (const auto& [name, agreement] : all) {
                const auto names = [&](const std::vector<std::string>& of) {
                    return std::find(of.begin(), of.end(), gone) != of.end();
                };
                if (names(agreement.client_institutions)) std::erase(policy.agreements[name].client_institutions, gone);
                if (names(agreement.service_institutions))
                    std::erase(policy.agreements[name].service_institutions, gone);
            }
            break;
        }
        case 15:
        case 16: edit_attachment(policy); break;
        case 17: edit_tunnel(policy); break;
        case 19: edit_ground(policy); break;
        case 20: drop_operator(policy); break;
        case 18:  // several kinds at once
            for (int i = 0; i < 4; ++i) edit(policy);
            break;
        default: {  // the prefixes of an institution
            if (policy.institutions.empty()) break;
            Institution& changed = policy.institutions.at(any_of(policy.institutions));
            if (!changed.prefixes.empty()) changed.prefixes.pop_back();
        }
    }
    drop_gates([&](const Gate& gate) {
        return gate.target == GateTarget::agreement && !policy.agreements.contains(gate.target_id);
    });
}

}  // namespace sekisho::control::test

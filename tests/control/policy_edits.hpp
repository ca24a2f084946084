// Random edits of policies for tests of validation, not all of them fitting.
#pragma once

#include <iterator>
#include <string>

#include "control/policy.hpp"
#include "tests/support/random.hpp"

namespace sekisho::control {

inline IpPrefix prefix_from(const std::string& text) {
    return IpPrefix::parse(text).value();
}

// Random edits of the example with three operators: institutions and agreements above all, not all of them fitting.
class PolicyEditor {
  public:
    explicit PolicyEditor(sekisho::test::Random& random) : random_(random) {}

    void edit(Policy& policy) {
        switch (below(18)) {
            case 0:
            case 1:
            case 2: return add_institution(policy);
            case 3: return drop(policy.institutions);
            case 4: return move(policy);
            case 5: return swap(policy);
            case 6:
            case 7: return add_agreement(policy);
            case 8: return drop(policy.agreements);
            case 9: return below(2) == 0 ? add_gate(policy) : drop(policy.gates);
            case 10: return below(2) == 0 ? relink(policy) : hide(policy);
            case 11:
            case 12: return add_line(policy);
            case 13: return add_tunnel(policy);
            case 14: return change_line(policy);
            case 15:
            case 16: return change_ground(policy);
            default: return disturb(policy);
        }
    }

  private:
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_.below(limit)); }
    template <class Map>
    std::string any_of(const Map& objects) {
        return std::next(objects.begin(), below(static_cast<std::uint32_t>(objects.size())))->first;
    }
    template <class Map>
    void drop(Map& objects) {
        if (!objects.empty()) objects.erase(any_of(objects));
    }
    // Of the operator's own, most often.
    IpPrefix some_prefix(const std::string& of) {
        const int net = below(12) == 0 ? 70 : of == "kita" ? 64 : of == "minami" ? 65 : 66;
        const std::uint32_t length = 26 + below(4);
        const std::uint32_t host = (below(256) >> (32 - length)) << (32 - length);
        return prefix_from("100." + std::to_string(net) + "." + std::to_string(of == "chuo" ? 0 : below(4)) + "." +
                           std::to_string(host & 0xff) + "/" + std::to_string(length));
    }
    void add_institution(Policy& policy) {
        const std::string of = any_of(policy.operators);
        Institution added;
        added.id = "added-" + std::to_string(below(30));
        added.operator_id = of;
        added.prefixes = {some_prefix(of)};
        if (below(3) == 0) added.prefixes.push_back(some_prefix(of));
        added.links = {{LinkMethod::ip_vpn, "", {of + "-1"}}};
        policy.institutions[added.id] = added;
    }
    void move(Policy& policy) {
        if (policy.institutions.empty()) return;
        Institution& moved = policy.institutions[any_of(policy.institutions)];
        moved.prefixes = {some_prefix(moved.operator_id)};
    }
    void swap(Policy& policy) {
        if (policy.institutions.size() < 2) return;
        const std::string a = any_of(policy.institutions), b = any_of(policy.institutions);
        if (a == b) return;
        std::swap(policy.institutions[a].prefixes, policy.institutions[b].prefixes);
    }
    void add_agreement(Policy& policy) {
        if (policy.institutions.empty()) return;
        Agreement added;
        added.id = "agreed-" + std::to_string(below(20));
        added.ports = {{443, 443}};
        const std::string client = any_of(policy.institutions);
        const auto& prefixes = policy.institutions.at(client).prefixes;
        if (prefixes.empty() || below(2) == 0)
            added.client_institutions = {client};
        else
            added.client_prefixes = {prefixes[0]};
        added.service_institutions = {any_of(policy.institutions)};
        if (below(4) == 0) added.state = AgreementState::stateless;
        policy.agreements[added.id] = added;
    }
    void add_gate(Policy& policy) {
        Gate added;
        added.id = "gate-" + std::to_string(below(5));
        added.reason = GateReason::emergency;
        added.target = below(2) == 0 && !policy.institutions.empty() ? GateTarget::institution : GateTarget::operator_;
        added.target_id =
            added.target == GateTarget::institution ? any_of(policy.institutions) : any_of(policy.operators);
        policy.gates[added.id] = added;
    }
    // Behind the port block, or elsewhere, or no more; in little room.
    void hide(Policy& policy) {
        if (policy.institutions.empty()) return;
        Institution& hidden = policy.institutions[any_of(policy.institutions)];
        hidden.operator_prefixes.clear();
        if (below(3) == 0) return;
        const int net = below(10) == 0 ? 8 : 9;
        const std::uint32_t length = 22 + below(4);
        const std::uint32_t third = below(32) >> (length < 24 ? 24 - length : 0) << (length < 24 ? 24 - length : 0);
        hidden.operator_prefixes = {
            prefix_from("10." + std::to_string(net) + "." + std::to_string(third) + ".0/" + std::to_string(length))};
    }
    void relink(Policy& policy) {
        if (policy.institutions.empty()) return;
        policy.institutions[any_of(policy.institutions)].links = {
            {LinkMethod::ip_vpn, "", {below(4) == 0 ? "nowhere" : any_of(policy.attachments)}}};
    }
    // Of little room, so that they get in each other's way.
    void add_line(Policy& policy) {
        Attachment added = policy.attachments.begin()->second;
        added.id = "line-" + std::to_string(below(12));
        added.operator_id = any_of(policy.operators);
        added.tunnel.clear();
        added.protection = Protection::none;
        added.session_management = SessionManagement::none;
        added.underlay = below(6) == 0;
        added.vlan = static_cast<std::uint16_t>(1000 + below(20));
        place(added, (198U << 24) | (18U << 16) | below(12) << 8, below(5) == 0 ? 22 : 28);
        policy.attachments[added.id] = added;
        if (below(10) != 0 || added.underlay) return;
        Route route{added.operator_id, added.subnet4, false, {}};
        route.nexthops.push_back({added.id, std::nullopt, false});
        policy.routes[route.id()] = route;
    }
    void place(Attachment& attachment, std::uint32_t network, int length) {
        attachment.family = FamilyChoice::ipv4;
        attachment.subnet4 = Prefix4(Ipv4Address(network), length);
        attachment.ipv4 = Ipv4Address(attachment.subnet4.address().value() + (length < 31 ? 1 : 0));
        attachment.ipv6.reset();
    }
    void add_tunnel(Policy& policy) {
        Tunnel tunnel;
        tunnel.id = "tunnel-" + std::to_string(below(8));
        tunnel.underlay = any_of(policy.attachments);
        for (const auto& [id, attachment] : policy.attachments)
            if (attachment.underlay && below(2) == 0) tunnel.underlay = id;
        const Attachment underlay = policy.attachments.at(tunnel.underlay);
        tunnel.peer = Ipv4Address(underlay.subnet4.address().value() + 2 + below(3));
        tunnel.selectors = {{Prefix4(), Prefix4()}};
        if (below(2) == 0) tunnel.udp = UdpEncapsulation{4500, static_cast<std::uint16_t>(4500 + below(2)), 0};
        Attachment added = underlay;
        added.id = below(8) == 0 ? "by-another" : "by-" + tunnel.id;
        added.tunnel = tunnel.id;
        added.underlay = false;
        added.protection = Protection::esp;
        added.mtu = 0;
        place(added, (198U << 24) | (19U << 16) | below(200), 32);
        policy.attachments[added.id] = added;
        if (below(8) != 0) policy.tunnels[tunnel.id] = tunnel;
    }
    void change_line(Policy& policy) {
        Attachment& line = policy.attachments[any_of(policy.attachments)];
        if (!policy.tunnels.empty() && below(3) == 0) {
            Tunnel& tunnel = policy.tunnels[any_of(policy.tunnels)];
            if (below(4) == 0) return drop(policy.tunnels);
            if (below(2) == 0) tunnel.replay_window = 64U << below(8) | (below(6) == 0 ? 1U : 0U);
            if (below(2) == 0) tunnel.peer = Ipv4Address(line.subnet4.address().value() + below(4));
            return;
        }
        switch (below(6)) {
            case 0: line.mtu = static_cast<std::uint16_t>(1200 + below(400)); return;
            case 1: line.vlan = static_cast<std::uint16_t>(1000 + below(20)); return;
            case 2:
                line.reachable_time = static_cast<std::uint16_t>(below(40));
                if (below(2) == 0) line.kernel_interface = below(8) == 0 ? "lo" : "tap-" + std::to_string(below(4));
                return;
            case 3: line.family = FamilyChoice::dual; return;
            case 4: line.underlay = !line.underlay; return;
            default: place(line, (198U << 24) | (18U << 16) | below(12) << 8, 28);
        }
    }
    // Translations that may be in somebody's way, and operators.
    void change_ground(Policy& policy) {
        Operator& changed = policy.operators[any_of(policy.operators)];
        if (below(4) == 0) {
            changed.name = "called " + std::to_string(below(100));
            if (below(6) == 0) changed.certification.valid_until = "2020-01-01";
            if (below(6) == 0) changed.network_namespace = "space-" + std::to_string(below(3));
            return;
        }
        if (below(3) == 0) return change_blocks(policy);
        Translation added;
        added.id = "translation-" + std::to_string(below(4));
        if (below(4) == 0) {
            policy.translations.erase(added.id);
            return;
        }
        added.operator_id = changed.id;
        const std::string net = std::to_string(below(8));
        added.hub_prefix = prefix_from((below(6) == 0 ? "100.64." : "100.99.") + net + ".0/24");
        added.operator_prefix =
            below(3) == 0 ? prefix_from("198.18." + net + ".0/24") : prefix_from("10.99." + net + ".0/24");
        if (below(8) == 0) added.operator_prefix = added.hub_prefix;
        policy.translations[added.id] = added;
    }
    // Port blocks that come, go and change, and translations that institutions have numbers in.
    void change_blocks(Policy& policy) {
        Translation& changed =
            policy.translations[below(2) == 0 || policy.translations.empty() ? "shared" : any_of(policy.translations)];
        if (changed.id.empty()) {
            changed.id = "shared";
            changed.operator_id = "kita";
            changed.kind = TranslationKind::port_block;
        }
        const std::string net = std::to_string(below(32));
        const bool is_block = changed.kind == TranslationKind::port_block;
        switch (below(6)) {
            case 0: changed.operator_prefix = prefix_from(is_block ? "10.9.0.0/16" : "10.77." + net + ".0/24"); return;
            case 1:
                if (is_block)
                    changed.hub_prefix = prefix_from("100.98.0." + std::to_string(2 * below(4)) + "/31");
                else
                    for (IpPrefix* const side : {&changed.hub_prefix, &changed.operator_prefix})  // half of it
                        *side = prefix_from(side->text().substr(0, side->text().find('/') + 1) +
                                            std::to_string(side->length() + 1));
                return;
            case 2: changed.port_block.static_maps.clear(); return;
            case 3:
                changed.port_block.static_maps = {{Protocol::tcp, *Ipv4Address::parse("100.98.0.1"), 8443,
                                                   *Ipv4Address::parse("10.9." + net + ".9"), 443}};
                return;
            case 4: {
                Translation other = changed;
                other.id = "shared-too";
                other.kind = TranslationKind::port_block;
                other.operator_id = any_of(policy.operators);
                other.operator_prefix = prefix_from(below(2) == 0 ? "10.9.0.0/16" : "10.8.0.0/16");
                other.hub_prefix = prefix_from("100.98.1.0/31");
                other.port_block.subscribers = 1;
                other.port_block.static_maps.clear();
                policy.translations[other.id] = other;
                return;
            }
            default:
                if (below(2) == 0) policy.translations.erase(std::string(changed.id));
        }
    }
    // An operator that few things are of: it may well go.
    void change_newcomer(Policy& policy) {
        const std::string id = "newcomer-" + std::to_string(below(3));
        if (policy.operators.erase(id) == 0) policy.operators[id].id = id;
    }
    // What others lean on.
    void disturb(Policy& policy) {
        switch (below(5)) {
            case 0: return below(3) == 0 ? drop(policy.operators) : change_newcomer(policy);
            case 1: return drop(policy.attachments);
            case 2: return drop(policy.translations);
            case 3: return drop(policy.routes);
            default: policy.attachments[any_of(policy.attachments)].operator_id = any_of(policy.operators);
        }
    }

    sekisho::test::Random& random_;
};

// Somebody of kita's is behind a port block, with a server that has a port of its own.
inline void add_port_block(Policy& policy) {
    Translation shared;
    shared.id = "shared";
    shared.operator_id = "kita";
    shared.kind = TranslationKind::port_block;
    shared.operator_prefix = prefix_from("10.9.0.0/16");
    shared.hub_prefix = prefix_from("100.98.0.0/31");
    shared.port_block.subscribers = 1;
    shared.port_block.static_maps = {
        {Protocol::tcp, *Ipv4Address::parse("100.98.0.1"), 8443, *Ipv4Address::parse("10.9.1.9"), 443}};
    policy.translations[shared.id] = shared;
    Institution hidden;
    hidden.id = "hidden";
    hidden.operator_id = "kita";
    hidden.operator_prefixes = {prefix_from("10.9.1.0/24")};
    hidden.links = {{LinkMethod::ip_vpn, "", {"kita-1"}}};
    policy.institutions[hidden.id] = hidden;
    policy.agreements.at("kita-eligibility").state = AgreementState::tracked;
}

}  // namespace sekisho::control

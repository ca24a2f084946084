// Policies in a few words, for the tests of the compiler.
#include <map>
#include <stdexcept>

#include "tests/control/compile_support.hpp"

namespace sekisho::control::test {

IpPrefix prefix(std::string_view text) {
    return IpPrefix::parse(text).value();
}
IpAddress address(std::string_view text) {
    return IpAddress::parse(text).value();
}

NodePorts ports() {
    return {[](std::string_view name) -> std::optional<PortId> {
                if (name.size() != 2 || name[0] != 'p' || name[1] < '0' || name[1] > '3') return std::nullopt;
                return PortId(static_cast<std::uint16_t>(name[1] - '0'));
            },
            4, [](PortId) -> std::uint16_t { return 8900; }};
}

Operator& add_operator(Policy& policy, const std::string& id) {
    Operator& added = policy.operators[id];
    added.id = id;
    return added;
}

Attachment& add_attachment(Policy& policy, const std::string& id, const std::string& of, std::string_view subnet) {
    std::uint16_t vlan = 1;
    for (const auto& [name, other] : policy.attachments) vlan = std::max<std::uint16_t>(vlan, other.vlan + 1U);
    Attachment& added = policy.attachments[id];
    added.id = id;
    added.operator_id = of;
    added.port = "p0";
    added.vlan = vlan;
    added.subnet4 = prefix(subnet).ipv4();
    added.ipv4 = Ipv4Address(added.subnet4.address().value() + 1);
    added.subnet6 = Prefix6(Ipv6Address(0xfd00'ffff'0000'0000ULL | vlan, 0), 64);
    added.ipv6 = Ipv6Address(added.subnet6.address().high(), 1);
    added.link_local = Ipv6Address(0xfe80'0000'0000'0000ULL, 1);
    added.mac = MacAddress({2, 0, 0, 0, static_cast<std::uint8_t>(vlan >> 8), static_cast<std::uint8_t>(vlan)});
    return added;
}

Translation& add_translation(Policy& policy, const std::string& id, const std::string& of, std::string_view inside,
                             std::string_view hub) {
    Translation& added = policy.translations[id];
    added.id = id;
    added.operator_id = of;
    added.operator_prefix = prefix(inside);
    added.hub_prefix = prefix(hub);
    return added;
}

Institution& add_institution(Policy& policy, const std::string& id, const std::string& of,
                             std::initializer_list<std::string_view> prefixes,
                             std::initializer_list<std::string> attachments) {
    Institution& added = policy.institutions[id];
    added.id = id;
    added.operator_id = of;
    for (const std::string_view text : prefixes) added.prefixes.push_back(prefix(text));
    added.links.emplace_back().attachments = attachments;
    return added;
}

Agreement& add_agreement(Policy& policy, const std::string& id, Protocol protocol, std::vector<PortRange> ports) {
    Agreement& added = policy.agreements[id];
    added.id = id;
    added.protocol = protocol;
    added.ports = std::move(ports);
    added.state = AgreementState::stateless;
    return added;
}

Route& add_route(Policy& policy, const std::string& of, std::string_view text, const std::string& attachment,
                 std::string_view gateway) {
    Route route;
    route.operator_id = of;
    route.prefix = prefix(text);
    if (attachment.empty())
        route.blackhole = true;
    else
        route.nexthops.push_back({attachment, gateway.empty() ? std::nullopt : IpAddress::parse(gateway)});
    return policy.routes[route.id()] = route;
}

Gate& add_gate(Policy& policy, const std::string& id, GateTarget target, const std::string& target_id) {
    Gate& added = policy.gates[id];
    added.id = id;
    added.target = target;
    added.target_id = target_id;
    return added;
}

Policy two_operators() {
    Policy policy;
    policy.rules_version = "1";
    policy.hub_pools = {prefix("100.64.0.0/10"), prefix("2001:db8::/32")};
    for (const std::string id : {"kita", "minami"}) {
        const std::string hub = id == "kita" ? "64" : "65";
        add_operator(policy, id);
        add_attachment(policy, id + "-line", id, "192.168.0.0/24");
        add_translation(policy, id + "-4", id, "10.1.0.0/16", "100." + hub + ".0.0/16");
        add_translation(policy, id + "-6", id, "fd00:1::/48", "2001:db8:" + hub + "::/48");
        add_institution(policy, id + "-clinic", id, {"100." + hub + ".1.0/24", "2001:db8:" + hub + ":1::/64"},
                        {id + "-line"});
        add_route(policy, id, "10.0.0.0/8", id + "-line", "192.168.0.2");
        add_route(policy, id, "fd00::/16", id + "-line", "fe80::2");
    }
    Agreement& agreement = add_agreement(policy, "records", Protocol::tcp, {{443, 443}});
    agreement.client_operators = {"kita"};
    agreement.service_institutions = {"minami-clinic"};
    return policy;
}

Compiled compile(Compiler& compiler, const Policy& policy, std::chrono::system_clock::time_point now) {
    static std::uint64_t generation = 0;
    auto compiled = compiler.compile(policy, ++generation, now);
    if (!compiled) throw std::runtime_error(compiled.error().words);
    return std::move(*compiled);
}

std::ostream& operator<<(std::ostream& out, const Question& question) {
    return out << question.attachment << ": " << question.source.text() << " port " << question.source_port << " to "
               << question.destination.text() << " port " << question.destination_port << ", protocol "
               << int{question.protocol} << (question.answers ? ", an answer" : "");
}

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
    return out << "open " << answer.open << " serves " << answer.serves << " from \"" << answer.source_institution
               << "\" may use " << answer.may_use << " closed " << answer.source_closed << " as "
               << answer.source_in_hub << " to \"" << answer.destination_institution << "\" closed "
               << answer.destination_closed << " as " << answer.destination_inside << " of \""
               << answer.destination_operator << "\" by \"" << answer.way << "\" forward " << answer.forward
               << " reverse " << answer.reverse << " tracked " << answer.tracked << " passes " << answer.passes;
}

}  // namespace sekisho::control::test

// The same question answered from the policy's objects, one after the other: no tables, no classes, no sharing.
#include <algorithm>

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "net/headers.hpp"
#include "tests/control/compile_support.hpp"

namespace sekisho::control::test {
namespace {

using Time = std::chrono::system_clock::time_point;

bool holds(const IpPrefix& prefix, const IpAddress& address) {
    if (prefix.family() != address.family()) return false;
    return prefix.is_ipv4() ? prefix.ipv4().contains(address.ipv4()) : prefix.ipv6().contains(address.ipv6());
}
bool any_holds(const std::vector<IpPrefix>& prefixes, const IpAddress& address) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const IpPrefix& prefix) { return holds(prefix, address); });
}
bool names(const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}
bool in_time(const std::string& from, const std::string& until, Time now) {
    return (from.empty() || parse_time(from).value() <= now) && (until.empty() || now < parse_time(until).value());
}

// `address` with the network bits of `to` instead of its own.
IpAddress moved(const IpAddress& address, const IpPrefix& to) {
    if (address.is_ipv4()) return to.ipv4().address() | (address.ipv4() & ~to.ipv4().mask());
    return to.ipv6().address() | (address.ipv6() & ~to.ipv6().mask());
}

bool gated(const Policy& policy, Time now, GateTarget target, const std::string& name) {
    return std::any_of(policy.gates.begin(), policy.gates.end(), [&](const auto& entry) {
        const Gate& gate = entry.second;
        return gate.target == target && (target == GateTarget::node || gate.target_id == name) &&
               in_time(gate.from, gate.until, now);
    });
}

const Institution* owner_of(const Policy& policy, const IpAddress& in_hub) {
    for (const auto& [name, institution] : policy.institutions)
        if (any_holds(institution.prefixes, in_hub)) return &institution;
    return nullptr;
}

bool is_closed(const Policy& policy, Time now, const Institution& institution) {
    return gated(policy, now, GateTarget::node, "") ||
           gated(policy, now, GateTarget::operator_, institution.operator_id) ||
           gated(policy, now, GateTarget::institution, institution.id);
}

std::string line_to(const Attachment& attachment) {
    return (attachment.is_tunnel() ? "tunnel " : "connected ") + attachment.id;
}

std::string way_to(const Policy& policy, const std::string& of, const IpAddress& inside) {
    int longest = -1;
    std::string way = "none";
    for (const auto& [name, route] : policy.routes) {
        if (route.operator_id != of || !holds(route.prefix, inside) || route.prefix.length() <= longest) continue;
        longest = route.prefix.length();
        if (route.blackhole)
            way = "blackhole";
        else if (route.nexthops[0].gateway)
            way = "gateway " + route.nexthops[0].attachment + " " + route.nexthops[0].gateway->text();
        else
            way = line_to(policy.attachments.at(route.nexthops[0].attachment));
    }
    for (const auto& [name, attachment] : policy.attachments) {
        if (attachment.operator_id != of || !attachment.serves(inside.family())) continue;
        const IpPrefix subnet = inside.is_ipv4() ? IpPrefix(attachment.subnet4) : IpPrefix(attachment.subnet6);
        if (!holds(subnet, inside) || subnet.length() <= longest) continue;
        longest = subnet.length();
        way = line_to(attachment);
    }
    return way;
}

bool is_client(const Agreement& agreement, const Institution& institution, const IpAddress& in_hub) {
    return names(agreement.client_operators, institution.operator_id) ||
           names(agreement.client_institutions, institution.id) || any_holds(agreement.client_prefixes, in_hub);
}
bool is_service(const Agreement& agreement, const Institution& institution, const IpAddress& in_hub) {
    return names(agreement.service_institutions, institution.id) || any_holds(agreement.service_prefixes, in_hub);
}
bool covers(const Agreement& agreement, std::uint8_t protocol, std::uint16_t port) {
    const bool echo = protocol == kProtocolIcmp || protocol == kProtocolIcmpv6;
    const bool in_ports = std::any_of(agreement.ports.begin(), agreement.ports.end(), [&](const PortRange& range) {
        return range.first <= port && port <= range.last;
    });
    switch (agreement.protocol) {
        case Protocol::any: return true;
        case Protocol::icmp_echo: return echo;
        case Protocol::tcp: return protocol == kProtocolTcp && in_ports;
        case Protocol::udp: return protocol == kProtocolUdp && in_ports;
    }
    return false;
}

}  // namespace

std::string tunnel_of(const Policy& policy, const std::string& attachment) {
    const Attachment& user = policy.attachments.at(attachment);
    if (!user.is_tunnel()) return "none";
    const Tunnel& tunnel = policy.tunnels.at(user.tunnel);
    const Attachment& underlay = policy.attachments.at(tunnel.underlay);
    const bool ipv4 = tunnel.peer.is_ipv4();
    unsigned mtu = user.mtu;  // unless it is told, the longest that fits with header, IV, padding, trailer and ICV
    for (unsigned inner = underlay.mtu; mtu == 0; --inner)
        if ((ipv4 ? 20U : 40U) + (tunnel.udp ? 8 : 0) + 8 + 8 + (inner + 2 + 3) / 4 * 4 + 16 <= underlay.mtu)
            mtu = inner;
    return tunnel.id + " of " + user.id + " over " + underlay.id + " from " +
           (ipv4 ? underlay.ipv4->text() : underlay.ipv6->text()) + " to " + tunnel.peer.text() +
           (tunnel.udp
                ? fmt::format(" in UDP {} {} {}", tunnel.udp->local_port, tunnel.udp->peer_port, tunnel.udp->keepalive)
                : "") +
           ", " + std::to_string(mtu) + ", " + way_to(policy, underlay.operator_id, tunnel.peer);
}

Answer decide(const Policy& policy, Time now, const Question& question) {
    Answer answer;
    const Attachment& attachment = policy.attachments.at(question.attachment);
    answer.open = !gated(policy, now, GateTarget::attachment, attachment.id);
    answer.serves = attachment.serves(question.source.family());

    const Institution* from = nullptr;
    IpAddress in_hub = question.source;
    for (const auto& [name, translation] : policy.translations) {
        if (translation.operator_id != attachment.operator_id || !holds(translation.operator_prefix, question.source))
            continue;
        in_hub = moved(question.source, translation.hub_prefix);
        from = owner_of(policy, in_hub);
    }
    if (from != nullptr) {
        answer.source_institution = from->id;
        answer.source_closed = is_closed(policy, now, *from);
        answer.source_in_hub = in_hub.text();
        for (const Link& link : from->links) answer.may_use = answer.may_use || names(link.attachments, attachment.id);
    }
    const Institution* to = owner_of(policy, question.destination);
    if (to != nullptr) {
        answer.destination_institution = to->id;
        answer.destination_closed = is_closed(policy, now, *to);
        answer.destination_operator = to->operator_id;
        for (const auto& [name, translation] : policy.translations) {
            if (!holds(translation.hub_prefix, question.destination)) continue;
            const IpAddress inside = moved(question.destination, translation.operator_prefix);
            answer.destination_inside = inside.text();
            answer.way = way_to(policy, to->operator_id, inside);
        }
    }
    if (from != nullptr && to != nullptr)
        for (const auto& [name, agreement] : policy.agreements) {
            if (!in_time(agreement.from, agreement.until, now) || gated(policy, now, GateTarget::agreement, name))
                continue;
            if (is_client(agreement, *from, in_hub) && is_service(agreement, *to, question.destination) &&
                covers(agreement, question.protocol, question.destination_port))
                (agreement.state == AgreementState::tracked ? answer.tracked : answer.forward) = true;
            if (agreement.state == AgreementState::stateless && is_service(agreement, *from, in_hub) &&
                is_client(agreement, *to, question.destination) &&
                covers(agreement, question.protocol, question.source_port))
                answer.reverse = true;
        }
    answer.passes = answer.open && answer.serves && from != nullptr && answer.may_use && !answer.source_closed &&
                    to != nullptr && !answer.destination_closed &&
                    (answer.forward || (answer.reverse && (question.answers || question.protocol == kProtocolUdp)));
    return answer;
}

}  // namespace sekisho::control::test

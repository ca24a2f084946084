// Random policies that validate. Every operator uses the same few blocks of 10/8 and fd00::/16 on its side; the hub
// side of operator n is 100.(64 + n)/16 and 2001:db8:(n)::/48, cut into four slots with a translation each.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "tests/control/compile_support.hpp"

namespace sekisho::control::test {
namespace {

constexpr std::uint32_t kSlots = 4;    // translations an operator and family
constexpr std::uint32_t kBlocks = 16;  // prefixes that institutions take, a slot

// The number in an operator's name, which its addresses come from.
std::uint32_t number_in(const std::string& id) {
    return static_cast<std::uint32_t>(std::stoul(id.substr(1)));
}

bool is_taken(const Policy& policy, const IpPrefix& prefix) {
    for (const auto& [name, institution] : policy.institutions)
        for (const IpPrefix& other : institution.prefixes)
            if (other.overlaps(prefix)) return true;
    return false;
}

}  // namespace

IpAddress RandomPolicies::inside(const IpPrefix& prefix) {
    const std::uint64_t high = random_.word();
    const std::uint64_t low = random_.word();
    const std::uint32_t edge = below(6);  // the first, the last, or one in between
    if (prefix.is_ipv4()) {
        const Prefix4& p = prefix.ipv4();
        if (edge < 2) return edge == 0 ? p.first() : p.last();
        return p.address() | (Ipv4Address(static_cast<std::uint32_t>(low)) & ~p.mask());
    }
    const Prefix6& p = prefix.ipv6();
    if (edge < 2) return edge == 0 ? p.first() : p.last();
    return p.address() | (Ipv6Address(high, low) & ~p.mask());
}

void RandomPolicies::date(std::string& from, std::string& until) {
    static const std::string kFrom[] = {"", "2026-01-01", "2026-11-22T12:00:00+09:00", "2026-11-22T12:00:01+09:00"};
    static const std::string kUntil[] = {"", "2027-01-01", "2026-11-22T12:00:00+09:00", "2026-11-22T12:00:01+09:00"};
    if (one_in(3)) from = kFrom[below(4)];
    if (one_in(3)) until = kUntil[below(4)];
}

void RandomPolicies::add_random_operator(Policy& policy) {
    const std::uint32_t n = next_++ % 150;
    const std::string id = fmt::format("o{}", n);
    if (policy.operators.contains(id)) return;
    add_operator(policy, id);
    policy.operators[id].network_namespace = "of-" + id;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
        // One in four uses its hub numbers natively.
        const std::string hub4 = fmt::format("100.{}.{}.0/18", 64 + n, slot * 64);
        const std::string hub6 = fmt::format("2001:db8:{:x}:{:x}::/52", n, slot << 12);
        add_translation(policy, fmt::format("t4-{}-{}", id, slot), id,
                        n % 4 == 3 ? hub4 : fmt::format("10.{}.{}.0/18", slot, one_in(2) ? 0 : 64), hub4);
        add_translation(policy, fmt::format("t6-{}-{}", id, slot), id,
                        n % 4 == 3 ? hub6 : fmt::format("fd00:0:{:x}::/52", slot), hub6);
    }
    add_random_attachment(policy);
}

void RandomPolicies::add_random_attachment(Policy& policy) {
    const std::string& of = any_of(policy.operators);
    const std::string id = fmt::format("a{}", next_++);
    // Some subnets lie inside what institutions use.
    Attachment& added = add_attachment(policy, id, of, fmt::format("10.{}.{}.0/26", below(4), below(128)));
    added.port = fmt::format("p{}", below(4));
    if (one_in(2)) added.subnet6 = Prefix6(Ipv6Address(0xfd00'0000'0000'0000ULL | below(4) << 16 | below(64), 0), 64);
    if (one_in(4)) added.family = one_in(2) ? FamilyChoice::ipv4 : FamilyChoice::ipv6;
    if (one_in(4)) added.kernel_interface = "k-" + id;
    for (const auto& [name, other] : policy.attachments)
        if (name != id && other.operator_id == of &&
            (other.subnet4 == added.subnet4 || other.subnet6 == added.subnet6)) {
            policy.attachments.erase(id);
            return;
        }
    for (const auto& [name, route] : policy.routes)
        if (route.operator_id == of &&
            (route.prefix == IpPrefix(added.subnet4) || route.prefix == IpPrefix(added.subnet6))) {
            policy.attachments.erase(id);
            return;
        }
}

void RandomPolicies::add_random_tunnel(Policy& policy) {
    const Attachment& added = add_tunnel(policy, fmt::format("a{}", next_++), any_of(policy.operators));
    Tunnel& tunnel = policy.tunnels.at(added.tunnel);
    Attachment& line = policy.attachments.at(tunnel.underlay);
    line.mtu = static_cast<std::uint16_t>(1280 + below(4000));
    if (one_in(3)) line.operator_id = any_of(policy.operators);
    if (one_in(3)) tunnel.peer = Ipv6Address(line.subnet6.address().high(), 2 + below(5));
    if (one_in(4)) policy.attachments.at(added.id).mtu = 1200;
    if (one_in(3)) tunnel.udp = UdpEncapsulation{static_cast<std::uint16_t>(1 + below(65535)), 4501, 20};
    if (!one_in(3) || !tunnel.peer.is_ipv4()) return;
    // A peer behind a router.
    const std::uint32_t behind = (203U << 24) + (std::uint32_t{line.vlan} << 4);
    tunnel.peer = Ipv4Address(behind + below(16));
    add_route(policy, line.operator_id, fmt::format("{}/28", Ipv4Address(behind).text()), line.id,
              Ipv4Address(line.subnet4.address().value() + 3).text());
}

void RandomPolicies::add_random_institution(Policy& policy) {
    const std::string of = any_of(policy.operators);
    Institution& added = add_institution(policy, fmt::format("i{}", next_++), of, {}, {});
    added.links.clear();
    for (std::uint32_t count = 1 + below(3); count > 0; --count) {
        const std::uint32_t slot = below(kSlots);
        const std::uint32_t block = below(kBlocks);
        IpPrefix prefix =
            Prefix4(Ipv4Address((100U << 24) + ((64 + number_in(of)) << 16) + (slot << 14) + (block << 10)),
                    static_cast<int>(22 + below(8)));
        if (one_in(2))
            prefix = Prefix6(
                Ipv6Address(0x2001'0db8'0000'0000ULL | std::uint64_t{number_in(of)} << 16 | slot << 12 | block << 8, 0),
                static_cast<int>(56 + below(12)));
        if (!is_taken(policy, prefix)) added.prefixes.push_back(prefix);
    }
    for (const auto& [name, attachment] : policy.attachments)
        if (attachment.operator_id == of && !attachment.underlay && !one_in(3))
            added.links.emplace_back().attachments = {name};
}

// A prefix in hub space around or inside some institution's.
IpPrefix RandomPolicies::near(const Policy& policy, bool finer) {
    if (one_in(40)) return one_in(2) ? IpPrefix(Prefix4()) : IpPrefix(Prefix6());
    if (policy.institutions.empty()) return prefix("100.64.0.0/10");
    const Institution& institution = policy.institutions.at(any_of(policy.institutions));
    if (institution.prefixes.empty()) return prefix("100.64.0.0/10");
    const IpPrefix& whole = institution.prefixes[below(static_cast<std::uint32_t>(institution.prefixes.size()))];
    const IpAddress at = inside(whole);
    const int bits = at.is_ipv4() ? 32 : 128;
    const int change = static_cast<int>(below(5));
    const int length = finer ? std::min(bits, whole.length() + change) : std::max(0, whole.length() - 3 * change);
    if (at.is_ipv4()) return Prefix4(at.ipv4(), length);
    return Prefix6(at.ipv6(), length);
}

void RandomPolicies::add_random_agreement(Policy& policy) {
    if (policy.institutions.empty()) return;
    static const Protocol kProtocols[] = {Protocol::tcp, Protocol::tcp, Protocol::udp, Protocol::icmp_echo,
                                          Protocol::any};
    Agreement& added = add_agreement(policy, fmt::format("g{}", next_++), kProtocols[below(5)]);
    if (added.protocol == Protocol::tcp || added.protocol == Protocol::udp)
        for (std::uint32_t count = 1 + below(3); count > 0; --count) {
            static const std::uint16_t kPorts[] = {0, 22, 53, 80, 443, 444, 1024, 5201, 40000, 65535};
            const std::uint16_t a = kPorts[below(10)];
            const std::uint16_t b = one_in(2) ? a : kPorts[below(10)];
            added.ports.push_back({std::min(a, b), std::max(a, b)});
        }
    if (one_in(3)) added.state = AgreementState::tracked;
    for (std::uint32_t count = 1 + below(3); count > 0; --count) switch (below(3)) {
            case 0: added.client_operators.push_back(any_of(policy.operators)); break;
            case 1: added.client_institutions.push_back(any_of(policy.institutions)); break;
            default: added.client_prefixes.push_back(near(policy, one_in(2)));
        }
    for (std::uint32_t count = 1 + below(3); count > 0; --count) {
        if (one_in(2))
            added.service_institutions.push_back(any_of(policy.institutions));
        else
            added.service_prefixes.push_back(near(policy, one_in(2)));
    }
    date(added.from, added.until);
}

void RandomPolicies::add_random_route(Policy& policy) {
    if (policy.attachments.empty()) return;
    const std::string& attachment = any_of(policy.attachments);
    const std::string of = policy.attachments.at(attachment).operator_id;
    Route route;
    route.operator_id = of;
    route.blackhole = one_in(5);
    const bool ipv4 = one_in(2);
    if (one_in(8)) {
        route.prefix = ipv4 ? IpPrefix(Prefix4()) : IpPrefix(Prefix6());
    } else {
        const Translation& translation =
            policy.translations.at(fmt::format("t{}-{}-{}", ipv4 ? 4 : 6, of, below(kSlots)));
        const IpAddress at = inside(translation.operator_prefix);
        const int length = translation.operator_prefix.length() - 6 + static_cast<int>(below(16));
        route.prefix = ipv4 ? IpPrefix(Prefix4(at.ipv4(), length)) : IpPrefix(Prefix6(at.ipv6(), length));
    }
    for (const auto& [name, other] : policy.attachments)
        if (other.operator_id == of &&
            (route.prefix == IpPrefix(other.subnet4) || route.prefix == IpPrefix(other.subnet6)))
            return;
    if (!route.blackhole) {
        route.nexthops.push_back({attachment, std::nullopt, false});
        if (!one_in(4) && !policy.attachments.at(attachment).is_tunnel())
            route.nexthops[0].gateway = ipv4 ? address(fmt::format("192.168.0.{}", 2 + below(3)))
                                             : address(fmt::format("fe80::{}", 2 + below(3)));
    }
    policy.routes[route.id()] = route;
}

void RandomPolicies::add_random_gate(Policy& policy) {
    const std::string id = fmt::format("z{}", next_++);
    switch (below(12)) {
        case 0: add_gate(policy, id, GateTarget::node, ""); break;
        case 1:
        case 2:
        case 3: add_gate(policy, id, GateTarget::operator_, any_of(policy.operators)); break;
        case 4:
        case 5:
            if (!policy.attachments.empty()) add_gate(policy, id, GateTarget::attachment, any_of(policy.attachments));
            break;
        case 6:
        case 7:
        case 8:
            if (!policy.institutions.empty())
                add_gate(policy, id, GateTarget::institution, any_of(policy.institutions));
            break;
        default:
            if (!policy.agreements.empty()) add_gate(policy, id, GateTarget::agreement, any_of(policy.agreements));
    }
    if (policy.gates.contains(id)) date(policy.gates.at(id).from, policy.gates.at(id).until);
}

Policy RandomPolicies::policy() {
    Policy policy;
    policy.hub_pools = {prefix("100.64.0.0/10"), prefix("2001:db8::/32")};
    const auto some = [&](std::uint32_t most, void (RandomPolicies::*add)(Policy&)) {
        for (std::uint32_t count = 1 + below(most); count > 0; --count) (this->*add)(policy);
    };
    some(5, &RandomPolicies::add_random_operator);
    some(6, &RandomPolicies::add_random_attachment);
    if (one_in(2)) some(4, &RandomPolicies::add_random_tunnel);
    some(30, &RandomPolicies::add_random_institution);
    some(25, &RandomPolicies::add_random_agreement);
    some(25, &RandomPolicies::add_random_route);
    if (one_in(2)) some(4, &RandomPolicies::add_random_gate);
    return policy;
}

Question RandomPolicies::question(const Policy& policy) {
    static const std::uint16_t kPorts[] = {0, 21, 22, 53, 80, 443, 444, 445, 1024, 5201, 5202, 39999, 40000, 65535};
    static const std::uint8_t kProtocols[] = {6, 6, 6, 17, 17, 1, 47};
    const IpPrefix to = near(policy, true);
    IpPrefix from = near(policy, true);
    for (int tries = 0; from.family() != to.family() && tries < 20; ++tries) from = near(policy, true);
    if (from.family() != to.family()) from = to;
    // The source as its operator writes it, where it has one.
    const IpAddress in_hub = inside(from);
    Question question{any_of(policy.attachments), in_hub, inside(to)};
    for (const auto& [name, translation] : policy.translations) {
        if (!translation.hub_prefix.overlaps(in_hub.is_ipv4() ? IpPrefix(Prefix4(in_hub.ipv4(), 32))
                                                              : IpPrefix(Prefix6(in_hub.ipv6(), 128))))
            continue;
        if (in_hub.is_ipv4())
            question.source = translation.operator_prefix.ipv4().address() |
                              (in_hub.ipv4() & ~translation.operator_prefix.ipv4().mask());
        else
            question.source = translation.operator_prefix.ipv6().address() |
                              (in_hub.ipv6() & ~translation.operator_prefix.ipv6().mask());
        for (int tries = 0; tries < 10; ++tries) {
            if (policy.attachments.at(question.attachment).operator_id == translation.operator_id) break;
            question.attachment = any_of(policy.attachments);
        }
    }
    question.protocol = kProtocols[below(7)];
    if (question.protocol == 1 && !question.source.is_ipv4()) question.protocol = 58;
    question.source_port = kPorts[below(14)];
    question.destination_port = kPorts[below(14)];
    question.answers = one_in(2);
    return question;
}

}  // namespace sekisho::control::test

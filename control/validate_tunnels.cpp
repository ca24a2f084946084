// Tunnels, underlays, and the attachments that go through tunnels: who may be what to whom (clauses 2-1, 2-2). Compiler
// thread.
#include <bit>
#include <map>
#include <vector>

#include "control/findings.hpp"
#include "control/policy_reader.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

namespace {

bool has_ports(std::uint8_t protocol) {  // TCP, UDP, DCCP, SCTP, UDP-Lite
    return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}

void check_selector(const crypto::Selector& selector, const std::string& field, const Attachment* user,
                    ObjectFindings& about) {
    const std::string local = selector.local.text();
    const std::string remote = selector.remote.text();
    if (selector.local.family() != selector.remote.family())
        return about.wrong(field + ".remote", remote + " and local " + local + " differ in family");
    if (user != nullptr && !user->serves(selector.local.family()))
        about.wrong(field + ".local", local + " is not of family " + std::string(name_of(user->family)) +
                                          ", which is that of " + place_of("attachments", user->id));
    for (const auto& [name, ports] :
         {std::pair("local_ports", selector.local_ports), std::pair("remote_ports", selector.remote_ports)}) {
        if (ports.first > ports.last)
            about.wrong(field + "." + name,
                        std::to_string(ports.first) + " to " + std::to_string(ports.last) + " runs backwards");
        if (ports.is_any() || (selector.protocol && has_ports(*selector.protocol))) continue;
        about.wrong(field + "." + name, selector.protocol
                                            ? "protocol " + std::to_string(*selector.protocol) + " has no ports"
                                            : "there is no protocol that they are ports of");
    }
}

template <class Limit>
void check_lifetime(const char* what, Limit soft, Limit hard, ObjectFindings& about) {
    if (hard == Limit(0) || soft < hard) return;
    about.wrong(std::string("lifetimes.soft.") + what, "is not less than the hard limit");
}

// Why the hub cannot send to `peer` over the underlay; nothing when it can.
std::optional<std::string> unreachable(const PeerWays& ways, const Attachment& underlay, const IpAddress& peer) {
    const auto way = ways.find(underlay.operator_id, peer);
    if (!way) return "no route of operator " + in_quotes(underlay.operator_id) + " leads to " + peer.text();
    const auto leaves_by = [&](const std::string& who, const std::string& attachment) {
        return who + " leads to " + peer.text() + " by attachment " + in_quotes(attachment) + ", not by the underlay " +
               in_quotes(underlay.id);
    };
    if (way->connected != nullptr) {
        if (way->connected->id == underlay.id) return std::nullopt;
        return leaves_by("the subnet of " + place_of("attachments", way->connected->id), way->connected->id);
    }
    if (way->route->blackhole) return place_of("routes", way->route->id()) + " discards what goes to " + peer.text();
    for (const RouteNexthop& nexthop : way->route->nexthops)
        if (nexthop.attachment != underlay.id)
            return leaves_by(place_of("routes", way->route->id()), nexthop.attachment);
    return std::nullopt;
}

void check_ends(const Policy& policy, const Tunnel& tunnel, const PeerWays& ways, ObjectFindings& about) {
    const Attachment* const underlay = underlay_of(policy, tunnel);
    if (underlay == nullptr) return about.dangling("underlay", "attachment", tunnel.underlay);
    if (!underlay->underlay)
        return about.wrong("underlay",
                           place_of("attachments", underlay->id) + R"( is none: it says no "underlay": true)");
    const IpPrefix host = tunnel.peer.is_ipv4() ? IpPrefix(Prefix4(tunnel.peer.ipv4(), Ipv4Address::kBits))
                                                : IpPrefix(Prefix6(tunnel.peer.ipv6(), Ipv6Address::kBits));
    if (const auto why = unusable(host)) return about.wrong("peer", tunnel.peer.text() + " " + std::string(*why));
    const auto local = local_end_of(policy, tunnel);
    if (!local)
        return about.wrong("peer", tunnel.peer.text() + ": the underlay, " + place_of("attachments", underlay->id) +
                                       ", has no address of its family");
    if (*local == tunnel.peer)
        return about.wrong(
            "peer", tunnel.peer.text() + " is the hub's own address on " + place_of("attachments", underlay->id));
    if (const auto why = unreachable(ways, *underlay, tunnel.peer)) about.wrong("peer", *why);
}

constexpr std::uint16_t kIke = 500;

// RFC 3948 §2.1: not IKE's first port; and which one an underlay has must be clear.
void check_udp(const Tunnel& tunnel, std::map<std::string_view, const Tunnel*>& first_in_udp, ObjectFindings& about) {
    if (!tunnel.udp) return;
    if (tunnel.udp->local_port == kIke) about.wrong("udp.local_port", "500 is IKE's: ESP in UDP has another, 4500");
    const Tunnel& first = *first_in_udp.try_emplace(tunnel.underlay, &tunnel).first->second;
    if (first.udp->local_port == tunnel.udp->local_port) return;
    about.wrong("udp.local_port", std::to_string(tunnel.udp->local_port) + ": " + place_of("tunnels", first.id) +
                                      " has " + std::to_string(first.udp->local_port) + " on the same underlay " +
                                      in_quotes(tunnel.underlay));
}

}  // namespace

void check_tunnel(const Policy& policy, const Tunnel& tunnel, const std::vector<const Attachment*>& users,
                  const PeerWays& ways, ObjectFindings& about) {
    check_ends(policy, tunnel, ways, about);
    if (users.empty()) about.wrong("id", "no attachment has it as its path: each tunnel is that of one");
    for (std::size_t i = 1; i < users.size(); ++i)
        about.wrong("id", "is the path of " + place_of("attachments", users[i]->id) + " and of " +
                              place_of("attachments", users[0]->id) + ": each tunnel is that of one");
    const Attachment* const user = users.empty() ? nullptr : users[0];
    if (tunnel.selectors.empty()) about.wrong("selectors", "has none: it would carry nothing");
    for (std::size_t i = 0; i < tunnel.selectors.size(); ++i)
        check_selector(tunnel.selectors[i], indexed("selectors", i), user, about);
    if (!std::has_single_bit(tunnel.replay_window))
        about.wrong("replay_window", std::to_string(tunnel.replay_window) + " is not a power of two");
    check_lifetime("bytes", tunnel.lifetimes.soft_bytes, tunnel.lifetimes.hard_bytes, about);
    check_lifetime("packets", tunnel.lifetimes.soft_packets, tunnel.lifetimes.hard_packets, about);
    check_lifetime("seconds", tunnel.lifetimes.soft_time, tunnel.lifetimes.hard_time, about);
}

void check_protection(const Policy& policy, const Attachment& attachment, ObjectFindings& about) {
    const bool is_tunnel = attachment.is_tunnel();
    if (is_tunnel && attachment.protection != Protection::esp)
        about.wrong("protection", R"(is none, and the path a tunnel: say "esp")");
    if (!is_tunnel && attachment.protection == Protection::esp)
        about.wrong("protection", "is esp, and there is no tunnel that would do it");
    if (is_tunnel && !policy.tunnels.contains(attachment.tunnel)) about.dangling("tunnel", "tunnel", attachment.tunnel);
    if (!is_tunnel && attachment.session_management == SessionManagement::hub)
        about.unsupported("session_management hub without a tunnel", R"(say "operator" or "none")");
}

void check_tunnels(const Policy& policy, Findings& findings) {
    TunnelUsers users;
    for (const auto& [id, attachment] : policy.attachments)
        if (attachment.is_tunnel()) users[attachment.tunnel].push_back(&attachment);
    const PeerWays ways(policy);
    std::map<std::string_view, const Tunnel*> first_in_udp;  // by underlay
    for (const auto& [id, tunnel] : policy.tunnels) {
        ObjectFindings about(findings, "tunnels", id);
        check_tunnel(policy, tunnel, users[id], ways, about);
        check_udp(tunnel, first_in_udp, about);
    }
}

void check_underlays(const Policy& policy, Findings& findings) {
    // What institutions are reached by never lies behind an underlay: nothing could leave there in plain text.
    std::map<std::string_view, std::vector<Claim>> inside;  // by operator
    for (const auto& [id, translation] : policy.translations)
        inside[translation.operator_id].push_back({translation.operator_prefix, "translations", id, "operator_prefix",
                                                   std::nullopt, translation.operator_id});
    std::map<std::string_view, AddressSpace> spaces;
    for (auto& [operator_id, claims] : inside)
        spaces.emplace(operator_id, AddressSpace(std::move(claims), [](const Claim&, const Claim&) {}));  // told before
    const auto check = [&](const std::string& place, const std::string& operator_id, const IpPrefix& prefix,
                           const std::string& underlay) {
        const auto space = spaces.find(operator_id);
        const Claim* const claim = space == spaces.end() ? nullptr : space->second.meeting(prefix);
        if (claim == nullptr) return;
        findings.add(ErrorCode::invalid, place,
                     prefix.text() + " by the underlay " + in_quotes(underlay) + " overlaps " + claim->prefix.text() +
                         " of " + claim->place() + ": nothing of an institution's may leave by an underlay");
    };
    for (const auto& [id, attachment] : policy.attachments) {
        if (!attachment.underlay) continue;
        if (attachment.ipv4) check(place_of("attachments", id, "ipv4"), attachment.operator_id, attachment.subnet4, id);
        if (attachment.ipv6) check(place_of("attachments", id, "ipv6"), attachment.operator_id, attachment.subnet6, id);
    }
    for (const auto& [id, route] : policy.routes)
        for (std::size_t i = 0; i < route.nexthops.size(); ++i) {
            const auto found = policy.attachments.find(route.nexthops[i].attachment);
            if (found == policy.attachments.end() || !found->second.underlay) continue;
            check(place_of("routes", id, indexed("nexthops", i) + ".attachment"), route.operator_id, route.prefix,
                  found->second.id);
        }
}

}  // namespace sekisho::control

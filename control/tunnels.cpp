// Tunnels among the other objects. Control plane only.
#include "control/tunnels.hpp"

#include <algorithm>
#include <set>

#include "control/policy_reader.hpp"
#include "crypto/esp_header.hpp"
#include "net/headers.hpp"

namespace sekisho::control {

std::uint16_t mtu_inside(std::uint16_t mtu, Family outer, bool in_udp) noexcept {
    const std::size_t outer_header = outer == Family::ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
    const std::size_t around =
        outer_header + (in_udp ? sizeof(UdpHeader) : 0) + sizeof(crypto::EspHeader) + crypto::kIcvLength;
    if (mtu < around + crypto::kEspAlignment) return 0;
    // RFC 4303 §2.4: inner packet, padding and trailer together fill words of four bytes.
    const std::size_t sealed = (mtu - around) / crypto::kEspAlignment * crypto::kEspAlignment;
    return static_cast<std::uint16_t>(sealed - crypto::kTrailer);
}

const Attachment* underlay_of(const Policy& policy, const Tunnel& tunnel) {
    const auto found = policy.attachments.find(tunnel.underlay);
    return found == policy.attachments.end() ? nullptr : &found->second;
}

std::optional<IpAddress> local_end_of(const Policy& policy, const Tunnel& tunnel) {
    const Attachment* const underlay = underlay_of(policy, tunnel);
    if (underlay == nullptr) return std::nullopt;
    if (tunnel.peer.is_ipv4()) return underlay->ipv4 ? std::optional(IpAddress(*underlay->ipv4)) : std::nullopt;
    return underlay->ipv6 ? std::optional(IpAddress(*underlay->ipv6)) : std::nullopt;
}

std::uint16_t mtu_left(const Policy& policy, const Tunnel& tunnel) {
    const Attachment* const underlay = underlay_of(policy, tunnel);
    if (underlay == nullptr) return 0;
    return mtu_inside(underlay->mtu, tunnel.peer.family(), tunnel.udp.has_value());
}

std::uint16_t mtu_of(const Policy& policy, const Attachment& attachment) {
    if (attachment.mtu != 0 || !attachment.is_tunnel()) return attachment.mtu;
    const auto tunnel = policy.tunnels.find(attachment.tunnel);
    return tunnel == policy.tunnels.end() ? std::uint16_t{0} : mtu_left(policy, tunnel->second);
}

template <class Wanted>
void PeerWays::fill(const Policy& policy, const Wanted& wanted) {
    for (const auto& [id, attachment] : policy.attachments) {
        if (attachment.ipv4 && wanted(attachment.subnet4))
            ways_[{attachment.operator_id, attachment.subnet4}] = {nullptr, &attachment};
        if (attachment.ipv6 && wanted(attachment.subnet6))
            ways_[{attachment.operator_id, attachment.subnet6}] = {nullptr, &attachment};
    }
    for (const auto& [id, route] : policy.routes)
        if (wanted(route.prefix)) ways_.try_emplace({route.operator_id, route.prefix}, Way{&route, {}});
}

PeerWays::PeerWays(const Policy& policy) {
    fill(policy, [](const IpPrefix&) { return true; });
}

PeerWays::PeerWays(const Policy& policy, const std::vector<const Tunnel*>& tunnels) {
    std::set<IpAddress> peers;
    for (const Tunnel* const tunnel : tunnels) peers.insert(tunnel->peer);
    fill(policy, [&](const IpPrefix& prefix) {
        const auto first =
            peers.lower_bound(prefix.is_ipv4() ? IpAddress(prefix.ipv4().first()) : prefix.ipv6().first());
        return first != peers.end() && prefix.contains(*first);
    });
}

std::optional<PeerWays::Way> PeerWays::find(std::string_view operator_id, const IpAddress& peer) const {
    for (int length = peer.is_ipv4() ? Ipv4Address::kBits : Ipv6Address::kBits; length > 0; --length) {
        const IpPrefix prefix =
            peer.is_ipv4() ? IpPrefix(Prefix4(peer.ipv4(), length)) : IpPrefix(Prefix6(peer.ipv6(), length));
        if (const auto found = ways_.find({operator_id, prefix}); found != ways_.end()) return found->second;
    }
    return std::nullopt;
}

std::string agreed_of(const Tunnel& tunnel) {
    std::string text = tunnel.underlay + " to " + tunnel.peer.text() + ", " + std::string(name_of(tunnel.suite)) +
                       (tunnel.esn ? " esn " : " ") + std::string(name_of(tunnel.keys));
    if (tunnel.udp)
        text += ", in UDP " + std::to_string(tunnel.udp->local_port) + " to " + std::to_string(tunnel.udp->peer_port);
    for (const crypto::Selector& selector : tunnel.selectors) {
        text += ", " + selector.local.text() + " " + selector.remote.text() + " " +
                (selector.protocol ? std::to_string(*selector.protocol) : "any");
        for (const crypto::PortRange& ports : {selector.local_ports, selector.remote_ports})
            text += " " + std::to_string(ports.first) + "-" + std::to_string(ports.last);
    }
    return text;
}

std::string basis_of_sas(const Policy& policy, const Tunnel& tunnel, const Attachment& user) {
    const auto local = local_end_of(policy, tunnel);
    if (!local) return {};
    return user.id + " of " + user.operator_id + ", from " + local->text() + " by " + agreed_of(tunnel);
}

}  // namespace sekisho::control

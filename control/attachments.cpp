// Placing attachments. Compiler thread only.
#include "control/attachments.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "control/place.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {
namespace {

using dataplane::Tables;

constexpr std::uint16_t kMaxVlan = 4094;  // IEEE 802.1Q: 4095 is reserved

// The attachment that has the port by which its packets come and leave: itself, or its tunnel's underlay.
Expected<const Attachment*> line_of(const Policy& policy, const Attachment& told) {
    if ((told.protection == Protection::esp) != told.is_tunnel())
        return Error{ErrorCode::invalid, "protection esp goes with a tunnel, and a tunnel with it"};
    if (!told.is_tunnel()) return &told;
    const auto tunnel = policy.tunnels.find(told.tunnel);
    if (tunnel == policy.tunnels.end()) return Error{ErrorCode::not_found, "no tunnel " + in_quotes(told.tunnel)};
    const Attachment* const underlay = underlay_of(policy, tunnel->second);
    if (underlay == nullptr || !underlay->underlay || underlay->is_tunnel())
        return Error{ErrorCode::invalid, fmt::format("{}: {} is no underlay", place_of("tunnels", tunnel->first),
                                                     in_quotes(tunnel->second.underlay))};
    return underlay;
}

// The way to a peer, and that it leaves by underlays alone.
template <class Address>
Expected<NexthopId> way_to_peer(const RoutesOfVrf<Address>& routes, VrfId vrf, const Address& peer,
                                const std::vector<dataplane::Nexthop>& nexthops,
                                const std::vector<dataplane::NexthopGroup>& groups,
                                const dataplane::TableParts& tables) {
    const NexthopId way = way_to(routes, vrf, peer);
    if (way == dataplane::kNoNexthop) return way;
    const auto check = [&](const dataplane::Nexthop& nexthop) -> Expected<void> {
        if (nexthop.kind == dataplane::Nexthop::Kind::blackhole) return {};
        if (tables.attachments[nexthop.attachment.index()].underlay) return {};
        return Error{ErrorCode::invalid,
                     "the way to its peer " + peer.text() + " leaves by an attachment that is no underlay"};
    };
    const dataplane::Nexthop& nexthop = nexthops[way.index()];
    if (nexthop.kind != dataplane::Nexthop::Kind::group) {
        if (auto fine = check(nexthop); !fine) return fine.error();
        return way;
    }
    const dataplane::NexthopGroup& group = groups[nexthop.group];
    for (std::size_t m = 0; m < group.size(); ++m)
        if (auto fine = check(nexthops[group.member(m).nexthop.index()]); !fine) return fine.error();
    return way;
}

}  // namespace

Expected<TunnelId> tunnel_number(const Numbers& numbers, std::string_view name) {
    if (name.empty()) return TunnelId();
    const auto number = numbers.tunnels.number_of(name);
    if (!number) return number.error();
    return TunnelId(*number + 1);
}

Expected<dataplane::Attachment> place_attachment(const Policy& policy, const std::string& name, const Attachment& told,
                                                 const Numbers& numbers, const InForce& in_force,
                                                 const NodePorts& ports) {
    const auto line = line_of(policy, told);
    if (!line) return line.error();
    const auto tunnel = tunnel_number(numbers, told.tunnel);
    if (!tunnel) return tunnel.error();
    const auto owner = numbers.operators.number_of(told.operator_id);
    if (!owner) return owner.error();
    const auto port = ports.find ? ports.find((*line)->port) : std::nullopt;
    if (!port || port->index() >= ports.count)
        return Error{ErrorCode::not_found, "this node has no port " + in_quotes((*line)->port)};
    if (ports.mtu && told.mtu > ports.mtu(*port))
        return Error{ErrorCode::limit, fmt::format("MTU {}: its port {} carries {} bytes", told.mtu,
                                                   in_quotes((*line)->port), ports.mtu(*port))};
    if (told.vlan > kMaxVlan)
        return Error{ErrorCode::invalid, fmt::format("VLAN {}: must be 0 (untagged) to {}", told.vlan, kMaxVlan)};

    dataplane::Attachment result;
    result.port = *port;
    result.vlan = VlanId(told.vlan);
    result.tunnel = *tunnel;
    result.underlay = told.underlay;
    result.vrf = VrfId(static_cast<VrfId::Value>(*owner));
    result.owner = OperatorId(static_cast<OperatorId::Value>(*owner));
    result.open = !in_force.closed_attachments.contains(name);
    result.serves_ipv4 = told.serves(Family::ipv4);
    result.serves_ipv6 = told.serves(Family::ipv6);
    result.mtu = mtu_of(policy, told);
    result.reachable_time = told.reachable_time;
    result.mac = told.mac;
    if (result.serves_ipv4) {
        if (!told.ipv4) return Error{ErrorCode::invalid, "it serves IPv4 and has no IPv4 address"};
        result.ipv4 = *told.ipv4;
        result.subnet4 = told.subnet4;
    }
    if (result.serves_ipv6) {
        if (!told.is_tunnel() && !told.link_local.is_link_local())
            return Error{ErrorCode::invalid, "it serves IPv6 and has no link-local address"};
        result.link_local = told.link_local;
        if (told.ipv6) {
            result.ipv6 = *told.ipv6;
            result.subnet6 = told.subnet6;
        }
    }
    return result;
}

Expected<void> place_attachments(const Policy& policy, const Numbers& numbers, const InForce& in_force,
                                 const NodePorts& ports, Tables& tables) {
    tables.attachments.resize(numbers.attachments.size());
    tables.attachment_of.resize(ports.count);
    for (auto& by_vlan : tables.attachment_of) by_vlan.fill(Tables::kNoAttachment);
    const std::vector<std::string> names = numbers.attachments.names();
    std::size_t i = 0;
    for (const auto& [name, told] : policy.attachments) {
        const std::uint32_t number = numbers.attachments[i++];
        auto attachment = place_attachment(policy, name, told, numbers, in_force, ports);
        if (!attachment) return attachment.error().at(place_of("attachments", name));
        tables.attachments[number] = *attachment;
        if (told.is_tunnel()) continue;
        AttachmentId& place = tables.attachment_of[attachment->port.index()][attachment->vlan.index()];
        if (place != Tables::kNoAttachment)
            return Error{ErrorCode::invalid, fmt::format("{} and {} both have port {}, VLAN {}",
                                                         place_of("attachments", names[place.index()]), in_quotes(name),
                                                         in_quotes(told.port), told.vlan)};
        place = AttachmentId(number);
    }
    return {};
}

Expected<dataplane::Tunnel> place_tunnel(const Policy& policy, const Tunnel& told, const Numbers& numbers,
                                         dataplane::TableParts& tables) {
    const auto underlay = numbers.attachments.number_of(told.underlay);
    if (!underlay) return underlay.error();
    const auto local = local_end_of(policy, told);
    if (!local) return Error{ErrorCode::invalid, "its underlay has no address of its peer's family"};
    dataplane::Tunnel tunnel;
    tunnel.underlay = AttachmentId(*underlay);
    tunnel.local = *local;
    tunnel.peer = told.peer;
    if (told.udp) {
        tunnel.in_udp = true;
        tunnel.local_port = L4Port(told.udp->local_port);
        tunnel.peer_port = L4Port(told.udp->peer_port);
        tunnel.keepalive = told.udp->keepalive;
        tables.attachments[*underlay].esp_port = tunnel.local_port;
    }
    return tunnel;
}

Expected<void> place_tunnels(const Policy& policy, const Numbers& numbers, const Ways& ways, Tables& tables) {
    tables.tunnels.resize(numbers.tunnels.size() + 1);
    std::size_t i = 0;
    for (const auto& [name, told] : policy.tunnels) {
        const std::uint32_t number = numbers.tunnels[i++] + 1;
        const std::string place = place_of("tunnels", name);
        auto placed = place_tunnel(policy, told, numbers, tables);
        if (!placed) return placed.error().at(place);
        dataplane::Tunnel& tunnel = tables.tunnels[number];
        tunnel = *placed;
        const VrfId vrf = tables.attachments[tunnel.underlay.index()].vrf;
        const auto way = told.peer.is_ipv4()
                             ? way_to_peer(ways.ipv4, vrf, told.peer.ipv4(), ways.nexthops, ways.groups, tables)
                             : way_to_peer(ways.ipv6, vrf, told.peer.ipv6(), ways.nexthops, ways.groups, tables);
        if (!way) return way.error().at(place);
        tunnel.way = *way;
    }
    for (std::size_t id = 0; id < tables.attachments.size(); ++id) {
        const TunnelId number = tables.attachments[id].tunnel;
        if (number == TunnelId()) continue;
        dataplane::Tunnel& tunnel = tables.tunnels[number.index()];
        if (tunnel.exists)
            return Error{ErrorCode::invalid, "two attachments have it as their path"}.at(
                place_of("tunnels", numbers.tunnels.names()[number.index() - 1]));
        tunnel.exists = true;
        tunnel.attachment = AttachmentId(static_cast<AttachmentId::Value>(id));
    }
    for (const auto& [name, told] : policy.tunnels)
        if (!tables.tunnels[tunnel_number(numbers, name)->index()].exists)
            return Error{ErrorCode::invalid, "no attachment has it as its path"}.at(place_of("tunnels", name));
    return {};
}

Expected<NexthopId> way_of_tunnel(const dataplane::Tunnel& tunnel, const RoutesOfVrf<Ipv4Address>& ipv4,
                                  const RoutesOfVrf<Ipv6Address>& ipv6, const dataplane::TableParts& tables) {
    const VrfId vrf = tables.attachments[tunnel.underlay.index()].vrf;
    return tunnel.peer.is_ipv4() ? way_to_peer(ipv4, vrf, tunnel.peer.ipv4(), tables.nexthops, tables.groups, tables)
                                 : way_to_peer(ipv6, vrf, tunnel.peer.ipv6(), tables.nexthops, tables.groups, tables);
}

void place_taps(const Policy& policy, const Numbers& numbers, TapNumbers& known, dataplane::TableParts& tables) {
    tables.taps.clear();
    for (const auto& [name, told] : policy.attachments) {
        if (told.kernel_interface.empty()) continue;
        const std::uint32_t number = *numbers.attachments.number_of(name);
        const std::string& space = policy.operators.at(told.operator_id).network_namespace;
        const auto next = TapId(static_cast<TapId::Value>(known.size() + 1));
        const TapId tap = known.try_emplace({name, space, told.kernel_interface}, next).first->second;
        tables.attachments[number].tap = tap;
        tables.taps.push_back({tap, AttachmentId(number), space, told.kernel_interface, told.mac, told.mtu});
    }
}

Expected<SharedAttachments::Name> SharedAttachments::set_of(const Policy& policy, const std::string& name,
                                                            const Institution& institution, const Numbers& numbers) {
    std::vector<std::uint32_t> members;
    for (const Link& link : institution.links)
        for (const std::string& attachment : link.attachments) {
            const auto id = numbers.attachments.number_of(attachment);
            if (!id) return id.error().at(place_of("institutions", name));
            if (policy.attachments.at(attachment).operator_id != institution.operator_id)
                return Error{ErrorCode::invalid, fmt::format("attachment {} is not of operator {}",
                                                             in_quotes(attachment), in_quotes(institution.operator_id))}
                    .at(place_of("institutions", name));
            members.push_back(*id);
        }
    const Sets::Id set = sets_.intern(std::move(members));
    while (names_.size() < sets_.size()) names_.push_back(written_.add(sets_[static_cast<Sets::Id>(names_.size())]));
    return names_[set];
}

Expected<std::vector<SharedAttachments::Name>> SharedAttachments::sets_of(const Policy& policy,
                                                                          const Numbers& numbers) {
    std::vector<Name> sets(numbers.institutions.size());
    std::size_t i = 0;
    for (const auto& [name, institution] : policy.institutions) {
        const auto set = set_of(policy, name, institution, numbers);
        if (!set) return set.error();
        sets[numbers.institutions[i++]] = *set;
    }
    return sets;
}

}  // namespace sekisho::control

// Which flow a packet is of: the key of its session, and the worker that has it.
//
// Where both ends have hub-space addresses of their own, both directions of a flow, and what an ICMP error quotes, have
// one key. An end behind a port block has none: its packets are known by its address in its operator's space, and what
// is sent to it by the pool's address and port; then each direction has a key of its own. Worker threads.
#pragma once

#include <optional>

#include "dataplane/walk.hpp"
#include "nat/endpoint.hpp"
#include "nat/session_key.hpp"

namespace sekisho::dataplane {

template <class Address>
using SessionKeyOf = decltype(nat::SessionOf<Address>::type::key);
template <class Address>
struct FlowOf : nat::Canonical<SessionKeyOf<Address>> {
    bool behind = false;  // an end is behind a port block: the key is the packet's own
};

inline std::uint32_t second_of(std::uint64_t now, std::uint64_t tsc_hz) noexcept {
    return static_cast<std::uint32_t>(now / tsc_hz);
}
inline std::uint32_t second_of(const Walk& walk) noexcept {
    return second_of(walk.now, walk.worker.tsc_hz);
}

// nullopt: the protocol has no ports.
constexpr std::optional<nat::PortProtocol> port_protocol_of(std::uint8_t protocol) noexcept {
    switch (protocol) {
        case kProtocolTcp: return nat::PortProtocol::tcp;
        case kProtocolUdp: return nat::PortProtocol::udp;
        case kProtocolIcmp: return nat::PortProtocol::icmp;
        default: return std::nullopt;
    }
}

// The flow of a packet between two hub-space addresses; `fields` has its protocol and ports.
template <class Address>
void make_flow(FlowOf<Address>& flow, const Packet& fields, const Address& source,
               const Address& destination) noexcept {
    nat::make_canonical(flow, source, fields.source_port.value(), destination, fields.destination_port.value(),
                        nat::kHubSpace, fields.protocol);
    flow.behind = false;
}
template <class Address>
FlowOf<Address> flow_of(const Packet& fields, const Address& source, const Address& destination) noexcept {
    FlowOf<Address> flow;
    make_flow(flow, fields, source, destination);
    return flow;
}

// The flow of a packet of `vrf` from `source`, in its space and of row `who`, to hub-space `destination`, of row `hub`.
template <class Address>
[[gnu::always_inline]] inline void make_flow(FlowOf<Address>& flow, const Packet& fields, VrfId vrf,
                                             const WhoRow<Address>& who, const Address& source,
                                             const HubRow<Address>& hub, const Address& destination) noexcept {
    if (!who.is_behind() && !hub.is_pool()) [[likely]]
        return make_flow(flow, fields, who.to_hub.apply(source), destination);
    flow.behind = true;
    flow.turned = false;
    nat::set_addresses(flow.key, who.is_behind() ? source : who.to_hub.apply(source), destination);
    nat::set_ports(flow.key, fields.source_port.value(), fields.destination_port.value(),
                   who.is_behind() ? space_of(vrf) : nat::kHubSpace, fields.protocol);
}
template <class Address>
FlowOf<Address> flow_between(const Packet& fields, VrfId vrf, const WhoRow<Address>& who, const Address& source,
                             const HubRow<Address>& hub, const Address& destination) noexcept {
    FlowOf<Address> flow;
    make_flow(flow, fields, vrf, who, source, hub, destination);
    return flow;
}

// Whose a flow is: the same worker for both directions. `who` and `hub` are its rows, as for flow_between().
WorkerId owner_in_team(const Walk& walk, const FlowOf<Ipv4Address>& flow, const WhoRow<Ipv4Address>& who,
                       const HubRow<Ipv4Address>& hub) noexcept;
WorkerId owner_in_team(const Walk& walk, const FlowOf<Ipv6Address>& flow, const WhoRow<Ipv6Address>& who,
                       const HubRow<Ipv6Address>& hub) noexcept;
template <class Address>
WorkerId owner_of(const Walk& walk, const FlowOf<Address>& flow, const WhoRow<Address>& who,
                  const HubRow<Address>& hub) noexcept {
    return walk.worker.team.size() == 1 ? walk.worker.self : owner_in_team(walk, flow, who, hub);
}
// Whose blocks a host behind one has, `inside` in the space of `vrf`; and the worker that lends to it.
nat::Subscriber subscriber_of(const Tables& tables, VrfId vrf, const WhoRow<Ipv4Address>& who,
                              Ipv4Address inside) noexcept;
WorkerId lender_to(const Walk& walk, const nat::Subscriber& subscriber) noexcept;

template <class Address>
PortClass class_of(const Tables& tables, std::uint8_t protocol, std::uint16_t service_port) noexcept {
    constexpr std::uint8_t kIcmp = Address::kFamily == Family::ipv4 ? kProtocolIcmp : kProtocolIcmpv6;
    switch (protocol) {
        case kProtocolTcp: return tables.tcp_classes.of(service_port);
        case kProtocolUdp: return tables.udp_classes.of(service_port);
        default: return protocol == kIcmp ? kEchoClass : kOtherClass;
    }
}

// Whether a tracked agreement in this permission lets a client send with this protocol to this port of the service.
template <class Address>
bool lets_open(const Tables& tables, Permissions::Index permission, std::uint8_t protocol,
               std::uint16_t service_port) noexcept {
    return tables.permissions.tracked(permission, class_of<Address>(tables, protocol, service_port));
}

}  // namespace sekisho::dataplane

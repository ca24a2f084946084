// Stage 2, local: sorts what is for the hub itself, within the attachment's budgets.
//
// ARP and neighbour discovery are the keeper's; another worker that received them hands them over (team.hpp).
// What only a kernel could answer (TCP to the hub, IKE, BGP, fragments) goes to the attachment's TAP if it has one.
#include "dataplane/local.hpp"

#include "dataplane/kernel/punt.hpp"
#include "dataplane/path_mtu.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kNdHopLimit = 255;  // RFC 4861 §3.1: proof that no router has forwarded it

bool is_error_to_underlay(const Walk& walk, const Packet& packet) noexcept {
    return packet.is(Packet::kIcmpError) && walk.tables.attachments[packet.attachment.index()].underlay;
}

void take_ipv4(Walk& walk, std::size_t i) noexcept {
    const Packet& packet = walk.packets[i];
    if (packet.is(Packet::kKernelFragment)) return punt(walk, i, DropReason::fragment_to_hub);
    if (is_error_to_underlay(walk, packet) && take_path_mtu<Ipv4Address>(walk, i)) return;
    const bool echo =
        packet.is(Packet::kL4Known) && packet.protocol == kProtocolIcmp && packet.l4_type == kIcmpEchoRequest;
    if (!echo) return punt(walk, i, DropReason::no_kernel_port);
    if (!walk.worker.echo_tokens[packet.attachment].take(walk.worker.budgets.echo, walk.now))
        return walk.drop(i, DropReason::local_rate);
    take_echo_request<Ipv4Address>(walk, i);
}

void take_ipv6(Walk& walk, std::size_t i) noexcept {
    const Packet& packet = walk.packets[i];
    if (packet.is(Packet::kKernelFragment)) return punt(walk, i, DropReason::fragment_to_hub);
    if (!packet.is(Packet::kL4Known) || packet.protocol != kProtocolIcmpv6)
        return punt(walk, i, DropReason::no_kernel_port);
    if (is_error_to_underlay(walk, packet) && take_path_mtu<Ipv6Address>(walk, i)) return;
    if (packet.l4_type == kIcmpv6EchoRequest) {
        if (!walk.worker.echo_tokens[packet.attachment].take(walk.worker.budgets.echo, walk.now))
            return walk.drop(i, DropReason::local_rate);
        return take_echo_request<Ipv6Address>(walk, i);
    }
    if (packet.l4_type < kNdRouterSolicitation || packet.l4_type > kNdRedirect)
        return punt(walk, i, DropReason::no_kernel_port);
    // A tunnel has no neighbours.
    if (walk.tables.attachments[packet.attachment.index()].tunnel != TunnelId())
        return walk.drop(i, DropReason::nd_not_ours);
    if (!walk.worker.neighbour_tokens[packet.attachment].take(walk.worker.budgets.neighbours, walk.now))
        return walk.drop(i, DropReason::local_rate);
    if (reinterpret_cast<const Ipv6Header*>(packet.l3)->hop_limit != kNdHopLimit)
        return walk.drop(i, DropReason::nd_malformed);
    if (!walk.worker.is_keeper()) return walk.hand_over(i, Team::kKeeper, Entry::parse);
    take_neighbour_discovery(walk, i);
}

}  // namespace

bool is_neighbour(const Attachment& attachment, Ipv4Address address) noexcept {
    const Prefix4& subnet = attachment.subnet4;
    if (!subnet.contains(address) || address == attachment.ipv4) return false;
    // RFC 3021: a /31 has no network and broadcast address.
    return subnet.length() >= 31 || (address != subnet.first() && address != subnet.last());
}

bool is_neighbour(const Attachment& attachment, const Ipv6Address& address) noexcept {
    if (address.is_unspecified() || address.is_multicast()) return false;
    if (address == attachment.ipv6 || address == attachment.link_local) return false;
    return address.is_link_local() || attachment.subnet6.contains(address);
}

void release_neighbours(Walk& walk) noexcept {
    // Each goes on in the next walk of the port that it came by, on whose account it is held.
    walk.worker.neighbours.release([&](Neighbours::Held& held) noexcept {
        PortCounters& account = walk.worker.counters.ports[held.origin.index()];
        if (walk.worker.resume[held.origin.index()].push(held.packet)) return;
        --account.held;
        ++account.dropped[static_cast<std::size_t>(DropReason::neighbour_hold_full)];
        rte_pktmbuf_free(held.packet.mbuf);
    });
}

void ask_neighbour(Walk& walk, const Neighbours::Question& question) noexcept {
    if (question.family == Family::ipv4)
        send_arp_request(walk, question.attachment, question.ipv4, question.to);
    else
        send_solicitation(walk, question.attachment, question.ipv6, question.to);
}

void local(Walk& walk, const Lane& in) noexcept {
    for (const std::size_t i : in) {
        Packet& packet = walk.packets[i];
        if (packet.is(Packet::kArp)) {
            if (!walk.worker.neighbour_tokens[packet.attachment].take(walk.worker.budgets.neighbours, walk.now))
                walk.drop(i, DropReason::local_rate);
            else if (walk.worker.is_keeper())
                take_arp(walk, i);
            else
                walk.hand_over(i, Team::kKeeper, Entry::parse);
        } else if (packet.is(Packet::kIpv6)) {
            take_ipv6(walk, i);
        } else {
            take_ipv4(walk, i);
        }
    }
}

}  // namespace sekisho::dataplane

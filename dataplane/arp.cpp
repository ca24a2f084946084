// ARP for IPv4 over Ethernet (RFC 826), with the conflict rule of RFC 5227 §2.4.
//
// A request for the attachment's address is answered from its MAC, whoever asks: Linux asks in the name of any address
// of its own that a packet comes from, a loopback's too (arp_announce 0). Who asks, and who answers, is learned if it
// is a neighbour that we know or that speaks to us; what others tell each other is not kept.
#include "dataplane/kernel/punt.hpp"
#include "dataplane/link.hpp"
#include "dataplane/local.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint16_t kHardwareEthernet = 1;

bool is_well_formed(const ArpHeader& arp, const EthernetHeader& ethernet) noexcept {
    return arp.hardware_type.to_host() == kHardwareEthernet &&
           arp.protocol_type.to_host() == static_cast<std::uint16_t>(EtherType::ipv4) && arp.hardware_length == 6 &&
           arp.protocol_length == 4 &&
           (arp.operation.to_host() == kArpRequest || arp.operation.to_host() == kArpReply) &&
           !arp.sender_mac.is_group() && !arp.sender_mac.is_zero() && arp.sender_mac == ethernet.source;
}

// Puts an ARP message of the attachment into a buffer and the port's next walk.
void send(Walk& walk, AttachmentId attachment_id, std::uint16_t operation, const MacAddress& target_mac,
          Ipv4Address target, const MacAddress& to) noexcept {
    rte_mbuf* const mbuf = walk.new_buffer();
    if (mbuf == nullptr) return;
    const Attachment& attachment = walk.tables.attachments[attachment_id.index()];
    Packet packet;
    packet.mbuf = mbuf;
    packet.attachment = packet.egress = attachment_id;
    packet.vrf = attachment.vrf;
    packet.l3 = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
    packet.l3_length = sizeof(ArpHeader);
    auto& arp = *reinterpret_cast<ArpHeader*>(packet.l3);
    arp.hardware_type = Be16::from_host(kHardwareEthernet);
    arp.protocol_type = Be16::from_host(static_cast<std::uint16_t>(EtherType::ipv4));
    arp.hardware_length = 6;
    arp.protocol_length = 4;
    arp.operation = Be16::from_host(operation);
    arp.sender_mac = attachment.mac;
    arp.sender_address = attachment.ipv4.wire();
    arp.target_mac = target_mac;
    arp.target_address = target.wire();
    if (!write_link(packet, attachment, to.bits(), EtherType::arp)) {
        ++walk.account.not_made_buffer;
        rte_pktmbuf_free(mbuf);
        return;
    }
    walk.resume(packet);
}

}  // namespace

void take_arp(Walk& walk, std::size_t i) noexcept {
    Packet& packet = walk.packets[i];
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    const auto* const ethernet = header_at<EthernetHeader>(packet.frame(), 0);
    const auto* const arp = header_at<ArpHeader>(packet.ip(), 0);
    if (arp == nullptr || !is_well_formed(*arp, *ethernet)) return walk.drop(i, DropReason::arp_malformed);
    const Ipv4Address sender(arp->sender_address);
    const Ipv4Address target(arp->target_address);
    const MacAddress sender_mac = arp->sender_mac;
    const bool request = arp->operation.to_host() == kArpRequest;
    if (!request) show_kernel(walk, packet);
    if (sender == attachment.ipv4) {
        claimed(walk, packet.attachment, Conflicts::Which::ipv4, sender_mac);
        return walk.drop(i, DropReason::duplicate_address);
    }
    const bool asks_us = request && target == attachment.ipv4;
    const bool is_probe = sender.is_unspecified();  // RFC 5227 §2.1.1: its sender has no address yet
    if (is_probe || !is_neighbour(attachment, sender)) {
        if (!asks_us) return walk.drop(i, DropReason::arp_not_ours);
        send(walk, packet.attachment, kArpReply, sender_mac, sender, sender_mac);
        if (is_probe && sender_mac != attachment.mac)  // the answer was its defence
            walk.worker.team.conflicts.note(packet.attachment, Conflicts::Which::ipv4, sender_mac, walk.now);
        return walk.consume(i);
    }
    // RFC 826: whoever asks us is added, whoever we know is updated.
    Neighbours& neighbours = walk.worker.neighbours;
    const std::uint32_t neighbour =
        asks_us ? neighbours.find_or_add(packet.attachment, sender) : neighbours.find(packet.attachment, sender);
    if (neighbour != Neighbours::kNone) {
        // Only what answers us shows that it hears us (RFC 4861 §7.3.1, for ARP as well); the rest may be gratuitous.
        if (!request && target == attachment.ipv4)
            neighbours.confirm(neighbour, sender_mac, walk.now);
        else
            neighbours.hear(neighbour, sender_mac, walk.now);
        release_neighbours(walk);
    }
    if (!asks_us && neighbour == Neighbours::kNone) return walk.drop(i, DropReason::arp_not_ours);
    if (asks_us) send(walk, packet.attachment, kArpReply, sender_mac, sender, sender_mac);
    walk.consume(i);
}

void send_arp_request(Walk& walk, AttachmentId attachment, Ipv4Address target, const MacAddress& to) noexcept {
    send(walk, attachment, kArpRequest, MacAddress(), target, to.is_zero() ? kBroadcastMac : to);
}

// RFC 5227 §3: the form of a request.
void send_arp_announcement(Walk& walk, AttachmentId attachment) noexcept {
    const Ipv4Address own = walk.tables.attachments[attachment.index()].ipv4;
    send(walk, attachment, kArpRequest, MacAddress(), own, kBroadcastMac);
}

}  // namespace sekisho::dataplane

// Neighbour discovery for IPv6 (RFC 4861): solicitations answered, advertisements learned from.
//
// The hub is a router that advertises nothing and takes no advice: router solicitations and advertisements and
// redirects are refused. parse has found the packet whole; local has checked its hop limit.
#include <cstring>

#include "dataplane/kernel/punt.hpp"
#include "dataplane/link.hpp"
#include "dataplane/local.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kNdHopLimit = 255;

struct Message {
    const NeighbourMessage* header = nullptr;  // null: malformed
    const LinkLayerOption* link_layer = nullptr;
};

// RFC 4861 §7.1.1 and §7.1.2, both messages: code 0, a good checksum, room for the target, no option of length zero.
Message read(const Packet& packet, std::uint8_t wanted_option) noexcept {
    const std::span<const std::uint8_t> ip(packet.l3, packet.l3_length);
    const std::span<const std::uint8_t> icmp = ip.subspan(packet.l4_offset);
    const auto& header = *reinterpret_cast<const Ipv6Header*>(packet.l3);
    Message message;
    const auto* const neighbour = header_at<NeighbourMessage>(icmp, 0);
    if (neighbour == nullptr || neighbour->code != 0) return message;
    const std::uint64_t pseudo = pseudo_header_sum(header.source, header.destination, kProtocolIcmpv6, icmp.size());
    if (!checksum_is_good(pseudo + sum_of(icmp))) return message;
    std::span<const std::uint8_t> options = icmp.subspan(sizeof(NeighbourMessage));
    while (!options.empty()) {
        if (options.size() < 2 || options[1] == 0 || std::size_t{8} * options[1] > options.size()) return {};
        if (options[0] == wanted_option && options[1] == 1) message.link_layer = header_at<LinkLayerOption>(options, 0);
        options = options.subspan(std::size_t{8} * options[1]);
    }
    message.header = neighbour;
    return message;
}

// Puts a solicitation or advertisement of the attachment into a buffer and the port's next walk.
void send(Walk& walk, AttachmentId attachment_id, std::uint8_t type, std::uint32_t flags, const Ipv6Address& source,
          const Ipv6Address& target, const Ipv6Address& destination, const MacAddress& to) noexcept {
    rte_mbuf* const mbuf = walk.new_buffer();
    if (mbuf == nullptr) return;
    const Attachment& attachment = walk.tables.attachments[attachment_id.index()];
    constexpr std::size_t kIcmpLength = sizeof(NeighbourMessage) + sizeof(LinkLayerOption);
    Packet packet;
    packet.mbuf = mbuf;
    packet.attachment = packet.egress = attachment_id;
    packet.vrf = attachment.vrf;
    packet.mark(Packet::kIpv6);
    packet.l3 = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
    packet.l3_length = sizeof(Ipv6Header) + kIcmpLength;
    auto& header = *reinterpret_cast<Ipv6Header*>(packet.l3);
    header.version_class_flow = Be32::from_host(0x6000'0000);
    header.payload_length = Be16::from_host(kIcmpLength);
    header.next_header = kProtocolIcmpv6;
    header.hop_limit = kNdHopLimit;
    header.source = Ipv6Wire::from(source);
    header.destination = Ipv6Wire::from(destination);
    auto& message = *reinterpret_cast<NeighbourMessage*>(packet.l3 + sizeof(Ipv6Header));
    message.type = type;
    message.code = 0;
    message.checksum = Be16();
    message.flags = Be32::from_host(flags);
    message.target = Ipv6Wire::from(target);
    auto& option = *reinterpret_cast<LinkLayerOption*>(packet.l3 + sizeof(Ipv6Header) + sizeof(NeighbourMessage));
    option.type = type == kNdNeighbourSolicitation ? kNdOptionSourceLinkLayer : kNdOptionTargetLinkLayer;
    option.length = 1;
    option.mac = attachment.mac;
    message.checksum = checksum_of(pseudo_header_sum(header.source, header.destination, kProtocolIcmpv6, kIcmpLength) +
                                   sum_of(packet.ip().subspan(sizeof(Ipv6Header))));
    if (!write_link(packet, attachment, to.bits(), EtherType::ipv6)) {
        ++walk.account.not_made_buffer;
        rte_pktmbuf_free(mbuf);
        return;
    }
    walk.resume(packet);
}

Conflicts::Which which_of(const Attachment& attachment, const Ipv6Address& own) noexcept {
    return own == attachment.link_local ? Conflicts::Which::link_local : Conflicts::Which::ipv6;
}

void take_solicitation(Walk& walk, std::size_t i) noexcept {
    Packet& packet = walk.packets[i];
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    const Message message = read(packet, kNdOptionSourceLinkLayer);
    if (message.header == nullptr) return walk.drop(i, DropReason::nd_malformed);
    const auto& header = *reinterpret_cast<const Ipv6Header*>(packet.l3);
    const Ipv6Address source = header.source.address();
    const Ipv6Address target = message.header->target.address();
    if (target.is_multicast()) return walk.drop(i, DropReason::nd_malformed);
    const bool ours = target == attachment.ipv6 || target == attachment.link_local;
    if (!ours) return walk.drop(i, DropReason::nd_not_ours);

    if (source.is_unspecified()) {  // RFC 4862 §5.4.3: someone is about to take our address; RFC 4861 §7.2.4: tell all
        if (message.link_layer != nullptr || header.destination.address() != target.solicited_node())
            return walk.drop(i, DropReason::nd_malformed);
        send(walk, packet.attachment, kNdNeighbourAdvertisement, kNdFlagRouter | kNdFlagOverride, target, target,
             kAllNodes, MacAddress::of_group(kAllNodes));
        const MacAddress by = header_at<EthernetHeader>(packet.frame(), 0)->source;
        if (by != attachment.mac)  // the answer was its defence
            walk.worker.team.conflicts.note(packet.attachment, which_of(attachment, target), by, walk.now);
        return walk.consume(i);
    }
    if (source == attachment.ipv6 || source == attachment.link_local) {
        claimed(walk, packet.attachment, which_of(attachment, source),
                header_at<EthernetHeader>(packet.frame(), 0)->source);
        return walk.drop(i, DropReason::duplicate_address);
    }
    if (!is_neighbour(attachment, source)) return walk.drop(i, DropReason::nd_not_ours);
    const auto* const ethernet = header_at<EthernetHeader>(packet.frame(), 0);
    const MacAddress mac = message.link_layer != nullptr ? message.link_layer->mac : ethernet->source;
    if (mac.is_group() || mac.is_zero()) return walk.drop(i, DropReason::nd_malformed);
    const std::uint32_t neighbour = walk.worker.neighbours.find_or_add(packet.attachment, source);
    if (neighbour != Neighbours::kNone) {
        walk.worker.neighbours.hear(neighbour, mac, walk.now);  // RFC 4861 §7.2.3: stale, if it is news
        release_neighbours(walk);
    }
    send(walk, packet.attachment, kNdNeighbourAdvertisement, kNdFlagRouter | kNdFlagSolicited | kNdFlagOverride, target,
         target, source, mac);
    walk.consume(i);
}

void take_advertisement(Walk& walk, std::size_t i) noexcept {
    Packet& packet = walk.packets[i];
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    const Message message = read(packet, kNdOptionTargetLinkLayer);
    if (message.header == nullptr) return walk.drop(i, DropReason::nd_malformed);
    const Ipv6Address target = message.header->target.address();
    const std::uint32_t flags = message.header->flags.to_host();
    const bool to_group = reinterpret_cast<const Ipv6Header*>(packet.l3)->destination.address().is_multicast();
    if (target.is_multicast() || (to_group && (flags & kNdFlagSolicited) != 0))
        return walk.drop(i, DropReason::nd_malformed);
    show_kernel(walk, packet);
    if (target == attachment.ipv6 || target == attachment.link_local) {
        claimed(walk, packet.attachment, which_of(attachment, target),
                header_at<EthernetHeader>(packet.frame(), 0)->source);
        return walk.drop(i, DropReason::duplicate_address);
    }
    const std::uint32_t neighbour = walk.worker.neighbours.find(packet.attachment, target);
    if (neighbour == Neighbours::kNone) return walk.drop(i, DropReason::nd_not_ours);  // RFC 4861 §7.2.5: none is made
    // RFC 4861 §7.2.5. What answers a solicitation to a group says its MAC address (§4.4); what answers one to itself
    // may leave it out.
    Neighbours& neighbours = walk.worker.neighbours;
    const Neighbours::Link known = neighbours.link(neighbour);
    const bool solicited = (flags & kNdFlagSolicited) != 0;
    if (message.link_layer == nullptr) {
        if (known.is_known() && solicited) neighbours.confirm(neighbour, known.mac(), walk.now);
        return walk.consume(i);
    }
    const MacAddress mac = message.link_layer->mac;
    if (mac.is_group() || mac.is_zero()) return walk.drop(i, DropReason::nd_malformed);
    if (known.is_known() && known.mac() != mac && (flags & kNdFlagOverride) == 0)
        neighbours.doubt(neighbour, walk.now);
    else if (solicited)
        neighbours.confirm(neighbour, mac, walk.now);
    else
        neighbours.hear(neighbour, mac, walk.now);
    release_neighbours(walk);
    walk.consume(i);
}

}  // namespace

void take_neighbour_discovery(Walk& walk, std::size_t i) noexcept {
    switch (walk.packets[i].l4_type) {
        case kNdNeighbourSolicitation: return take_solicitation(walk, i);
        case kNdNeighbourAdvertisement: return take_advertisement(walk, i);
        default: return walk.drop(i, DropReason::nd_refused);
    }
}

void send_solicitation(Walk& walk, AttachmentId attachment_id, const Ipv6Address& target,
                       const MacAddress& to) noexcept {
    const Attachment& attachment = walk.tables.attachments[attachment_id.index()];
    const Ipv6Address source = target.is_link_local() ? attachment.link_local : attachment.ipv6;
    const bool to_all = to.is_zero();
    send(walk, attachment_id, kNdNeighbourSolicitation, 0, source, target, to_all ? target.solicited_node() : target,
         to_all ? MacAddress::of_group(target.solicited_node()) : to);
}

void send_unsolicited_advertisement(Walk& walk, AttachmentId attachment, const Ipv6Address& own) noexcept {
    send(walk, attachment, kNdNeighbourAdvertisement, kNdFlagRouter | kNdFlagOverride, own, own, kAllNodes,
         MacAddress::of_group(kAllNodes));
}

}  // namespace sekisho::dataplane

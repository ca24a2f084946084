// To the kernel and back. What an attacker sends to the hub's addresses must not cost the sessions that it lives by:
// each class has a budget of its own, and BFD's is spent by those on the link alone (RFC 5082, RFC 5881 §5).
#include "dataplane/kernel/punt.hpp"

#include <array>
#include <cstring>

#include "dataplane/admit.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint16_t kBfdControl = 3784;   // RFC 5881 §4
constexpr std::uint16_t kBfdEcho = 3785;      // RFC 5881 §4
constexpr std::uint16_t kBfdMultihop = 4784;  // RFC 5883 §5
constexpr std::uint16_t kBgp = 179;
constexpr std::uint16_t kIke = 500;
constexpr std::uint16_t kIkeNat = 4500;
constexpr std::uint8_t kOnLinkTtl = 255;
constexpr std::size_t kAddresses = 12;  // of an Ethernet header, before the tag or type

std::uint8_t ttl_of(const Packet& packet) noexcept {
    return packet.is(Packet::kIpv6) ? header_of<Ipv6Address>(packet).hop_limit : header_of<Ipv4Address>(packet).ttl;
}

PuntClass class_of(const Packet& packet) noexcept {
    if (!packet.is(Packet::kL4Known) || packet.is(Packet::kKernelFragment)) return PuntClass::others;
    const std::uint16_t from = packet.source_port.value();
    const std::uint16_t to = packet.destination_port.value();
    if (packet.protocol == kProtocolUdp) {
        if (to == kBfdControl || to == kBfdEcho)
            return ttl_of(packet) == kOnLinkTtl ? PuntClass::bfd : PuntClass::others;
        if (to == kBfdMultihop || to == kIke || to == kIkeNat) return PuntClass::sessions;
    }
    if (packet.protocol == kProtocolTcp && (to == kBgp || from == kBgp)) return PuntClass::sessions;
    return PuntClass::others;
}

// Into the worker's ring, without padding and tag. False when it is full.
bool to_ring(Walk& walk, const Packet& packet, const Attachment& attachment) noexcept {
    const std::uint8_t* const frame = rte_pktmbuf_mtod(packet.mbuf, const std::uint8_t*);
    const std::uint8_t* const type = packet.l3 - sizeof(Be16);
    return walk.worker.team.kernel.from(walk.worker.self)
        .put(attachment.tap, packet.attachment, {frame, kAddresses}, {type, sizeof(Be16) + packet.l3_length});
}

bool is_from_us(const Attachment& attachment, std::span<const std::uint8_t> frame) noexcept {
    const auto* const ethernet = header_at<EthernetHeader>(frame, 0);
    if (ethernet == nullptr || ethernet->source != attachment.mac) return false;
    const std::span<const std::uint8_t> packet = frame.subspan(sizeof(EthernetHeader));
    switch (static_cast<EtherType>(ethernet->ether_type.to_host())) {
        case EtherType::arp: {
            const auto* const arp = header_at<ArpHeader>(packet, 0);
            if (arp == nullptr || !attachment.serves_ipv4 || arp->sender_mac != attachment.mac) return false;
            const Ipv4Address sender(arp->sender_address);
            return sender == attachment.ipv4 || sender.is_unspecified();  // RFC 5227 §2.1.1: a probe
        }
        case EtherType::ipv4: {
            const auto* const ip = header_at<Ipv4Header>(packet, 0);
            return ip != nullptr && attachment.serves_ipv4 && Ipv4Address(ip->source) == attachment.ipv4;
        }
        case EtherType::ipv6: {
            const auto* const ip = header_at<Ipv6Header>(packet, 0);
            if (ip == nullptr || !attachment.serves_ipv6) return false;
            const Ipv6Address source = ip->source.address();
            return is_own(attachment, source) || source.is_unspecified();  // RFC 4862 §5.4.2: a probe
        }
        default: return false;
    }
}

}  // namespace

void punt(Walk& walk, std::size_t i, DropReason otherwise) noexcept {
    const Packet& packet = walk.packets[i];
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    // What came by a tunnel has no Ethernet header to be shown with.
    if (attachment.tap == TapId() || attachment.tunnel != TunnelId()) return walk.drop(i, otherwise);
    const auto kind = static_cast<std::size_t>(class_of(packet));
    if (!walk.worker.punt_tokens[packet.attachment][kind].take(walk.worker.budgets.punts[kind], walk.now))
        return walk.drop(i, DropReason::local_rate);
    if (!to_ring(walk, packet, attachment)) return walk.drop(i, DropReason::kernel_port_full);
    walk.punted(i);
}

void show_kernel(Walk& walk, const Packet& packet) noexcept {
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    if (attachment.tap != TapId()) to_ring(walk, packet, attachment);
}

void take_from_kernel(Walk& walk, const FrameRing::Frame& frame) noexcept {
    ++walk.account.made;
    const auto drop = [&](DropReason reason) { ++walk.account.dropped[static_cast<std::size_t>(reason)]; };
    // The TAPs follow the tables, and not at once.
    const auto& attachments = walk.tables.attachments;
    if (frame.attachment.index() >= attachments.size()) return drop(DropReason::handover_stale);
    const Attachment& attachment = attachments[frame.attachment.index()];
    if (attachment.tap != frame.tap) return drop(DropReason::handover_stale);
    if (!attachment.open) return drop(DropReason::egress_closed);
    if (attachment.tunnel != TunnelId() || !is_from_us(attachment, frame.bytes))
        return drop(DropReason::kernel_frame_refused);
    if (frame.bytes.size() > sizeof(EthernetHeader) + attachment.mtu) return drop(DropReason::packet_too_big);

    const bool tagged = attachment.vlan.value() != Attachment::kUntagged;
    const std::size_t length = frame.bytes.size() + (tagged ? sizeof(VlanTag) : 0);
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(walk.worker.pool);
    if (mbuf == nullptr || rte_pktmbuf_tailroom(mbuf) < length) {
        rte_pktmbuf_free(mbuf);
        return drop(DropReason::no_room);
    }
    auto* to = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(length)));
    std::memcpy(to, frame.bytes.data(), kAddresses);
    to += kAddresses;
    if (tagged) {
        const std::array tag = {Be16::from_host(static_cast<std::uint16_t>(EtherType::vlan)),
                                Be16::from_host(attachment.vlan.value())};
        std::memcpy(to, tag.data(), sizeof tag);
        to += sizeof tag;
    }
    std::memcpy(to, frame.bytes.data() + kAddresses, frame.bytes.size() - kAddresses);
    Outbox& outbox = walk.worker.outbox[attachment.port.index()];
    outbox.frames[outbox.count++] = mbuf;
}

}  // namespace sekisho::dataplane

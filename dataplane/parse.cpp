// Stage 1, parse: reads the headers of every received frame, once, and sorts it.
//
// Ethernet and 802.1Q; IPv4 (RFC 791, checks of RFC 1812 §5.2.2) and IPv6 (RFC 8200) with a bounded chain of extension
// headers; the ports, flags or type of L4, or where a fragment lies. Finds the attachment. It judges form only: who may
// go where is admit's business. Nothing is read past the end of a frame; nothing past the IP packet's own length is
// looked at again.
#include <cstring>

#include "dataplane/esp_udp.hpp"
#include "dataplane/parse_any.hpp"
#include "dataplane/stages.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

// A frame at least this long has room for a tag, IPv4 or IPv6 without options, and the first bytes of TCP or UDP.
constexpr std::size_t kUsualLength = sizeof(EthernetHeader) + sizeof(VlanTag) + sizeof(Ipv4Header) + sizeof(TcpHeader);
constexpr std::uint8_t kUsualIpv4 = 0x45;  // version and header length of IPv4 without options

constexpr Be16 wire(EtherType type) noexcept {
    return Be16::from_host(static_cast<std::uint16_t>(type));
}

// Of a header without options: in 64-bit words, each carry brought round (RFC 1071 §2(B) and (C)).
std::uint64_t header_sum(const Ipv4Header& header) noexcept {
    static_assert(sizeof header == 20);
    const auto* const at = reinterpret_cast<const std::uint8_t*>(&header);
    std::uint64_t first, second;
    std::uint32_t third;
    std::memcpy(&first, at, sizeof first);
    std::memcpy(&second, at + 8, sizeof second);
    std::memcpy(&third, at + 16, sizeof third);
    std::uint64_t sum;
    const bool carry = __builtin_add_overflow(first, second, &sum);
    const bool again = __builtin_add_overflow(sum, std::uint64_t{third} + carry, &sum);
    return sum + again;
}

// ESP in UDP to an underlay's own address, whole, and UDP's length the packet's. The rest is parse_any()'s.
[[gnu::noinline]] Way usual_in_udp(Packet& packet, L4Port esp_port, std::uint8_t protocol, std::size_t offset,
                                   std::size_t length, std::uint32_t family) noexcept {
    if (protocol != kProtocolUdp || length < offset + sizeof(UdpHeader) + sizeof(Be32)) return Way::unusual;
    const auto& udp = *reinterpret_cast<const UdpHeader*>(packet.l3 + offset);
    const std::span<const std::uint8_t> bytes(packet.l3 + offset, length - offset);
    if (udp.destination_port.to_host() != esp_port.value() || udp.length.to_host() != bytes.size() ||
        udp_payload(bytes.subspan(sizeof udp)) != UdpPayload::esp)
        return Way::unusual;
    if (family != 0 && !udp_checksum_is_good(*reinterpret_cast<const Ipv6Header*>(packet.l3), bytes))
        return Way::unusual;
    packet.l3_length = static_cast<std::uint16_t>(length);
    packet.l4_offset = static_cast<std::uint16_t>(offset + sizeof udp);
    packet.source_port = L4Port(udp.source_port.to_host());
    packet.marks = family | Packet::kInUdp;
    return Way::esp;
}

// Nearly every frame: whole and right, to the hub's MAC, TCP or UDP, without options, not a fragment, to be forwarded;
// on an underlay, ESP to the hub's own address, and the same inside it.
// Whatever is not like that is `unusual`, and parse_any() says what it is. It lives in registers only.
class UsualParser {
  public:
    UsualParser(Walk& walk, std::size_t index) noexcept : walk_(walk), packet_(walk.packets[index]) {}

    Way run() noexcept {
        const std::span<std::uint8_t> bytes = packet_.frame();
        if (packet_.mbuf->nb_segs != 1 || bytes.size() < kUsualLength) return Way::unusual;
        const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(bytes.data());
        Be16 ether_type = ethernet.ether_type;
        std::size_t l3_offset = sizeof(EthernetHeader);
        std::size_t vlan = Attachment::kUntagged;
        if (ether_type == wire(EtherType::vlan)) {
            const auto& tag = *reinterpret_cast<const VlanTag*>(bytes.data() + l3_offset);
            vlan = tag.vlan().index();
            ether_type = tag.ether_type;
            l3_offset += sizeof(VlanTag);
        }
        const AttachmentId attachment = walk_.tables.attachment_on(walk_.origin, vlan);
        if (attachment == Tables::kNoAttachment) return Way::unusual;
        attachment_ = &walk_.tables.attachments[attachment.index()];
        if (!attachment_->open || ethernet.destination != attachment_->mac) return Way::unusual;
        packet_.attachment = attachment;
        packet_.vrf = attachment_->vrf;
        packet_.l3 = bytes.data() + l3_offset;
        const std::size_t room = bytes.size() - l3_offset;
        if (ether_type == wire(EtherType::ipv4) && attachment_->serves_ipv4)
            return attachment_->underlay ? esp4(room) : ipv4(room);
        if (ether_type == wire(EtherType::ipv6) && attachment_->serves_ipv6)
            return attachment_->underlay ? esp6(room) : ipv6(room);
        return Way::unusual;
    }

    // What was opened: see parse_inner().
    Way run_inner(AttachmentId attachment, std::span<std::uint8_t> bytes, Family family) noexcept {
        attachment_ = &walk_.tables.attachments[attachment.index()];
        if (!attachment_->open) return Way::unusual;
        packet_.attachment = attachment;
        packet_.vrf = attachment_->vrf;
        packet_.l3 = bytes.data();
        if (family == Family::ipv4) return attachment_->serves_ipv4 ? ipv4(bytes.size()) : Way::unusual;
        return attachment_->serves_ipv6 ? ipv6(bytes.size()) : Way::unusual;
    }

  private:
    Way esp4(std::size_t room) noexcept {
        const auto& header = *reinterpret_cast<const Ipv4Header*>(packet_.l3);
        const std::size_t length = header.total_length.to_host();
        if (header.version_ihl != kUsualIpv4 || length > room || length < sizeof header ||
            (header.flags_offset.to_host() & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0 ||
            !checksum_is_good(header_sum(header)) || Ipv4Address(header.destination) != attachment_->ipv4)
            return Way::unusual;
        return esp(header.protocol, sizeof header, length, 0);
    }
    Way esp6(std::size_t room) noexcept {
        const auto& header = *reinterpret_cast<const Ipv6Header*>(packet_.l3);
        const std::size_t length = sizeof header + header.payload_length.to_host();
        if (room < sizeof header || header.version() != 6 || length > room ||
            header.destination.address() != attachment_->ipv6)
            return Way::unusual;
        return esp(header.next_header, sizeof header, length, Packet::kIpv6);
    }
    Way esp(std::uint8_t protocol, std::size_t offset, std::size_t length, std::uint32_t family) noexcept {
        if (protocol != kProtocolEsp)
            return usual_in_udp(packet_, attachment_->esp_port, protocol, offset, length, family);
        packet_.l3_length = static_cast<std::uint16_t>(length);
        packet_.l4_offset = static_cast<std::uint16_t>(offset);
        packet_.marks = family;
        return Way::esp;
    }

    Way ipv4(std::size_t room) noexcept {
        const auto& header = *reinterpret_cast<const Ipv4Header*>(packet_.l3);
        const std::size_t length = header.total_length.to_host();
        if (header.version_ihl != kUsualIpv4 || length > room ||
            (header.flags_offset.to_host() & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0 ||
            !checksum_is_good(header_sum(header)) || Ipv4Address(header.destination) == attachment_->ipv4)
            return Way::unusual;
        return l4(header.protocol, sizeof header, length, 0) ? Way::ipv4 : Way::unusual;
    }
    Way ipv6(std::size_t room) noexcept {
        const auto& header = *reinterpret_cast<const Ipv6Header*>(packet_.l3);
        const std::size_t length = sizeof header + header.payload_length.to_host();
        if (room < sizeof header || header.version() != 6 || length > room) return Way::unusual;
        const Ipv6Address destination = header.destination.address();
        // fe80::/10 and ff00::/8 are in fe00::/7.
        if (destination.high() >> 57 == 0x7f || destination == attachment_->ipv6) return Way::unusual;
        return l4(header.next_header, sizeof header, length, Packet::kIpv6) ? Way::ipv6 : Way::unusual;
    }
    // Fills in the packet if its L4 header is TCP's or UDP's, and whole.
    bool l4(std::uint8_t protocol, std::size_t offset, std::size_t length, std::uint32_t family) noexcept {
        const auto& tcp = *reinterpret_cast<const TcpHeader*>(packet_.l3 + offset);
        std::uint8_t type = 0;
        std::uint32_t syn = 0;
        if (protocol == kProtocolTcp) {
            if (length < offset + sizeof(TcpHeader)) return false;
            const std::size_t bytes = std::size_t{4} * (tcp.data_offset >> 4U);
            if (bytes < sizeof(TcpHeader) || bytes > length - offset) return false;
            type = tcp.flags;
            syn = (tcp.flags & kTcpSyn) * (Packet::kSyn / kTcpSyn);
        } else if (protocol != kProtocolUdp || length < offset + sizeof(UdpHeader)) {
            return false;
        }
        packet_.l3_length = static_cast<std::uint16_t>(length);
        packet_.l4_offset = static_cast<std::uint16_t>(offset);
        packet_.source_port = L4Port(tcp.source_port.to_host());  // UDP's lie there too
        packet_.destination_port = L4Port(tcp.destination_port.to_host());
        packet_.protocol = protocol;
        packet_.l4_type = type;
        packet_.marks = family | Packet::kL4Known | syn;
        return true;
    }

    Walk& walk_;
    Packet& packet_;
    const Attachment* attachment_ = nullptr;
};

void sort(Way way, std::size_t i, const ParseOut& out) noexcept {
    switch (way) {
        case Way::ipv4: return out.ipv4.add(i);
        case Way::ipv6: return out.ipv6.add(i);
        case Way::local: return out.local.add(i);
        case Way::esp: return out.esp.add(i);
        case Way::outer_fragments: return out.outer_fragments.add(i);
        case Way::errors4: return out.errors4.add(i);
        case Way::errors6: return out.errors6.add(i);
        case Way::fragments4: return out.fragments4.add(i);
        case Way::fragments6: return out.fragments6.add(i);
        case Way::dropped:
        case Way::unusual: return;
    }
}

}  // namespace

void parse(Walk& walk, ParseOut out) noexcept {
    constexpr std::size_t kAhead = 4;
    for (std::size_t i = 0; i < walk.received; ++i) {
        if (i + kAhead < walk.received) prefetch(rte_pktmbuf_mtod(walk.packets[i + kAhead].mbuf, const void*));
        Way way = UsualParser(walk, i).run();
        if (way == Way::unusual) way = parse_any(walk, i);
        sort(way, i, out);
    }
}

void parse_inner(Walk& walk, std::size_t i, AttachmentId attachment, std::span<std::uint8_t> bytes, Family family,
                 const ParseOut& out) noexcept {
    Way way = UsualParser(walk, i).run_inner(attachment, bytes, family);
    if (way == Way::unusual) way = parse_any_inner(walk, i, attachment, bytes, family);
    sort(way, i, out);
}

void parse_whole(Walk& walk, std::size_t i, ParseOut out) noexcept {
    sort(parse_any(walk, i), i, out);
}

void parse_opened(Walk& walk, ParseOut out) noexcept {
    const std::vector<Attachment>& attachments = walk.tables.attachments;
    for (std::size_t i = 0; i < walk.received; ++i) {
        const Packet& packet = walk.packets[i];
        const AttachmentId attachment = packet.attachment;
        if (attachment.index() >= attachments.size() || attachments[attachment.index()].tunnel == TunnelId())
            walk.drop(i, DropReason::handover_stale);
        else
            parse_inner(walk, i, attachment, walk.packets[i].ip(),
                        packet.is(Packet::kIpv6) ? Family::ipv6 : Family::ipv4, out);
    }
}

}  // namespace sekisho::dataplane

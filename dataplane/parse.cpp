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

constexpr Be16 wire(EtherType type) noexcept {
    return Be16::from_host(static_cast<std::uint16_t>(type));
}

// An IPv4 header without options, loaded once: a field is a shift away, where a load for each would be two
// instructions.
class HeaderWords {
  public:
    explicit HeaderWords(const std::uint8_t* at) noexcept {
        static_assert(sizeof(Ipv4Header) == 20);
        Be64 first, second;
        Be32 third;
        std::memcpy(&first, at, sizeof first);
        std::memcpy(&second, at + 8, sizeof second);
        std::memcpy(&third, at + 16, sizeof third);
        first_ = first.to_host();
        second_ = second.to_host();
        third_ = third.to_host();
    }
    // Version 4, no options, and not a fragment.
    bool is_plain() const noexcept {
        constexpr std::uint64_t kVersion = 0x45ULL << 56;
        return (first_ & (0xffULL << 56 | kIpv4MoreFragments | kIpv4OffsetMask)) == kVersion;
    }
    std::size_t total_length() const noexcept { return first_ >> 32 & 0xffff; }
    std::uint8_t protocol() const noexcept { return static_cast<std::uint8_t>(second_ >> 48); }
    Ipv4Address destination() const noexcept { return Ipv4Address(third_); }
    // Each carry is brought round (RFC 1071 §2(B) and (C)).
    bool has_good_checksum() const noexcept {
        std::uint64_t sum;
        const bool carry = __builtin_add_overflow(first_, second_, &sum);
        const bool again = __builtin_add_overflow(sum, std::uint64_t{third_} + carry, &sum);
        return checksum_is_good(sum + again);
    }

  private:
    std::uint64_t first_, second_;
    std::uint32_t third_;
};

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
    explicit UsualParser(const Walk& walk) noexcept
        : attachments_(walk.tables.attachments.data()), by_vlan_(walk.tables.attachments_on(walk.origin)) {}

    Way run(Packet& packet) const noexcept {
        const std::span<std::uint8_t> bytes = packet.frame();
        if (packet.mbuf->nb_segs != 1 || bytes.size() < kUsualLength || by_vlan_ == nullptr) return Way::unusual;
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
        const AttachmentId id = by_vlan_[vlan];
        if (id == Tables::kNoAttachment) return Way::unusual;
        const Attachment& attachment = attachments_[id.index()];
        if (!attachment.open || ethernet.destination != attachment.mac) return Way::unusual;
        packet.attachment = id;
        packet.l3 = bytes.data() + l3_offset;
        const std::size_t room = bytes.size() - l3_offset;
        if (ether_type == wire(EtherType::ipv4) && attachment.serves_ipv4)
            return attachment.underlay ? esp4(packet, attachment, room) : ipv4(packet, attachment, room);
        if (ether_type == wire(EtherType::ipv6) && attachment.serves_ipv6)
            return attachment.underlay ? esp6(packet, attachment, room) : ipv6(packet, attachment, room);
        return Way::unusual;
    }

    // What was opened: see parse_inner().
    Way run_inner(Packet& packet, AttachmentId id, std::span<std::uint8_t> bytes, Family family) const noexcept {
        const Attachment& attachment = attachments_[id.index()];
        if (!attachment.open) return Way::unusual;
        packet.attachment = id;
        packet.l3 = bytes.data();
        if (family == Family::ipv4)
            return attachment.serves_ipv4 ? ipv4(packet, attachment, bytes.size()) : Way::unusual;
        return attachment.serves_ipv6 ? ipv6(packet, attachment, bytes.size()) : Way::unusual;
    }

  private:
    static Way esp4(Packet& packet, const Attachment& attachment, std::size_t room) noexcept {
        const HeaderWords header(packet.l3);
        const std::size_t length = header.total_length();
        if (!header.is_plain() || length > room || length < sizeof(Ipv4Header) || !header.has_good_checksum() ||
            header.destination() != attachment.ipv4)
            return Way::unusual;
        return esp(packet, attachment, header.protocol(), sizeof(Ipv4Header), length, 0);
    }
    static Way esp6(Packet& packet, const Attachment& attachment, std::size_t room) noexcept {
        const auto& header = *reinterpret_cast<const Ipv6Header*>(packet.l3);
        const std::size_t length = sizeof header + header.payload_length.to_host();
        if (room < sizeof header || header.version() != 6 || length > room ||
            header.destination.address() != attachment.ipv6)
            return Way::unusual;
        return esp(packet, attachment, header.next_header, sizeof header, length, Packet::kIpv6);
    }
    static Way esp(Packet& packet, const Attachment& attachment, std::uint8_t protocol, std::size_t offset,
                   std::size_t length, std::uint32_t family) noexcept {
        packet.vrf = attachment.vrf;
        if (protocol != kProtocolEsp)
            return usual_in_udp(packet, attachment.esp_port, protocol, offset, length, family);
        packet.l3_length = static_cast<std::uint16_t>(length);
        packet.l4_offset = static_cast<std::uint16_t>(offset);
        packet.marks = family;
        return Way::esp;
    }

    static Way ipv4(Packet& packet, const Attachment& attachment, std::size_t room) noexcept {
        const HeaderWords header(packet.l3);
        const std::size_t length = header.total_length();
        if (!header.is_plain() || length > room || !header.has_good_checksum() ||
            header.destination() == attachment.ipv4)
            return Way::unusual;
        return l4(packet, attachment.vrf, header.protocol(), sizeof(Ipv4Header), length, 0) ? Way::ipv4 : Way::unusual;
    }
    static Way ipv6(Packet& packet, const Attachment& attachment, std::size_t room) noexcept {
        const auto& header = *reinterpret_cast<const Ipv6Header*>(packet.l3);
        const std::size_t length = sizeof header + header.payload_length.to_host();
        if (room < sizeof header || header.version() != 6 || length > room) return Way::unusual;
        const Ipv6Address destination = header.destination.address();
        // fe80::/10 and ff00::/8 are in fe00::/7.
        if (destination.high() >> 57 == 0x7f || destination == attachment.ipv6) return Way::unusual;
        return l4(packet, attachment.vrf, header.next_header, sizeof header, length, Packet::kIpv6) ? Way::ipv6
                                                                                                    : Way::unusual;
    }
    // Fills in the packet if its L4 header is TCP's or UDP's, and whole.
    static bool l4(Packet& packet, VrfId vrf, std::uint8_t protocol, std::size_t offset, std::size_t length,
                   std::uint32_t family) noexcept {
        const auto& tcp = *reinterpret_cast<const TcpHeader*>(packet.l3 + offset);
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
        Be32 ports;  // UDP's lie there too
        std::memcpy(&ports, packet.l3 + offset, sizeof ports);
        packet.set_found(static_cast<std::uint16_t>(length), static_cast<std::uint16_t>(offset), ports,
                         packet.attachment, family | Packet::kL4Known | syn, protocol, type, vrf);
        return true;
    }

    const Attachment* attachments_;
    const AttachmentId* by_vlan_;
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
    const UsualParser usual(walk);
    Packet* const packets = walk.packets.data();
    const std::size_t received = walk.received;
    for (std::size_t i = 0; i < received; ++i) {
        if (i + kAhead < received) prefetch(rte_pktmbuf_mtod(packets[i + kAhead].mbuf, const void*));
        Way way = usual.run(packets[i]);
        if (way == Way::unusual) way = parse_any(walk, i);
        sort(way, i, out);
    }
}

void parse_inner(Walk& walk, std::size_t i, AttachmentId attachment, std::span<std::uint8_t> bytes, Family family,
                 const ParseOut& out) noexcept {
    Way way = UsualParser(walk).run_inner(walk.packets[i], attachment, bytes, family);
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

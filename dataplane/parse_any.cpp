// Any frame: every check of parse, in order, each with its drop reason.
#include "dataplane/parse_any.hpp"

#include <array>
#include <optional>

#include "dataplane/esp_udp.hpp"
#include "dataplane/ipv4_options.hpp"
#include "dataplane/stages.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr int kMaxExtensionHeaders = 8;
constexpr std::size_t kMaxExtensionBytes = 512;

constexpr bool is_for_others(Way way) noexcept {
    return way != Way::local && way != Way::esp && way != Way::outer_fragments && way != Way::dropped;
}
class Parser {
  public:
    Parser(Walk& walk, std::size_t index) noexcept : walk_(walk), index_(index), packet_(walk.packets[index]) {}

    Way run() noexcept {
        packet_ = Packet(packet_.mbuf);
        if (packet_.mbuf->nb_segs != 1) return drop(DropReason::frame_segmented);
        const std::span<std::uint8_t> bytes = packet_.frame();
        const auto* const ethernet = header_at<EthernetHeader>(bytes, 0);
        if (ethernet == nullptr) return drop(DropReason::frame_truncated);
        std::size_t l3_offset = sizeof(EthernetHeader);
        std::uint16_t ether_type = ethernet->ether_type.to_host();
        std::size_t vlan = Attachment::kUntagged;
        if (ether_type == static_cast<std::uint16_t>(EtherType::vlan)) {
            const auto* const tag = header_at<VlanTag>(bytes, l3_offset);
            if (tag == nullptr) return drop(DropReason::frame_truncated);
            vlan = tag->vlan().index();
            ether_type = tag->ether_type.to_host();
            l3_offset += sizeof(VlanTag);
        }
        const AttachmentId attachment = walk_.tables.attachment_on(walk_.origin, vlan);
        if (attachment == Tables::kNoAttachment) return drop(DropReason::attachment_unknown);
        packet_.attachment = attachment;
        attachment_ = &walk_.tables.attachments[attachment.index()];
        if (!attachment_->open) return drop(DropReason::attachment_closed);
        packet_.vrf = attachment_->vrf;
        if (ethernet->destination != attachment_->mac) {
            if (!ethernet->destination.is_group()) return drop(DropReason::mac_not_ours);
            packet_.mark(Packet::kGroupFrame);
        }
        packet_.l3 = bytes.data() + l3_offset;
        const std::span<std::uint8_t> rest = bytes.subspan(l3_offset);
        switch (static_cast<EtherType>(ether_type)) {
            case EtherType::ipv4: return ip(Family::ipv4, rest);
            case EtherType::ipv6: return ip(Family::ipv6, rest);
            case EtherType::arp:
                packet_.l3_length = static_cast<std::uint16_t>(rest.size());
                packet_.mark(Packet::kArp);
                return attachment_->serves_ipv4 ? Way::local : drop(DropReason::family_not_served);
            default: return drop(DropReason::ether_type_refused);
        }
    }

    Way run_inner(AttachmentId attachment, std::span<std::uint8_t> bytes, Family family) noexcept {
        packet_ = Packet(packet_.mbuf);
        packet_.attachment = attachment;
        attachment_ = &walk_.tables.attachments[attachment.index()];
        if (!attachment_->open) return drop(DropReason::attachment_closed);
        packet_.vrf = attachment_->vrf;
        packet_.l3 = bytes.data();
        return ip(family, bytes);
    }

  private:
    Way drop(DropReason reason) noexcept {
        walk_.drop(index_, reason);
        return Way::dropped;
    }

    Way ip(Family family, std::span<std::uint8_t> bytes) noexcept {
        const bool is_ipv4 = family == Family::ipv4;
        if (!(is_ipv4 ? attachment_->serves_ipv4 : attachment_->serves_ipv6))
            return drop(DropReason::family_not_served);
        const Way way = is_ipv4 ? ipv4(bytes) : ipv6(bytes);
        if (attachment_->underlay && is_for_others(way)) return drop(DropReason::underlay_plain);
        return way;
    }
    Way to_hub() noexcept {
        if (!attachment_->underlay) return Way::local;
        if (packet_.protocol == kProtocolEsp) return Way::esp;
        const bool in_udp = packet_.protocol == kProtocolUdp && packet_.is(Packet::kL4Known) &&
                            packet_.destination_port == attachment_->esp_port;
        return in_udp ? udp_to_hub() : Way::local;
    }
    // To the port for ESP in UDP.
    Way udp_to_hub() noexcept {
        const std::span<const std::uint8_t> room = packet_.ip().subspan(packet_.l4_offset);
        const std::size_t length = header_at<UdpHeader>(room, 0)->length.to_host();
        if (length < sizeof(UdpHeader) || length > room.size()) return drop(DropReason::l4_truncated);
        const auto udp = room.first(length);
        if (packet_.is(Packet::kIpv6) && !udp_checksum_is_good(*reinterpret_cast<const Ipv6Header*>(packet_.l3), udp))
            return drop(DropReason::local_checksum);
        switch (udp_payload(udp.subspan(sizeof(UdpHeader)))) {
            case UdpPayload::ike: return Way::local;
            case UdpPayload::truncated: return drop(DropReason::esp_truncated);
            case UdpPayload::keepalive: walk_.consume(index_); return Way::dropped;
            case UdpPayload::esp: break;
        }
        packet_.l3_length = static_cast<std::uint16_t>(packet_.l4_offset + length);  // what lies behind is no ESP
        packet_.l4_offset = static_cast<std::uint16_t>(packet_.l4_offset + sizeof(UdpHeader));
        packet_.mark(Packet::kInUdp);
        return Way::esp;
    }

    Way ipv4(std::span<std::uint8_t> bytes) noexcept {
        const auto* const header = header_at<Ipv4Header>(bytes, 0);
        if (header == nullptr) return drop(DropReason::ipv4_truncated);
        if (header->version() != 4) return drop(DropReason::ipv4_version);
        const std::size_t header_length = header->header_length();
        const std::size_t total_length = header->total_length.to_host();
        if (header_length < sizeof(Ipv4Header)) return drop(DropReason::ipv4_header_length);
        if (total_length > bytes.size()) return drop(DropReason::ipv4_total_length);
        if (total_length < header_length) return drop(DropReason::ipv4_header_length);
        if (!checksum_is_good(sum_of(bytes.first(header_length)))) return drop(DropReason::ipv4_checksum);
        packet_.l3_length = static_cast<std::uint16_t>(total_length);
        packet_.l4_offset = static_cast<std::uint16_t>(header_length);
        packet_.protocol = header->protocol;
        if (header_length > sizeof(Ipv4Header)) {
            const auto options = bytes.subspan(sizeof(Ipv4Header), header_length - sizeof(Ipv4Header));
            if (const auto reason = reason_to_refuse(options)) return drop(*reason);
        }
        if ((header->flags_offset.to_host() & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0) return fragment4(*header);
        if (!l4(kProtocolIcmp)) return drop(DropReason::l4_truncated);
        if (Ipv4Address(header->destination) == attachment_->ipv4) return to_hub();
        if (packet_.is(Packet::kGroupFrame)) return drop(reason_of_group(Ipv4Address(header->destination)));
        return packet_.is(Packet::kIcmpError) ? Way::errors4 : Way::ipv4;
    }

    Way fragment4(const Ipv4Header& header) noexcept {
        const Ipv4Address destination(header.destination);
        const bool to_hub = destination == attachment_->ipv4;
        if (to_hub && !may_be_esp()) return fragment_to_hub();
        if (!to_hub && packet_.is(Packet::kGroupFrame)) return drop(reason_of_group(destination));
        const std::uint16_t word = header.flags_offset.to_host();
        const Part part{header.identification.to_host(), std::size_t{8} * (word & kIpv4OffsetMask),
                        (word & kIpv4MoreFragments) == 0, packet_.l4_offset};
        return fragment(part, packet_.l4_offset, kProtocolIcmp, to_hub ? Way::outer_fragments : Way::fragments4);
    }

    bool may_be_esp() const noexcept {
        return attachment_->underlay && (packet_.protocol == kProtocolEsp || packet_.protocol == kProtocolUdp);
    }

    // The hub puts together only what may be ESP; a kernel the rest.
    Way fragment_to_hub() noexcept {
        if (attachment_->tap == TapId()) return drop(DropReason::fragment_to_hub);
        packet_.mark(Packet::kKernelFragment);
        return Way::local;
    }

    // A fragment, as its header tells of it.
    struct Part {
        std::uint32_t identification;
        std::size_t begin;   // of its bytes in the datagram
        bool last;           // the datagram ends with it
        std::size_t offset;  // of its bytes in this packet, from l3
    };

    // `before`: bytes of the datagram's IP header that count for its length.
    Way fragment(const Part& part, std::size_t before, std::uint8_t icmp, Way way) noexcept {
        const std::size_t length = packet_.l3_length - part.offset;
        const std::size_t end = part.begin + length;
        // RFC 791 §3.2, RFC 8200 §4.5: only the last fragment may end anywhere, and none beyond the longest datagram.
        if (length == 0 || (!part.last && length % 8 != 0) || before + end > 65535)
            return drop(DropReason::fragment_length);
        if (part.begin != 0) {
            if (packet_.protocol == kProtocolTcp && part.begin < sizeof(TcpHeader))
                return drop(DropReason::fragment_in_header);
            packet_.mark(Packet::kLaterFragment);
        } else if (!l4(icmp)) {
            return drop(DropReason::fragment_tiny);
        }
        walk_.worker.places[index_] = {part.identification, static_cast<std::uint16_t>(part.begin),
                                       static_cast<std::uint16_t>(end), part.last};
        return way;
    }

    // A frame to a group address that is not for the hub: RFC 1812 §5.3.4 forbids forwarding it, whatever it carries.
    DropReason reason_of_group(Ipv4Address destination) const noexcept {
        if (destination.is_multicast()) return DropReason::multicast;
        if (destination.is_limited_broadcast() || destination == attachment_->subnet4.last())
            return DropReason::directed_broadcast;
        return DropReason::mac_not_ours;
    }

    Way ipv6(std::span<std::uint8_t> bytes) noexcept {
        const auto* const header = header_at<Ipv6Header>(bytes, 0);
        if (header == nullptr) return drop(DropReason::ipv6_truncated);
        if (header->version() != 6) return drop(DropReason::ipv6_version);
        const std::size_t length = sizeof(Ipv6Header) + header->payload_length.to_host();
        if (length > bytes.size() || length > 65535) return drop(DropReason::ipv6_payload_length);
        packet_.mark(Packet::kIpv6);
        packet_.l3_length = static_cast<std::uint16_t>(length);
        packet_.l4_offset = sizeof(Ipv6Header);
        packet_.protocol = header->next_header;
        const Ipv6Address destination = header->destination.address();
        const bool for_hub = destination == attachment_->ipv6 || is_local(destination);
        std::optional<Part> part;
        if (is_extension(packet_.protocol)) {
            const Way way = extensions(bytes.first(length), part);
            if (way == Way::dropped) return way;
            if (part && for_hub) return fragment6_to_hub(*part, destination);
        }
        const bool fragmented = part && !(part->begin == 0 && part->last);
        if (!fragmented && !l4(kProtocolIcmpv6)) return drop(DropReason::l4_truncated);
        if (for_hub) return destination.is_multicast() ? Way::local : to_hub();
        if (packet_.is(Packet::kGroupFrame))
            return drop(destination.is_multicast() ? DropReason::multicast : DropReason::mac_not_ours);
        if (fragmented)
            return fragment(*part, part->offset - sizeof(Ipv6Header) - sizeof(Ipv6FragmentHeader), kProtocolIcmpv6,
                            Way::fragments6);
        return packet_.is(Packet::kIcmpError) ? Way::errors6 : Way::ipv6;
    }

    Way fragment6_to_hub(const Part& part, const Ipv6Address& destination) noexcept {
        if (destination.is_multicast()) return drop(DropReason::fragment_to_hub);
        // Extension headers around it would have to be changed: nobody sends such ESP.
        const std::size_t before = part.offset - sizeof(Ipv6Header) - sizeof(Ipv6FragmentHeader);
        if (destination != attachment_->ipv6 || !may_be_esp() || before != 0 || packet_.l4_offset != part.offset)
            return fragment_to_hub();
        if (part.begin != 0 || !part.last) {
            return fragment(part, before, kProtocolIcmpv6, Way::outer_fragments);
        }
        // RFC 6946: the datagram is this packet alone.
        if (!l4(kProtocolIcmpv6)) return drop(DropReason::l4_truncated);
        const Way way = to_hub();
        return way == Way::local ? fragment_to_hub() : way;
    }

    static bool is_extension(std::uint8_t protocol) noexcept {
        return protocol == kProtocolHopByHop || protocol == kProtocolRouting ||
               protocol == kProtocolDestinationOptions || protocol == kProtocolFragment;
    }

    // RFC 8200 §4: follows what it knows, a bounded way. Anything else is left as the L4 protocol: it is forwarded if
    // an agreement lets any protocol pass. A fragment header is told of in `part`; behind that of a later fragment
    // nothing can be followed. RFC 6946: one whose datagram is this packet alone is a header like others.
    Way extensions(std::span<const std::uint8_t> bytes, std::optional<Part>& part) noexcept {
        std::size_t offset = packet_.l4_offset;
        for (int headers = 0; is_extension(packet_.protocol); ++headers) {
            const bool fragment = packet_.protocol == kProtocolFragment;
            const auto* const header = header_at<Ipv6ExtensionHeader>(bytes, offset);
            const std::size_t size = fragment ? sizeof(Ipv6FragmentHeader) : header == nullptr ? 0 : header->bytes();
            // RFC 7112 §5: the whole chain is in the first fragment.
            if (header == nullptr || size > bytes.size() - offset)
                return drop(part && !(part->begin == 0 && part->last) ? DropReason::fragment_tiny
                                                                      : DropReason::ipv6_extension_truncated);
            // RFC 5095; and with segments left the destination is not where the packet is going in the end.
            if (packet_.protocol == kProtocolRouting && (header->type == 0 || header->segments_left != 0))
                return drop(DropReason::routing_header);
            offset += size;
            if (headers == kMaxExtensionHeaders || offset - sizeof(Ipv6Header) > kMaxExtensionBytes)
                return drop(DropReason::ipv6_extension_chain);
            packet_.protocol = header->next_header;
            if (!fragment) continue;
            if (part) return drop(DropReason::ipv6_extension_chain);
            const auto& told = *header_at<Ipv6FragmentHeader>(bytes, offset - size);
            const std::uint16_t word = told.offset_more.to_host();
            part = Part{told.identification.to_host(), static_cast<std::size_t>(word & kIpv6OffsetMask),
                        (word & kIpv6MoreFragments) == 0, offset};
            if (part->begin != 0) break;
        }
        packet_.l4_offset = static_cast<std::uint16_t>(offset);
        return Way::ipv6;
    }

    // The addresses and groups of RFC 4291 §2.8 that a router listens on here, besides its global address.
    bool is_local(const Ipv6Address& destination) const noexcept {
        if (destination.is_link_local()) return destination == attachment_->link_local;
        if (!destination.is_multicast()) return false;
        return destination == attachment_->ipv6.solicited_node() ||
               destination == attachment_->link_local.solicited_node() || destination == kAllNodes ||
               destination == kAllRouters;
    }

    // False if the packet ends inside a header that the hub must read. `icmp` is the family's own ICMP.
    bool l4(std::uint8_t icmp) noexcept {
        const std::span<const std::uint8_t> bytes = packet_.ip();
        if (packet_.protocol == kProtocolTcp) {
            const auto* const tcp = header_at<TcpHeader>(bytes, packet_.l4_offset);
            if (tcp == nullptr) return false;
            const std::size_t length = std::size_t{4} * (tcp->data_offset >> 4U);
            if (length < sizeof(TcpHeader) || length > bytes.size() - packet_.l4_offset) return false;
            packet_.source_port = L4Port(tcp->source_port.to_host());
            packet_.destination_port = L4Port(tcp->destination_port.to_host());
            packet_.l4_type = tcp->flags;
            packet_.mark(Packet::kL4Known);
            if ((tcp->flags & kTcpSyn) != 0) packet_.mark(Packet::kSyn);
        } else if (packet_.protocol == kProtocolUdp) {
            const auto* const udp = header_at<UdpHeader>(bytes, packet_.l4_offset);
            if (udp == nullptr) return false;
            packet_.source_port = L4Port(udp->source_port.to_host());
            packet_.destination_port = L4Port(udp->destination_port.to_host());
            packet_.mark(Packet::kL4Known);
        } else if (packet_.protocol == icmp) {
            const auto* const header = header_at<IcmpHeader>(bytes, packet_.l4_offset);
            if (header == nullptr) return false;
            packet_.l4_type = header->type;
            packet_.mark(Packet::kL4Known);
            if (is_icmp_echo(icmp, header->type))
                packet_.source_port = packet_.destination_port = L4Port(header->identifier.to_host());
            if (is_icmp_error(icmp, header->type)) packet_.mark(Packet::kIcmpError);
        }
        return true;
    }

    Walk& walk_;
    const std::size_t index_;
    Packet& packet_;
    const Attachment* attachment_ = nullptr;
};

}  // namespace

Way parse_any(Walk& walk, std::size_t index) noexcept {
    return Parser(walk, index).run();
}

Way parse_any_inner(Walk& walk, std::size_t index, AttachmentId attachment, std::span<std::uint8_t> bytes,
                    Family family) noexcept {
    return Parser(walk, index).run_inner(attachment, bytes, family);
}

}  // namespace sekisho::dataplane

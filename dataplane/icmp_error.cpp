// Making ICMP errors. The quote is copied from the packet before anything rewrote it; the error joins the next walk.
#include "dataplane/icmp_error.hpp"

#include <algorithm>
#include <cstring>

#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::size_t kMaxError4 = 576;   // RFC 1812 §4.3.2.3
constexpr std::size_t kMaxError6 = 1280;  // RFC 4443 §2.4(c)
constexpr std::uint8_t kErrorTtl = 64;
constexpr std::uint8_t kErrorDscp = 0xc0;  // RFC 1812 §4.3.2.5: precedence 6

// RFC 1812 §4.3.2.7, RFC 4443 §2.4(e): whether this packet may cause this error. Of a later fragment's sender only
// IPv6 wants to know that it was too big (RFC 8201 §4); all else it was told of the first one.
bool may_cause(const Packet& packet, IcmpError error) noexcept {
    if (packet.is(Packet::kIcmpError | Packet::kGroupFrame)) return false;
    if (packet.is(Packet::kLaterFragment) && !(packet.is(Packet::kIpv6) && error == IcmpError::too_big)) return false;
    if (packet.is(Packet::kIpv6)) {
        const auto& header = *reinterpret_cast<const Ipv6Header*>(packet.l3);
        const Ipv6Address source = header.source.address();
        if (packet.protocol == kProtocolIcmpv6 && packet.l4_type == kNdRedirect) return false;
        return !source.is_unspecified() && !source.is_multicast() && !source.is_loopback() &&
               !header.destination.address().is_multicast();
    }
    const auto& header = *reinterpret_cast<const Ipv4Header*>(packet.l3);
    const Ipv4Address source(header.source);
    const Ipv4Address destination(header.destination);
    return !source.is_this_network() && !source.is_loopback() && !source.is_multicast() && !source.is_reserved() &&
           !destination.is_multicast() && !destination.is_limited_broadcast();
}

struct TypeAndCode {
    std::uint8_t type;
    std::uint8_t code;
};
constexpr TypeAndCode type_of(IcmpError error, bool ipv6) noexcept {
    switch (error) {
        case IcmpError::time_exceeded:
            return ipv6 ? TypeAndCode{kIcmpv6TimeExceeded, 0} : TypeAndCode{kIcmpTimeExceeded, 0};
        case IcmpError::too_big:
            return ipv6 ? TypeAndCode{kIcmpv6PacketTooBig, 0}
                        : TypeAndCode{kIcmpUnreachable, kIcmpCodeFragmentationNeeded};
        case IcmpError::admin_prohibited: break;
    }
    return ipv6 ? TypeAndCode{kIcmpv6Unreachable, kIcmpv6CodeAdminProhibited}
                : TypeAndCode{kIcmpUnreachable, kIcmpCodeAdminProhibited};
}

// The ICMP message at `at`: header, MTU where the error has one, and the first `quote` bytes of `packet`.
std::span<std::uint8_t> write_message(std::uint8_t* at, const Packet& packet, TypeAndCode type, std::uint16_t mtu,
                                      std::size_t quote) noexcept {
    auto& icmp = *reinterpret_cast<IcmpHeader*>(at);
    icmp.type = type.type;
    icmp.code = type.code;
    icmp.checksum = Be16();
    icmp.identifier = Be16();
    icmp.sequence = Be16::from_host(mtu);  // RFC 1191 §4; in RFC 4443 §3.2 the low half of the 32-bit MTU
    std::memcpy(at + sizeof(IcmpHeader), packet.l3, quote);
    return {at, sizeof(IcmpHeader) + quote};
}

void write_ipv4(Packet& error, const Packet& about, const Attachment& from, TypeAndCode type, std::uint16_t mtu,
                std::uint16_t id) noexcept {
    const std::size_t quote =
        std::min<std::size_t>(about.l3_length, kMaxError4 - sizeof(Ipv4Header) - sizeof(IcmpHeader));
    auto& header = *reinterpret_cast<Ipv4Header*>(error.l3);
    const auto message = write_message(error.l3 + sizeof(Ipv4Header), about, type, mtu, quote);
    reinterpret_cast<IcmpHeader*>(message.data())->checksum = checksum_of(message);
    error.l3_length = static_cast<std::uint16_t>(sizeof(Ipv4Header) + message.size());
    header.version_ihl = 0x45;
    header.dscp_ecn = kErrorDscp;
    header.total_length = Be16::from_host(error.l3_length);
    header.identification = Be16::from_host(id);
    header.flags_offset = Be16();
    header.ttl = kErrorTtl;
    header.protocol = kProtocolIcmp;
    header.checksum = Be16();
    header.source = from.ipv4.wire();
    header.destination = reinterpret_cast<const Ipv4Header*>(about.l3)->source;
    header.checksum = checksum_of({error.l3, sizeof(Ipv4Header)});
}

void write_ipv6(Packet& error, const Packet& about, const Attachment& from, TypeAndCode type,
                std::uint16_t mtu) noexcept {
    const std::size_t quote =
        std::min<std::size_t>(about.l3_length, kMaxError6 - sizeof(Ipv6Header) - sizeof(IcmpHeader));
    auto& header = *reinterpret_cast<Ipv6Header*>(error.l3);
    const auto message = write_message(error.l3 + sizeof(Ipv6Header), about, type, mtu, quote);
    error.l3_length = static_cast<std::uint16_t>(sizeof(Ipv6Header) + message.size());
    header.version_class_flow = Be32::from_host(0x6000'0000);
    header.payload_length = Be16::from_host(static_cast<std::uint16_t>(message.size()));
    header.next_header = kProtocolIcmpv6;
    header.hop_limit = kErrorTtl;
    header.source = Ipv6Wire::from(from.ipv6);
    header.destination = reinterpret_cast<const Ipv6Header*>(about.l3)->source;
    const std::uint64_t pseudo = pseudo_header_sum(header.source, header.destination, kProtocolIcmpv6, message.size());
    reinterpret_cast<IcmpHeader*>(message.data())->checksum = checksum_of(pseudo + sum_of(message));
}

void send_error(Walk& walk, const Packet& about, IcmpError kind, std::uint16_t mtu) noexcept {
    if (!may_cause(about, kind)) return;
    if (!walk.worker.error_tokens[about.vrf].take(walk.worker.budgets.errors, walk.now)) {
        ++walk.account.not_made_rate;
        return;
    }
    rte_mbuf* const mbuf = walk.new_buffer();
    if (mbuf == nullptr) return;
    const bool ipv6 = about.is(Packet::kIpv6);
    const Attachment& from = walk.tables.attachments[about.attachment.index()];
    Packet error;
    error.mbuf = mbuf;
    error.attachment = about.attachment;
    error.vrf = about.vrf;
    error.l3 = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
    error.mark(Packet::kReturn);
    if (ipv6) {
        error.mark(Packet::kIpv6);
        write_ipv6(error, about, from, type_of(kind, true), mtu);
    } else {
        write_ipv4(error, about, from, type_of(kind, false), mtu, ++walk.worker.identification);
    }
    walk.resume(error);
}

}  // namespace

void refuse(Walk& walk, std::size_t packet, DropReason reason, IcmpError error, std::uint16_t mtu) noexcept {
    send_error(walk, walk.packets[packet], error, mtu);
    walk.drop(packet, reason);
}

}  // namespace sekisho::dataplane

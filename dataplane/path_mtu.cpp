// Reading what routers say of the path.
#include "dataplane/path_mtu.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/admit.hpp"
#include "dataplane/esp_udp.hpp"
#include "dataplane/quote.hpp"
#include "net/checksum.hpp"

namespace sekisho::dataplane {
namespace {

struct EspStart {
    Be32 spi;
    Be32 sequence;
};
static_assert(sizeof(EspStart) == 8);

bool says_too_big(const IcmpHeader& icmp, Ipv4Address) noexcept {
    return icmp.type == kIcmpUnreachable && icmp.code == kIcmpCodeFragmentationNeeded;
}
bool says_too_big(const IcmpHeader& icmp, const Ipv6Address&) noexcept {
    return icmp.type == kIcmpv6PacketTooBig;
}
// The MTU that it tells; what more than 16 bits would hold is none of ours.
std::uint16_t mtu_of(const IcmpHeader& icmp, Ipv4Address) noexcept {
    return icmp.sequence.to_host();
}
std::uint16_t mtu_of(const IcmpHeader& icmp, const Ipv6Address&) noexcept {
    return icmp.identifier == Be16() ? icmp.sequence.to_host() : std::uint16_t{0xffff};
}

std::uint64_t pseudo_sum(const Ipv4Header&, std::size_t) noexcept {
    return 0;
}
std::uint64_t pseudo_sum(const Ipv6Header& header, std::size_t length) noexcept {
    return pseudo_header_sum(header.source, header.destination, kProtocolIcmpv6, length);
}

std::size_t length_of(const Ipv4Header& header) noexcept {
    return header.total_length.to_host();
}
std::size_t length_of(const Ipv6Header& header) noexcept {
    return sizeof header + header.payload_length.to_host();
}

// What the quote is of, if it is of ESP, plain or from the hub's UDP port for it.
template <class Header>
std::optional<PathMtuReport> read(const Quote<Header>& quote, L4Port esp_port) noexcept {
    PathMtuReport report;
    std::span<const std::uint8_t> esp = quote.l4;
    if (quote.protocol == kProtocolUdp) {
        if (quote.fields.source_port != esp_port || esp.size() < sizeof(UdpHeader)) return std::nullopt;
        report.in_udp = true;
        report.local_port = quote.fields.source_port;
        report.peer.port = quote.fields.destination_port;
        esp = esp.subspan(sizeof(UdpHeader));
        // A quote of eight bytes ends here: about IKE or about ESP, it is of no use to us.
    } else if (quote.protocol != kProtocolEsp) {
        return std::nullopt;
    }
    const auto* const start = header_at<EspStart>(esp, 0);
    if (start == nullptr || start->spi == Be32()) return std::nullopt;
    report.spi = Spi(start->spi.to_host());
    report.sequence = start->sequence.to_host();
    report.local = address_of(quote.header->source);
    report.peer.address = address_of(quote.header->destination);
    report.length = static_cast<std::uint16_t>(std::min<std::size_t>(length_of(*quote.header), 0xffff));
    return report;
}

}  // namespace

template <class Address>
bool take_path_mtu(Walk& walk, std::size_t i) noexcept {
    Packet& packet = walk.packets[i];
    const Attachment& attachment = walk.tables.attachments[packet.attachment.index()];
    const std::span<std::uint8_t> icmp = packet.ip().subspan(packet.l4_offset);
    const auto& header = *reinterpret_cast<const IcmpHeader*>(icmp.data());
    if (walk.worker.associations == nullptr || !says_too_big(header, Address())) return false;
    const auto quote = read_quote<Address>(packet);
    if (!quote) return false;
    auto report = read(*quote, attachment.esp_port);
    if (!report) return false;
    const auto end = [&](DropReason reason) {
        walk.drop(i, reason);
        return true;
    };
    if (!is_own(attachment, address_of(quote->header->source))) return end(DropReason::icmp_error_unmatched);
    if (!walk.worker.path_mtu_tokens[packet.attachment].take(walk.worker.budgets.path_mtu, walk.now))
        return end(DropReason::local_rate);
    if (!checksum_is_good(pseudo_sum(header_of<Address>(packet), icmp.size()) + sum_of(icmp)))
        return end(DropReason::local_checksum);
    report->underlay = packet.attachment;
    report->mtu = mtu_of(header, Address());
    if (!walk.worker.associations->path_mtu_ring(walk.worker.self).put(*report)) return end(DropReason::local_rate);
    walk.consume(i);
    return true;
}

template bool take_path_mtu<Ipv4Address>(Walk&, std::size_t) noexcept;
template bool take_path_mtu<Ipv6Address>(Walk&, std::size_t) noexcept;

}  // namespace sekisho::dataplane

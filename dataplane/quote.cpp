// Reading quotes. The same rules for both families; nothing is read past the error's own length.
#include "dataplane/quote.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::size_t kQuotedL4 = 8;  // RFC 792: at least the first 64 bits of the datagram's data
constexpr int kMaxExtensionHeaders = 8;

// Ports, or ICMP type, from the first eight bytes of L4. False if they are needed and fewer were quoted.
template <class Header>
bool read_l4(Quote<Header>& quote, std::uint8_t icmp) noexcept {
    quote.fields.protocol = quote.protocol;
    const bool has_ports = quote.protocol == kProtocolTcp || quote.protocol == kProtocolUdp;
    if (!has_ports && quote.protocol != icmp) return true;
    if (quote.l4.size() < kQuotedL4) return false;
    if (has_ports) {
        const auto& ports = *header_at<UdpHeader>(quote.l4, 0);  // TCP begins with the same two ports
        quote.fields.source_port = L4Port(ports.source_port.to_host());
        quote.fields.destination_port = L4Port(ports.destination_port.to_host());
        quote.fields.mark(Packet::kL4Known);
    } else {
        const auto& header = *header_at<IcmpHeader>(quote.l4, 0);
        quote.fields.l4_type = header.type;
        if (is_icmp_echo(icmp, header.type))
            quote.fields.source_port = quote.fields.destination_port = L4Port(header.identifier.to_host());
        quote.is_icmp_error = is_icmp_error(icmp, quote.fields.l4_type);
        quote.fields.mark(Packet::kL4Known);
    }
    return true;
}

std::span<std::uint8_t> quoted_bytes(Packet& error) noexcept {
    const std::span<std::uint8_t> ip = error.ip();
    const std::size_t offset = error.l4_offset + sizeof(IcmpHeader);
    return offset <= ip.size() ? ip.subspan(offset) : std::span<std::uint8_t>();
}

}  // namespace

std::optional<Quote<Ipv4Header>> read_quote4(Packet& error) noexcept {
    const std::span<std::uint8_t> bytes = quoted_bytes(error);
    Quote<Ipv4Header> quote;
    quote.header = header_at<Ipv4Header>(bytes, 0);
    if (quote.header == nullptr || quote.header->version() != 4) return std::nullopt;
    const std::size_t header_length = quote.header->header_length();
    if (header_length < sizeof(Ipv4Header) || header_length > bytes.size()) return std::nullopt;
    if (quote.header->total_length.to_host() < header_length) return std::nullopt;
    if ((quote.header->flags_offset.to_host() & kIpv4OffsetMask) != 0) return std::nullopt;
    quote.protocol = quote.header->protocol;
    quote.l4 = bytes.subspan(header_length);
    if (!read_l4(quote, kProtocolIcmp)) return std::nullopt;
    return quote;
}

std::optional<Quote<Ipv6Header>> read_quote6(Packet& error) noexcept {
    const std::span<std::uint8_t> bytes = quoted_bytes(error);
    Quote<Ipv6Header> quote;
    quote.header = header_at<Ipv6Header>(bytes, 0);
    if (quote.header == nullptr || quote.header->version() != 6) return std::nullopt;
    std::size_t offset = sizeof(Ipv6Header);
    quote.protocol = quote.header->next_header;
    for (int headers = 0; headers < kMaxExtensionHeaders; ++headers) {
        if (quote.protocol == kProtocolFragment) {
            const auto* const fragment = header_at<Ipv6FragmentHeader>(bytes, offset);
            if (fragment == nullptr || (fragment->offset_more.to_host() & kIpv6OffsetMask) != 0) return std::nullopt;
            offset += sizeof(Ipv6FragmentHeader);
            quote.protocol = fragment->next_header;
            continue;
        }
        if (quote.protocol != kProtocolHopByHop && quote.protocol != kProtocolRouting &&
            quote.protocol != kProtocolDestinationOptions)
            break;
        const auto* const extension = header_at<Ipv6ExtensionHeader>(bytes, offset);
        if (extension == nullptr || extension->bytes() > bytes.size() - offset) return std::nullopt;
        offset += extension->bytes();
        quote.protocol = extension->next_header;
    }
    if (quote.protocol == kProtocolFragment) return std::nullopt;
    quote.l4 = bytes.subspan(offset);
    if (!read_l4(quote, kProtocolIcmpv6)) return std::nullopt;
    return quote;
}

}  // namespace sekisho::dataplane

// Writing frames byte by byte, each checksum from the beginning.
#include "tests/dataplane/support/frame.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace sekisho::test {
namespace {

Bytes bytes_of(const IpAddress& address) {
    Bytes bytes;
    if (address.is_ipv4()) {
        put32(bytes, address.ipv4().value());
        return bytes;
    }
    for (const std::uint64_t half : {address.ipv6().high(), address.ipv6().low()}) {
        put32(bytes, half >> 32);
        put32(bytes, half & 0xffff'ffff);
    }
    return bytes;
}

std::pair<IpAddress, unsigned> endpoint(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    return {address(host), static_cast<unsigned>(std::stoul(std::string(text.substr(colon + 1))))};
}

constexpr std::string_view kStation = "02:00:00:00:ee:01";  // who sends when nobody is named

}  // namespace

IpAddress address(std::string_view text) {
    const auto parsed = IpAddress::parse(text);
    if (!parsed) throw std::invalid_argument("no address: " + std::string(text));
    return *parsed;
}

MacAddress mac(std::string_view text) {
    const auto parsed = MacAddress::parse(text);
    if (!parsed) throw std::invalid_argument("no MAC address: " + std::string(text));
    return *parsed;
}

Frame& Frame::payload(std::size_t bytes) {
    payload_.resize(bytes);
    for (std::size_t i = 0; i < bytes; ++i) payload_[i] = static_cast<std::uint8_t>(i);
    return *this;
}

// The length byte and one PadN option that fills the rest: 8 * (units + 1) bytes with the next-header byte.
Bytes Frame::options_of(unsigned units) {
    Bytes rest(7 + std::size_t{8} * units);
    rest[0] = static_cast<std::uint8_t>(units);
    rest[1] = 1;
    rest[2] = static_cast<std::uint8_t>(rest.size() - 3);
    return rest;
}

Bytes Frame::pseudo_header(std::size_t length) const {
    Bytes bytes = bytes_of(source_);
    put(bytes, bytes_of(destination_));
    if (source_.is_ipv4()) {
        put16(bytes, protocol_);
        put16(bytes, length);
    } else {
        put32(bytes, length);
        put32(bytes, protocol_);
    }
    return bytes;
}

Bytes Frame::l4() const {
    Bytes bytes;
    std::size_t checksum_at = 0;
    bool pseudo = true;
    switch (kind_) {
        case Kind::tcp:
            put16(bytes, source_port_);
            put16(bytes, destination_port_);
            put32(bytes, sequence_);
            put32(bytes, 0x1112'1314);
            put8(bytes, data_offset_.value_or(5) << 4);
            put8(bytes, flags_);
            put16(bytes, 0x2000);
            checksum_at = 16;
            put32(bytes, 0);
            break;
        case Kind::udp:
            put16(bytes, source_port_);
            put16(bytes, destination_port_);
            put16(bytes, 8 + payload_.size());
            checksum_at = 6;
            put16(bytes, 0);
            break;
        case Kind::icmp:
            put8(bytes, type_);
            put8(bytes, code_);
            checksum_at = 2;
            put16(bytes, 0);
            put32(bytes, rest_);
            pseudo = !source_.is_ipv4();
            break;
        case Kind::other:
        case Kind::link: return payload_;
    }
    put(bytes, payload_);
    const Bytes before = pseudo ? pseudo_header(bytes.size()) : Bytes();
    unsigned sum = 0xffffU & ~unsigned{sum_of_words({before, bytes})};
    if (kind_ == Kind::udp && sum == 0) sum = 0xffff;  // RFC 768
    set16(bytes, checksum_at, checksum_.value_or(sum));
    return bytes;
}

Bytes Frame::ipv4() const {
    const Bytes body = l4();
    const std::size_t header_length = 20 + (options_.size() + 3) / 4 * 4;
    Bytes bytes;
    put8(bytes, version_.value_or(4) << 4 | header_words_.value_or(static_cast<unsigned>(header_length / 4)));
    put8(bytes, dscp_ecn_);
    put16(bytes, length_.value_or(static_cast<unsigned>(header_length + body.size())));
    put16(bytes, id_);
    put16(bytes, (dont_fragment_ ? 0x4000U : 0) | fragment_);
    put8(bytes, ttl_);
    put8(bytes, protocol_);
    put16(bytes, 0);
    put(bytes, bytes_of(source_));
    put(bytes, bytes_of(destination_));
    put(bytes, options_);
    bytes.resize(header_length);
    set16(bytes, 10, header_checksum_.value_or(0xffffU & ~unsigned{sum_of_words({bytes})}));
    put(bytes, body);
    return bytes;
}

Bytes Frame::ipv6() const {
    Bytes body;
    for (std::size_t i = 0; i < extensions_.size(); ++i) {
        put8(body, i + 1 < extensions_.size() ? extensions_[i + 1].first : protocol_);
        put(body, extensions_[i].second);
    }
    put(body, l4());
    Bytes bytes;
    put32(bytes, version_.value_or(6) << 28 | dscp_ecn_ << 20 | flow_);
    put16(bytes, length_.value_or(static_cast<unsigned>(body.size())));
    put8(bytes, extensions_.empty() ? protocol_ : extensions_.front().first);
    put8(bytes, ttl_);
    put(bytes, bytes_of(source_));
    put(bytes, bytes_of(destination_));
    put(bytes, body);
    return bytes;
}

Bytes Frame::ip() const {
    if (kind_ == Kind::link) return payload_;
    return source_.is_ipv4() ? ipv4() : ipv6();
}

Bytes Frame::bytes() const {
    Bytes bytes;
    put(bytes, destination_mac_.value_or(MacAddress()).bytes());
    put(bytes, source_mac_.value_or(mac(kStation)).bytes());
    for (const auto& [type, control] : tags_) {
        put16(bytes, type);
        put16(bytes, control);
    }
    put16(bytes, ether_type_.value_or(source_.is_ipv4() ? 0x0800 : 0x86dd));
    put(bytes, ip());
    bytes.resize(bytes.size() + padding_, 0xa5);
    return cut_ ? first(bytes, *cut_) : bytes;
}

Frame tcp(std::string_view from, std::string_view to) {
    Frame frame;
    frame.kind_ = Frame::Kind::tcp;
    frame.protocol_ = kProtocolTcp;
    std::tie(frame.source_, frame.source_port_) = endpoint(from);
    std::tie(frame.destination_, frame.destination_port_) = endpoint(to);
    return frame;
}

Frame udp(std::string_view from, std::string_view to) {
    Frame frame = tcp(from, to);
    frame.kind_ = Frame::Kind::udp;
    frame.protocol_ = kProtocolUdp;
    frame.payload_ = {'q', 'u', 'e', 'r', 'y'};
    return frame;
}

Frame icmp(std::string_view from, std::string_view to, unsigned type, unsigned code) {
    Frame frame;
    frame.kind_ = Frame::Kind::icmp;
    frame.source_ = address(from);
    frame.destination_ = address(to);
    frame.protocol_ = frame.source_.is_ipv4() ? kProtocolIcmp : kProtocolIcmpv6;
    frame.type_ = type;
    frame.code_ = code;
    return frame;
}

Frame echo_request(std::string_view from, std::string_view to) {
    const bool ipv4 = address(from).is_ipv4();
    return icmp(from, to, ipv4 ? kIcmpEchoRequest : kIcmpv6EchoRequest).rest_of_header(0x002a'0001).payload(10);
}
Frame echo_reply(std::string_view from, std::string_view to) {
    const bool ipv4 = address(from).is_ipv4();
    return icmp(from, to, ipv4 ? kIcmpEchoReply : kIcmpv6EchoReply).rest_of_header(0x002a'0001).payload(10);
}

Frame icmp_error(std::string_view from, std::string_view to, unsigned type, unsigned code, const Bytes& quote) {
    return icmp(from, to, type, code).payload(quote);
}

Frame packet(std::string_view from, std::string_view to, unsigned protocol, const Bytes& payload) {
    Frame frame;
    frame.source_ = address(from);
    frame.destination_ = address(to);
    frame.protocol_ = protocol;
    frame.payload_ = payload;
    return frame;
}

Frame on_link(unsigned ether_type, const Bytes& payload) {
    Frame frame;
    frame.kind_ = Frame::Kind::link;
    frame.payload_ = payload;
    return frame.ether_type(ether_type);
}

Frame arp(unsigned operation, const Arp& arp) {
    Bytes bytes;
    put16(bytes, 1);
    put16(bytes, 0x0800);
    put8(bytes, 6);
    put8(bytes, 4);
    put16(bytes, operation);
    put(bytes, mac(arp.sender_mac).bytes());
    put(bytes, bytes_of(address(arp.sender)));
    put(bytes, mac(arp.target_mac).bytes());
    put(bytes, bytes_of(address(arp.target)));
    Frame frame = on_link(0x0806, bytes);
    return frame.from(arp.sender_mac).to(operation == 1 ? kBroadcastMac : mac(arp.target_mac));
}

namespace {
Frame neighbour_message(std::string_view from, std::string_view to, unsigned type, std::uint32_t flags,
                        std::string_view target, unsigned option, std::string_view link_layer) {
    Bytes body = bytes_of(address(target));
    if (!link_layer.empty()) {
        put8(body, option);
        put8(body, 1);
        put(body, mac(link_layer).bytes());
    }
    const Ipv6Address destination = address(to).ipv6();
    Frame frame = icmp(from, to, type).rest_of_header(flags).payload(body).ttl(255);
    if (destination.is_multicast()) frame.to(MacAddress::of_group(destination));
    return frame;
}
}  // namespace

Frame neighbour_solicitation(std::string_view from, std::string_view to, std::string_view target,
                             std::string_view link_layer) {
    return neighbour_message(from, to, kNdNeighbourSolicitation, 0, target, kNdOptionSourceLinkLayer, link_layer);
}

Frame neighbour_advertisement(std::string_view from, std::string_view to, std::string_view target,
                              std::string_view link_layer, std::uint32_t flags) {
    return neighbour_message(from, to, kNdNeighbourAdvertisement, flags, target, kNdOptionTargetLinkLayer, link_layer);
}

Bytes first(const Bytes& bytes, std::size_t length) {
    return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(length, bytes.size())));
}

}  // namespace sekisho::test

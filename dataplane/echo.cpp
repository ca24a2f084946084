// Echo to the hub itself: the request becomes its reply, in its own buffer (RFC 792, RFC 1122 §3.2.2.6, RFC 4443 §4.2).
//
// The reply goes back by the attachment that the request came by. Not answered: what came to a group, or from no single
// host.
#include "dataplane/admit.hpp"
#include "dataplane/local.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kOurTtl = 64;

bool is_host(Ipv4Address address) noexcept {
    return !address.is_this_network() && !address.is_loopback() && !address.is_multicast() && !address.is_reserved();
}
bool is_host(const Ipv6Address& address) noexcept {
    return !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !address.is_mapped_ipv4();
}

std::uint64_t pseudo_sum(const Ipv4Header&, std::size_t) noexcept {
    return 0;
}
std::uint64_t pseudo_sum(const Ipv6Header& header, std::size_t length) noexcept {
    return pseudo_header_sum(header.source, header.destination, kProtocolIcmpv6, length);
}

void turn_round(Ipv4Header& header) noexcept {
    std::swap(header.source, header.destination);
    header.ttl = kOurTtl;
    header.checksum = Be16();
    header.checksum = checksum_of({reinterpret_cast<const std::uint8_t*>(&header), header.header_length()});
}
void turn_round(Ipv6Header& header) noexcept {
    std::swap(header.source, header.destination);
    header.hop_limit = kOurTtl;
}

}  // namespace

template <class Address>
void take_echo_request(Walk& walk, std::size_t i) noexcept {
    constexpr bool kIsIpv4 = Address::kFamily == Family::ipv4;
    using Header = std::conditional_t<kIsIpv4, Ipv4Header, Ipv6Header>;
    Packet& packet = walk.packets[i];
    auto& header = *reinterpret_cast<Header*>(packet.l3);
    const std::span<std::uint8_t> icmp = packet.ip().subspan(packet.l4_offset);
    if (!checksum_is_good(pseudo_sum(header, icmp.size()) + sum_of(icmp)))
        return walk.drop(i, DropReason::local_checksum);
    const Address source = address_of(header.source);
    if (!is_host(source)) return walk.drop(i, DropReason::martian_source);
    // The reply would come from a group (RFC 4443 §2.2), and a frame to one MAC address may carry any destination.
    if (packet.is(Packet::kGroupFrame) || address_of(header.destination).is_multicast())
        return walk.drop(i, DropReason::multicast);
    if (is_own(walk.tables.attachments[packet.attachment.index()], source))
        return walk.drop(i, DropReason::duplicate_address);

    auto& echo = *reinterpret_cast<IcmpHeader*>(icmp.data());
    const std::uint8_t reply = kIsIpv4 ? kIcmpEchoReply : kIcmpv6EchoReply;
    const Be16 before = Be16::from_host(static_cast<std::uint16_t>(echo.type << 8));
    const Be16 after = Be16::from_host(static_cast<std::uint16_t>(reply << 8));
    echo.checksum = ChecksumDelta::replace(before, after).apply(echo.checksum);
    echo.type = reply;
    turn_round(header);
    packet.mark(Packet::kReturn);
    ++walk.account.consumed;
    walk.resume(packet);
}

template void take_echo_request<Ipv4Address>(Walk&, std::size_t) noexcept;
template void take_echo_request<Ipv6Address>(Walk&, std::size_t) noexcept;

}  // namespace sekisho::dataplane

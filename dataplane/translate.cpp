// Stage 6, translate: both addresses by their rows' prefix maps, or addresses and ports by their session; one hop less,
// TCP's MSS option, and every checksum that covers them (RFC 1624).
//
// An ICMP error is translated outside and inside, so that its receiver finds in the quote the packet that it sent (RFC
// 5508 §4.2): the quoted source is the outer destination, the quoted destination the one that the hub delivered to.
#include <algorithm>

#include "dataplane/admit.hpp"
#include "dataplane/quote.hpp"
#include "dataplane/stages.hpp"
#include "nat/rewrite.hpp"
#include "nat/segment_size.hpp"

namespace sekisho::dataplane {
namespace {

// What replacing a checksum field does to a checksum over it.
ChecksumDelta replaced(Be16 before, Be16 after) noexcept {
    return before == after ? ChecksumDelta() : ChecksumDelta::replace(before, after);
}

Be16 header_checksum(const Ipv4Header& header) noexcept {
    return header.checksum;
}
Be16 header_checksum(const Ipv6Header&) noexcept {
    return {};
}

// Rewrites the quote: its destination becomes the hub's, its source the operator's again. What that does to the ICMP
// checksum.
template <class Address>
ChecksumDelta translate_quote(Packet& packet, const nat::PrefixMap<Address>& to_hub,
                              const nat::PrefixMap<Address>& to_operator) noexcept {
    constexpr bool kIpv6 = Address::kFamily == Family::ipv6;
    const auto quote = read_quote<Address>(packet);
    if (!quote) return {};  // admit_errors has read it in this walk
    const ChecksumDelta addresses = to_hub.checksum() + to_operator.checksum();
    ChecksumDelta covered = addresses;

    auto& header = *quote->header;
    const Be16 header_before = header_checksum(header);
    nat::set_addresses(header, to_operator.apply(address_of(header.source)),
                       to_hub.apply(address_of(header.destination)), addresses);
    covered = covered + replaced(header_before, header_checksum(header));

    const std::size_t offset = nat::pseudo_checksum_offset(quote->protocol, kIpv6);
    const auto* const l4_checksum = offset == 0 ? nullptr : header_at<Be16>(quote->l4, offset);
    if (l4_checksum != nullptr) {
        const Be16 l4_before = *l4_checksum;
        nat::adjust_l4_checksum(quote->l4, quote->protocol, kIpv6, addresses);
        covered = covered + replaced(l4_before, *l4_checksum);
    }
    return covered;
}

// The same by a session's rewrite of what answers the quoted packet: ends are swapped, and ports change too.
ChecksumDelta translate_quote_by_session(Packet& packet, const nat::Rewrite<Ipv4Address>& rewrite) noexcept {
    const auto quote = read_quote<Ipv4Address>(packet);
    if (!quote) return {};
    auto& header = *quote->header;
    const ChecksumDelta addresses = nat::replaced_addresses(header, rewrite.destination, rewrite.source);
    ChecksumDelta covered = addresses;
    const Be16 header_before = header.checksum;
    nat::set_addresses(header, rewrite.destination, rewrite.source, addresses);
    covered = covered + replaced(header_before, header.checksum);
    const bool is_echo = quote->protocol == kProtocolIcmp;
    const std::size_t offset = is_echo ? 2 : nat::pseudo_checksum_offset(quote->protocol, false);
    const auto* const l4_checksum = header_at<Be16>(quote->l4, offset);
    const Be16 l4_before = l4_checksum != nullptr ? *l4_checksum : Be16();
    covered =
        covered + nat::set_ports(quote->l4, quote->protocol, rewrite.destination_port, rewrite.source_port, addresses);
    return l4_checksum != nullptr ? covered + replaced(l4_before, *l4_checksum) : covered;
}

void translate_error_by_session(const FamilyTables<Ipv4Address>& family, Packet& packet,
                                const nat::Rewrite<Ipv4Address>& rewrite) noexcept {
    auto& header = header_of<Ipv4Address>(packet);
    const Ipv4Address old_source = address_of(header.source);
    const Ipv4Address new_source =
        packet.is(Packet::kRouterError) ? rewrite.source : family.who_rows[packet.who_row].to_hub.apply(old_source);
    const ChecksumDelta covered = translate_quote_by_session(packet, rewrite);
    auto& icmp = *reinterpret_cast<IcmpHeader*>(packet.l3 + packet.l4_offset);
    icmp.checksum = covered.apply(icmp.checksum);
    nat::forward_header(header, new_source, rewrite.destination,
                        nat::replaced_addresses(header, new_source, rewrite.destination));
}

template <class Address>
void translate_error(const Tables& tables, Packet& packet) noexcept {
    constexpr bool kIpv6 = Address::kFamily == Family::ipv6;
    const FamilyTables<Address>& family = tables.family<Address>();
    const HubRow<Address>& destination = family.hub_rows[packet.hub_row];
    const auto quote = read_quote<Address>(packet);
    if (!quote) return;
    const Address receiver = address_of(quote->header->destination);
    const lpm::Row receiver_row = family.who.find(packet.vrf.value(), receiver);
    if (receiver_row == lpm::kNoRow) return;  // not so: admit_errors has found it in these tables
    const nat::PrefixMap<Address>& receiver_to_hub = family.who_rows[receiver_row].to_hub;

    auto& header = header_of<Address>(packet);
    const Address old_source = address_of(header.source);
    const bool router = packet.is(Packet::kRouterError);
    const Address new_source =
        router ? receiver_to_hub.apply(receiver) : family.who_rows[packet.who_row].to_hub.apply(old_source);
    const auto wire = [](const Address& address) {
        if constexpr (kIpv6)
            return Ipv6Wire::from(address);
        else
            return address.wire();
    };
    const ChecksumDelta outer =
        ChecksumDelta::replace(wire(old_source), wire(new_source)) + destination.to_operator.checksum();
    ChecksumDelta covered = translate_quote<Address>(packet, receiver_to_hub, destination.to_operator);
    if (kIpv6) covered = covered + outer;  // the pseudo-header
    auto& icmp = *reinterpret_cast<IcmpHeader*>(packet.l3 + packet.l4_offset);
    icmp.checksum = covered.apply(icmp.checksum);
    nat::forward_header(header, new_source, destination.to_operator.apply(address_of(header.destination)), outer);
}

// What is left of a packet when its rows are found: addresses, hops, and of its L4 checksum if it is there.
template <class Address>
void translate_packet(const FamilyTables<Address>& family, Packet& packet, bool has_l4) noexcept {
    const nat::PrefixMap<Address>& to_hub = family.who_rows[packet.who_row].to_hub;
    const nat::PrefixMap<Address>& to_operator = family.hub_rows[packet.hub_row].to_operator;
    const ChecksumDelta delta = to_hub.checksum() + to_operator.checksum();
    auto& header = header_of<Address>(packet);
    nat::forward_header(header, to_hub.apply(address_of(header.source)),
                        to_operator.apply(address_of(header.destination)), delta);
    if (has_l4)
        nat::adjust_l4_checksum(packet.ip().subspan(packet.l4_offset), packet.protocol,
                                Address::kFamily == Family::ipv6, delta);
}

// The largest segment that fits through both ways of a packet: the sender's own and the receiver's.
template <class Address>
std::uint16_t largest_segment(const Tables& tables, const Packet& packet) noexcept {
    constexpr std::uint16_t kHeaders =
        sizeof(TcpHeader) + (Address::kFamily == Family::ipv6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header));
    const std::uint16_t mtu = std::min<std::uint16_t>(tables.attachments[packet.attachment.index()].mtu,
                                                      tables.attachments[packet.egress.index()].mtu);
    return mtu > kHeaders ? static_cast<std::uint16_t>(mtu - kHeaders) : 0;
}

// By its session, where an end is behind a port block: addresses and ports.
void translate_by_session(Packet& packet, const nat::Rewrite<Ipv4Address>& rewrite) noexcept {
    auto& header = header_of<Ipv4Address>(packet);
    const ChecksumDelta addresses = nat::replaced_addresses(header, rewrite.source, rewrite.destination);
    nat::forward_header(header, rewrite.source, rewrite.destination, addresses);
    if (packet.is(Packet::kLaterFragment)) return;
    nat::set_ports(packet.ip().subspan(packet.l4_offset), packet.protocol, rewrite.source_port,
                   rewrite.destination_port, addresses);
}

constexpr std::uint32_t kUnusual = Packet::kIcmpError | Packet::kLaterFragment | Packet::kSyn | Packet::kBySession;

template <class Address>
[[gnu::noinline]] void translate_unusual(Walk& walk, std::size_t i) noexcept {
    const Tables& tables = walk.tables;
    Packet& packet = walk.packets[i];
    const bool by_session = Address::kFamily == Family::ipv4 && packet.is(Packet::kBySession);
    if (packet.is(Packet::kIcmpError))
        return by_session ? translate_error_by_session(tables.ipv4, packet, walk.worker.rewrites[i])
                          : translate_error<Address>(tables, packet);
    // RFC 3022 §6.3: a datagram's checksum is in its first fragment, and covers the addresses once.
    if (by_session)
        translate_by_session(packet, walk.worker.rewrites[i]);
    else
        translate_packet(tables.family<Address>(), packet, !packet.is(Packet::kLaterFragment));
    if (packet.is(Packet::kSyn))
        nat::clamp_segment_size(packet.ip().subspan(packet.l4_offset), largest_segment<Address>(tables, packet));
}

}  // namespace

template <class Address>
void translate(Walk& walk, const Lane& in) noexcept {
    const FamilyTables<Address>& family = walk.tables.family<Address>();
    for (const std::size_t i : in) {
        Packet& packet = walk.packets[i];
        const std::uint32_t unusual = packet.marks & kUnusual;
        if (unusual == 0)
            translate_packet(family, packet, true);
        else if (Address::kFamily == Family::ipv4 && unusual == Packet::kBySession)
            translate_by_session(packet, walk.worker.rewrites[i]);
        else
            translate_unusual<Address>(walk, i);
    }
}

template void translate<Ipv4Address>(Walk&, const Lane&) noexcept;
template void translate<Ipv6Address>(Walk&, const Lane&) noexcept;

}  // namespace sekisho::dataplane

// The oracle's reading and judging.
#include "tests/dataplane/support/oracle.hpp"

#include <algorithm>

namespace sekisho::test {
namespace {

IpAddress address_at(std::span<const std::uint8_t> bytes, std::size_t at, bool ipv4) {
    std::uint64_t halves[2] = {0, 0};
    for (std::size_t i = 0; i < (ipv4 ? 4U : 16U); ++i) halves[i / 8] = halves[i / 8] << 8 | bytes[at + i];
    if (ipv4) return Ipv4Address(static_cast<std::uint32_t>(halves[0]));
    return Ipv6Address(halves[0], halves[1]);
}

bool is_extension(unsigned protocol) {
    return protocol == 0 || protocol == 43 || protocol == 60;
}
bool is_own_icmp(const Reading& reading) {
    return reading.protocol == (reading.ipv4 ? 1U : 58U);
}

struct Owner {
    const House* house = nullptr;
    IpAddress mapped = Ipv4Address();
};

bool contains(const IpPrefix& prefix, const IpAddress& address) {
    if (prefix.is_ipv4() != address.is_ipv4()) return false;
    return prefix.is_ipv4() ? prefix.ipv4().contains(address.ipv4()) : prefix.ipv6().contains(address.ipv6());
}

// The prefix's bits from `to`, the host's from the address.
IpAddress moved(const IpAddress& address, const IpPrefix& to) {
    if (address.is_ipv4()) return to.ipv4().address() | (address.ipv4() & ~to.ipv4().mask());
    return to.ipv6().address() | (address.ipv6() & ~to.ipv6().mask());
}

std::optional<Owner> owner_in_operator_space(const Policy& policy, std::size_t vrf, const IpAddress& address) {
    for (const House& house : policy.houses)
        for (const auto& [inside, hub] : house.maps)
            if (house.vrf == vrf && contains(inside, address)) return Owner{&house, moved(address, hub)};
    return std::nullopt;
}
std::optional<Owner> owner_in_hub_space(const Policy& policy, const IpAddress& address) {
    for (const House& house : policy.houses)
        for (const auto& [inside, hub] : house.maps)
            if (contains(hub, address)) return Owner{&house, moved(address, inside)};
    return std::nullopt;
}

// Whether this agreement covers the packet, `forward` from its client. `strict`: with the tests of flags and replies.
bool covers(const Agreement& agreement, const Reading& packet, bool forward, bool strict) {
    using What = Agreement::What;
    const unsigned port = forward ? packet.destination_port : packet.source_port;
    const bool in_range = agreement.low <= port && port <= agreement.high;
    if (packet.protocol == 6) {
        if (agreement.what != What::any && (agreement.what != What::tcp || !in_range)) return false;
        return forward || !strict || (packet.flags_or_type & 0x14) != 0;
    }
    if (packet.protocol == 17) return agreement.what == What::any || (agreement.what == What::udp && in_range);
    if (!is_own_icmp(packet)) return agreement.what == What::any;
    const unsigned request = packet.ipv4 ? 8 : 128, reply = packet.ipv4 ? 0 : 129;
    if (agreement.what != What::any && agreement.what != What::echo) return false;
    if (!strict) return packet.flags_or_type == request || packet.flags_or_type == reply;
    return packet.flags_or_type == (forward ? request : reply);
}

bool agreed(const Policy& policy, const House& from, const House& to, const Reading& packet, bool strict) {
    return std::any_of(policy.agreements.begin(), policy.agreements.end(), [&](const Agreement& agreement) {
        if (agreement.client == from.name && agreement.service == to.name && covers(agreement, packet, true, strict))
            return true;
        return agreement.client == to.name && agreement.service == from.name &&
               covers(agreement, packet, false, strict);
    });
}

}  // namespace

std::optional<Reading> read(std::span<const std::uint8_t> ip, bool quoted) {
    Reading packet;
    if (ip.size() < 20) return std::nullopt;
    packet.ipv4 = ip[0] >> 4 == 4;
    if (!packet.ipv4 && (ip[0] >> 4 != 6 || ip.size() < 40)) return std::nullopt;
    if (packet.ipv4) {
        packet.l4 = std::size_t{4} * (ip[0] & 15);
        packet.length = get16(ip, 2);
        packet.protocol = ip[9];
        packet.ttl = ip[8];
        packet.id = get16(ip, 4);
        packet.begin = std::size_t{8} * (get16(ip, 6) & 0x1fffU);
        packet.fragment = (get16(ip, 6) & 0x3fff) != 0;
        if (packet.l4 < 20 || packet.length < packet.l4) return std::nullopt;
    } else {
        packet.l4 = 40;
        packet.length = 40 + std::size_t{get16(ip, 4)};
        packet.protocol = ip[6];
        packet.ttl = ip[7];
        while (packet.begin == 0 && (is_extension(packet.protocol) || packet.protocol == 44)) {
            if (packet.l4 + 8 > ip.size()) return std::nullopt;
            if (packet.protocol == 44) {
                const auto header = ip.subspan(packet.l4, 8);
                packet.begin = get16(header, 2) & 0xfff8U;
                packet.fragment = packet.begin != 0 || (header[3] & 1) != 0;
                packet.id = static_cast<std::uint32_t>(get16(header, 4)) << 16 | get16(header, 6);
                packet.protocol = header[0];
                packet.l4 += 8;
                continue;
            }
            const std::size_t next = packet.l4 + 8 * (std::size_t{ip[packet.l4 + 1]} + 1);
            packet.protocol = ip[packet.l4];
            packet.l4 = next;
        }
    }
    packet.later = packet.begin != 0;
    if (packet.later && quoted) return std::nullopt;
    packet.cut = packet.length > ip.size();
    if ((packet.cut && !quoted) || packet.l4 > ip.size()) return std::nullopt;
    packet.source = address_at(ip, packet.ipv4 ? 12 : 8, packet.ipv4);
    packet.destination = address_at(ip, packet.ipv4 ? 16 : 24, packet.ipv4);
    if (packet.later) return packet;
    const auto l4 = ip.subspan(packet.l4);
    const bool tcp_or_udp = packet.protocol == 6 || packet.protocol == 17;
    if (!tcp_or_udp && !is_own_icmp(packet)) return packet;
    if (l4.size() < (packet.protocol == 6 && !quoted ? 20U : 8U)) return std::nullopt;
    if (tcp_or_udp) {
        packet.source_port = get16(l4, 0);
        packet.destination_port = get16(l4, 2);
        if (packet.protocol == 6 && !quoted) packet.flags_or_type = l4[13];
    } else {
        packet.flags_or_type = l4[0];
    }
    return packet;
}

bool is_error(const Reading& reading) {
    if (!is_own_icmp(reading) || reading.later) return false;
    const unsigned type = reading.flags_or_type;
    if (!reading.ipv4) return type < 128;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

Bytes packet_in(const Bytes& frame) {
    std::size_t link = 14;
    if (frame.size() >= 18 && get16(frame, 12) == 0x8100) link = 18;
    if (frame.size() < link) return {};
    const unsigned type = get16(frame, link - 2);
    if (type != 0x0800 && type != 0x86dd) return {};
    const std::span<const std::uint8_t> rest = std::span(frame).subspan(link);
    if (rest.size() < (type == 0x0800 ? 20U : 40U)) return {};
    const std::size_t length = type == 0x0800 ? get16(rest, 2) : std::size_t{get16(rest, 4)} + 40;
    const auto packet = rest.first(std::min(length, rest.size()));
    return Bytes(packet.begin(), packet.end());
}

Sum header_sum(std::span<const std::uint8_t> ip) {
    if (ip.empty() || ip[0] >> 4 != 4) return Sum::right;
    const std::size_t length = std::size_t{4} * (ip[0] & 15);
    if (ip.size() < length) return Sum::wrong;
    return sum_of_words({ip.first(length)}) == 0xffff ? Sum::right : Sum::wrong;
}

Sum l4_sum(std::span<const std::uint8_t> ip, const Reading& packet) {
    const auto l4 = ip.subspan(packet.l4);
    if (packet.cut || packet.fragment || !(packet.protocol == 6 || packet.protocol == 17 || is_own_icmp(packet)))
        return Sum::none;
    if (packet.protocol == 17 && get16(l4, 6) == 0) return Sum::none;
    Bytes pseudo;
    if (!(packet.ipv4 && packet.protocol == 1)) {
        put(pseudo, ip.subspan(packet.ipv4 ? 12 : 8, packet.ipv4 ? 8 : 32));
        put32(pseudo, l4.size());
        put32(pseudo, packet.protocol);
    }
    return sum_of_words({pseudo, l4}) == 0xffff ? Sum::right : Sum::wrong;
}

std::optional<Passage> passage(const Policy& policy, const Line& line, std::span<const std::uint8_t> ip,
                               const std::optional<Reading>& first) {
    auto packet = read(ip);
    if (!packet || packet->ttl < 2) return std::nullopt;
    if (packet->later) {
        if (!first || !first->fragment || first->later || is_error(*first) || first->id != packet->id ||
            !(first->source == packet->source && first->destination == packet->destination))
            return std::nullopt;
        packet->protocol = first->protocol;
        packet->source_port = first->source_port;
        packet->destination_port = first->destination_port;
        packet->flags_or_type = first->flags_or_type;
        packet->later = false;
    }
    if (is_error(*packet)) {
        if (packet->fragment) return std::nullopt;
        const auto quote = read(ip.subspan(packet->l4 + 8), true);
        if (!quote || quote->ipv4 != packet->ipv4 || is_error(*quote)) return std::nullopt;
        if (!(quote->source == packet->destination)) return std::nullopt;
        const auto receiver = owner_in_operator_space(policy, line.vrf, quote->destination);
        const auto sender = owner_in_hub_space(policy, quote->source);
        if (!receiver || !sender || !agreed(policy, *sender->house, *receiver->house, *quote, false))
            return std::nullopt;
        const auto reporter = owner_in_operator_space(policy, line.vrf, packet->source);
        if (!reporter && owner_in_hub_space(policy, packet->source)) return std::nullopt;
        return Passage{reporter ? reporter->mapped : receiver->mapped, sender->mapped};
    }
    const auto source = owner_in_operator_space(policy, line.vrf, packet->source);
    const auto destination = owner_in_hub_space(policy, packet->destination);
    if (!source || !destination || !agreed(policy, *source->house, *destination->house, *packet, true))
        return std::nullopt;
    return Passage{source->mapped, destination->mapped};
}

}  // namespace sekisho::test

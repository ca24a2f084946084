// Selectors made ready for comparison with packets, and the comparison.
#include "crypto/selectors.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "net/headers.hpp"

namespace sekisho::crypto {

namespace {

constexpr std::uint8_t kProtocolSctp = 132;
constexpr std::size_t kMostExtensions = 8;

bool has_ports(std::uint8_t protocol) noexcept {
    return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolDccp ||
           protocol == kProtocolUdpLite || protocol == kProtocolSctp;
}

Expected<void> check(const Selector& selector) {
    if (selector.local.family() != selector.remote.family())
        return Error{ErrorCode::invalid,
                     selector.local.text() + " and " + selector.remote.text() + " are of two families"};
    for (const PortRange& ports : {selector.local_ports, selector.remote_ports}) {
        if (ports.first > ports.last)
            return Error{ErrorCode::invalid, "the ports " + std::to_string(ports.first) + " to " +
                                                 std::to_string(ports.last) + " run backwards"};
        if (!ports.is_any() && (!selector.protocol || !has_ports(*selector.protocol)))
            return Error{ErrorCode::invalid, selector.protocol
                                                 ? "protocol " + std::to_string(*selector.protocol) + " has no ports"
                                                 : "ports, but no protocol that they are of"};
    }
    return {};
}

template <class Net>
Net net_of(const Prefix4& prefix) {
    return {{prefix.address().wire().network_bits()}, {prefix.mask().wire().network_bits()}};
}
template <class Net>
Net net_of(const Prefix6& prefix) {
    const Ipv6Wire address = Ipv6Wire::from(prefix.address());
    const Ipv6Wire mask = Ipv6Wire::from(prefix.mask());
    return {{address.high.network_bits(), address.low.network_bits()},
            {mask.high.network_bits(), mask.low.network_bits()}};
}

template <class Row, class Prefix>
Row row_of(const Selector& selector, const Prefix& local, const Prefix& remote) {
    return {net_of<decltype(Row::source)>(remote),
            net_of<decltype(Row::destination)>(local),
            !selector.protocol,
            selector.local_ports.is_any() && selector.remote_ports.is_any(),
            selector.protocol.value_or(0),
            selector.remote_ports,
            selector.local_ports};
}

bool is_extension(std::uint8_t next) noexcept {
    return next == kProtocolHopByHop || next == kProtocolRouting || next == kProtocolFragment ||
           next == kProtocolDestinationOptions;
}

// What lies behind the IP header and its extensions. RFC 4301 §4.4.1.1 calls what cannot be seen OPAQUE.
struct Upper {
    bool knows_protocol = false;
    bool knows_ports = false;
    std::uint8_t protocol = 0;
    std::uint16_t source = 0;
    std::uint16_t destination = 0;

    void read_ports(std::span<const std::uint8_t> packet, std::size_t at) noexcept {
        if (!has_ports(protocol) || at + 4 > packet.size()) return;
        Be16 ports[2];
        std::memcpy(ports, packet.data() + at, sizeof ports);
        source = ports[0].to_host();
        destination = ports[1].to_host();
        knows_ports = true;
    }

    static Upper of_ipv4(std::span<const std::uint8_t> packet) noexcept {
        Upper upper;
        const auto* const ip = header_at<Ipv4Header>(packet, 0);
        if (ip == nullptr) return upper;
        upper.protocol = ip->protocol;
        upper.knows_protocol = true;
        if ((ip->flags_offset.to_host() & kIpv4OffsetMask) == 0) upper.read_ports(packet, ip->header_length());
        return upper;
    }

    static Upper of_ipv6(std::span<const std::uint8_t> packet) noexcept {
        Upper upper;
        const auto* const ip = header_at<Ipv6Header>(packet, 0);
        if (ip == nullptr) return upper;
        std::uint8_t next = ip->next_header;
        std::size_t at = sizeof(Ipv6Header);
        for (std::size_t i = 0; is_extension(next); ++i) {
            const auto* const extension = header_at<Ipv6ExtensionHeader>(packet, at);
            if (i == kMostExtensions || extension == nullptr) return upper;
            if (next == kProtocolFragment) {
                const auto* const fragment = header_at<Ipv6FragmentHeader>(packet, at);
                if (fragment == nullptr) return upper;
                if ((fragment->offset_more.to_host() >> 3) != 0) {
                    // A fragment's next header is that of the first header behind it: the upper layer's, or unseen.
                    upper.protocol = fragment->next_header;
                    upper.knows_protocol = !is_extension(upper.protocol);
                    return upper;
                }
                at += sizeof(Ipv6FragmentHeader);
            } else {
                at += extension->bytes();
            }
            next = extension->next_header;
        }
        upper.protocol = next;
        upper.knows_protocol = true;
        upper.read_ports(packet, at);
        return upper;
    }
};

}  // namespace

SelectorFields SelectorFields::of(std::span<const std::uint8_t> packet) noexcept {
    SelectorFields fields;
    Upper upper;
    if (const auto* const ip = header_at<Ipv4Header>(packet, 0); ip != nullptr && ip->version() == 4) {
        fields.source = Ipv4Address(ip->source);
        fields.destination = Ipv4Address(ip->destination);
        upper = Upper::of_ipv4(packet);
    } else if (const auto* const ipv6 = header_at<Ipv6Header>(packet, 0)) {
        fields.source = ipv6->source.address();
        fields.destination = ipv6->destination.address();
        upper = Upper::of_ipv6(packet);
    }
    if (upper.knows_protocol) fields.protocol = upper.protocol;
    if (upper.knows_ports) {
        fields.source_port = upper.source;
        fields.destination_port = upper.destination;
    }
    return fields;
}

Expected<Selectors> Selectors::make(std::span<const Selector> selectors) {
    if (selectors.empty()) return Error{ErrorCode::invalid, "no selectors: nothing could pass"};
    Selectors made;
    for (std::size_t i = 0; i < selectors.size(); ++i) {
        const Selector& selector = selectors[i];
        if (auto fine = check(selector); !fine) return fine.error().at("selectors[" + std::to_string(i) + "]");
        if (selector.local.is_ipv4())
            made.rows4_.push_back(row_of<Row4>(selector, selector.local.ipv4(), selector.remote.ipv4()));
        else
            made.rows6_.push_back(row_of<Row6>(selector, selector.local.ipv6(), selector.remote.ipv6()));
    }
    if (!made.rows4_.empty() && made.rows4_[0].any_protocol) {
        const Row4& first = made.rows4_[0];
        const auto both = [](std::uint32_t source, std::uint32_t destination) {
            return std::bit_cast<std::uint64_t>(std::array{source, destination});  // as they lie in the packet
        };
        made.first4_ = {{both(first.source.address[0], first.destination.address[0])},
                        {both(first.source.mask[0], first.destination.mask[0])}};
    }
    return made;
}

template <class AnyRow>
bool Selectors::match(const std::vector<AnyRow>& rows, std::span<const std::uint8_t> packet) noexcept {
    constexpr bool kIpv6 = std::is_same_v<AnyRow, Row6>;
    using Word = std::conditional_t<kIpv6, std::uint64_t, std::uint32_t>;
    constexpr std::size_t kWords = kIpv6 ? 2 : 1;
    constexpr std::size_t kAddresses = kIpv6 ? 8 : 12;  // source, destination behind it
    Word addresses[2 * kWords];
    std::memcpy(addresses, packet.data() + kAddresses, sizeof addresses);
    std::optional<Upper> upper;  // looked for when a selector asks for it
    for (const AnyRow& row : rows) {
        if (!row.source.holds(addresses) || !row.destination.holds(addresses + kWords)) continue;
        if (row.any_protocol) return true;
        if (!upper) upper = kIpv6 ? Upper::of_ipv6(packet) : Upper::of_ipv4(packet);
        if (!upper->knows_protocol || upper->protocol != row.protocol) continue;
        if (row.any_ports) return true;
        if (upper->knows_ports && row.source_ports.first <= upper->source && upper->source <= row.source_ports.last &&
            row.destination_ports.first <= upper->destination && upper->destination <= row.destination_ports.last)
            return true;
    }
    return false;
}

bool Selectors::match_each(std::span<const std::uint8_t> packet) const noexcept {
    if (packet.size() >= sizeof(Ipv4Header) && packet[0] >> 4 == 4) return match(rows4_, packet);
    if (packet.size() >= sizeof(Ipv6Header) && packet[0] >> 4 == 6) return match(rows6_, packet);
    return false;
}

}  // namespace sekisho::crypto

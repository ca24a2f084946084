// What an SA may carry: traffic selectors, as the peers agreed on them, checked on every packet after it was opened.
//
// RFC 4301 §4.4.1.1: pairs of prefixes, a protocol, ranges of L4 ports. A packet that an inbound SA delivers must match
// one of its selectors (§5.2 step 4), with the peer's side as its source. Immutable once made; any thread reads.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "net/expected.hpp"
#include "net/prefix.hpp"

namespace sekisho::crypto {

struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0xffff;

    bool is_any() const noexcept { return first == 0 && last == 0xffff; }
    friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct Selector {
    IpPrefix local;   // of our side
    IpPrefix remote;  // of the peer's
    std::optional<std::uint8_t> protocol = {};
    PortRange local_ports = {};
    PortRange remote_ports = {};
};

// What of a packet selectors look at. What is behind headers that cannot be followed, and the ports of a non-first
// fragment, are not there (RFC 4301 §4.4.1.1: OPAQUE). Host byte order.
struct SelectorFields {
    IpAddress source = Ipv4Address();
    IpAddress destination = Ipv4Address();
    std::optional<std::uint8_t> protocol = {};
    std::optional<std::uint16_t> source_port = {};
    std::optional<std::uint16_t> destination_port = {};

    // As Selectors::match_inbound() asks for it.
    static SelectorFields of(std::span<const std::uint8_t> packet) noexcept;
};

class Selectors {
  public:
    Selectors() = default;  // matches nothing

    // Errors: invalid, naming the selector by its place: none at all, two families in one, a range that runs backwards,
    // ports of a protocol that has none.
    static Expected<Selectors> make(std::span<const Selector> selectors);

    // Whether a packet from the peer to us matches: all of it, with a valid header of its family (4 or 6 in its first
    // nibble, lengths within the span). A non-first fragment matches no selector that asks for ports, nor, in IPv6, one
    // that asks for a protocol and cannot see it.
    bool match_inbound(std::span<const std::uint8_t> packet) const noexcept {
        return takes_all4(packet) || match_each(packet);
    }

  private:
    template <class Word, std::size_t words>
    struct Net {
        Word address[words];  // bits as they lie in the packet
        Word mask[words];
        bool holds(const Word* at) const noexcept {
            Word different = 0;
            for (std::size_t i = 0; i < words; ++i) different |= (at[i] & mask[i]) ^ address[i];
            return different == 0;
        }
    };
    template <class Word, std::size_t words>
    struct Row {
        Net<Word, words> source;
        Net<Word, words> destination;
        bool any_protocol;
        bool any_ports;
        std::uint8_t protocol;
        PortRange source_ports;
        PortRange destination_ports;
    };
    using Row4 = Row<std::uint32_t, 1>;
    using Row6 = Row<std::uint64_t, 2>;

    // Quick for what most SAs carry: IPv4 of the first selector, whatever the protocol.
    bool takes_all4(std::span<const std::uint8_t> packet) const noexcept {
        constexpr std::size_t kAddresses = 12, kEnd = 20;  // of the addresses in an IPv4 header
        if (packet.size() < kEnd || packet[0] >> 4 != 4) return false;
        std::uint64_t addresses;
        std::memcpy(&addresses, packet.data() + kAddresses, sizeof addresses);
        return first4_.holds(&addresses);
    }
    bool match_each(std::span<const std::uint8_t> packet) const noexcept;

    template <class AnyRow>
    static bool match(const std::vector<AnyRow>& rows, std::span<const std::uint8_t> packet) noexcept;

    // Both addresses of the first of rows4_ if it takes every protocol, so that most packets need not look there; what
    // no packet has if not.
    Net<std::uint64_t, 1> first4_{{1}, {0}};
    std::vector<Row4> rows4_;
    std::vector<Row6> rows6_;
};

}  // namespace sekisho::crypto

// A builder of frames that one can read: udp("10.0.0.7:4000",
// "100.64.2.9:53").ttl(63).vlan(7).from("02:00:00:00:00:09").
//
// Everything that is not said is right: lengths, checksums, version. Everything may be said wrong. Endpoints are
// "10.0.0.7:4000" and "[fd00::7]:4000", addresses "10.0.0.7" and "fd00::7". Pure values, no DPDK.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "net/address.hpp"
#include "net/headers.hpp"
#include "tests/dataplane/support/bytes.hpp"

namespace sekisho::test {

IpAddress address(std::string_view text);
MacAddress mac(std::string_view text);

class Frame {
  public:
    // ---- The link.
    Frame& from(std::string_view text) { return source_mac_ = mac(text), *this; }
    Frame& from(const MacAddress& address) { return source_mac_ = address, *this; }
    Frame& to(std::string_view text) { return destination_mac_ = mac(text), *this; }
    Frame& to(const MacAddress& address) { return destination_mac_ = address, *this; }
    Frame& vlan(unsigned id, unsigned priority = 0) { return tag(0x8100, priority << 13 | id); }
    Frame& tag(unsigned type, unsigned control) { return tags_.emplace_back(type, control), *this; }
    Frame& ether_type(unsigned type) { return ether_type_ = type, *this; }
    Frame& padded(std::size_t bytes) { return padding_ = bytes, *this; }  // that many bytes behind the packet
    Frame& cut(std::size_t length) { return cut_ = length, *this; }       // only the first bytes of the frame
    bool has_destination() const { return destination_mac_.has_value(); }
    bool has_tags() const { return !tags_.empty(); }

    // ---- IPv4 and IPv6.
    Frame& ttl(unsigned value) { return ttl_ = value, *this; }
    Frame& dscp_ecn(unsigned value) { return dscp_ecn_ = value, *this; }
    Frame& protocol(unsigned value) { return protocol_ = value, *this; }
    Frame& version(unsigned value) { return version_ = value, *this; }

    Frame& id(unsigned value) { return id_ = value, *this; }
    Frame& dont_fragment(bool set = true) { return dont_fragment_ = set, *this; }
    Frame& fragment(unsigned offset, bool more) { return fragment_ = offset / 8 | (more ? 0x2000U : 0), *this; }
    Frame& options(const Bytes& bytes) { return options_ = bytes, *this; }  // padded to four bytes with zero
    Frame& header_words(unsigned value) { return header_words_ = value, *this; }
    Frame& total_length(unsigned value) { return length_ = value, *this; }
    Frame& header_checksum(unsigned value) { return header_checksum_ = value, *this; }

    Frame& payload_length(unsigned value) { return length_ = value, *this; }
    Frame& flow(unsigned value) { return flow_ = value, *this; }
    // An extension header of `type`: everything behind its next-header byte.
    Frame& extension(unsigned type, const Bytes& rest) { return extensions_.emplace_back(type, rest), *this; }
    Frame& hop_by_hop(unsigned units = 0) { return extension(kProtocolHopByHop, options_of(units)); }
    Frame& destination_options(unsigned units = 0) { return extension(kProtocolDestinationOptions, options_of(units)); }
    Frame& routing(unsigned type, unsigned segments_left) {
        return extension(kProtocolRouting,
                         {0, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(segments_left), 0, 0, 0, 0});
    }
    Frame& fragment_header(unsigned offset, bool more) {
        const unsigned word = offset / 8 << 3 | (more ? 1U : 0);
        return extension(kProtocolFragment,
                         {0, static_cast<std::uint8_t>(word >> 8), static_cast<std::uint8_t>(word), 0, 0, 0, 7});
    }

    // ---- L4.
    Frame& sequence(std::uint32_t number) { return sequence_ = number, *this; }  // of TCP
    Frame& flags(unsigned value) { return flags_ = value, *this; }
    Frame& syn() { return flags_ |= kTcpSyn, *this; }
    Frame& ack() { return flags_ |= kTcpAck, *this; }
    Frame& rst() { return flags_ |= kTcpRst, *this; }
    Frame& fin() { return flags_ |= kTcpFin, *this; }
    Frame& data_offset(unsigned words) { return data_offset_ = words, *this; }
    Frame& payload(const Bytes& bytes) { return payload_ = bytes, *this; }
    Frame& payload(std::size_t bytes);  // that many, counting up
    Frame& checksum(unsigned value) { return checksum_ = value, *this; }
    Frame& rest_of_header(unsigned value) { return rest_ = value, *this; }  // of ICMP: identifier, MTU, pointer
    Frame& code(unsigned value) { return code_ = value, *this; }

    Bytes ip() const;     // the IP (or ARP) packet
    Bytes bytes() const;  // the whole frame
    const IpAddress& source() const { return source_; }
    const IpAddress& destination() const { return destination_; }

  private:
    enum class Kind { tcp, udp, icmp, other, link };
    friend Frame tcp(std::string_view, std::string_view);
    friend Frame udp(std::string_view, std::string_view);
    friend Frame icmp(std::string_view, std::string_view, unsigned, unsigned);
    friend Frame packet(std::string_view, std::string_view, unsigned, const Bytes&);
    friend Frame on_link(unsigned, const Bytes&);

    static Bytes options_of(unsigned units);
    Bytes l4() const;
    Bytes pseudo_header(std::size_t length) const;
    Bytes ipv4() const;
    Bytes ipv6() const;

    Kind kind_ = Kind::other;
    std::optional<MacAddress> source_mac_, destination_mac_;
    std::vector<std::pair<unsigned, unsigned>> tags_;
    std::optional<unsigned> ether_type_;
    std::size_t padding_ = 0;
    std::optional<std::size_t> cut_;

    IpAddress source_ = Ipv4Address();
    IpAddress destination_ = Ipv4Address();
    unsigned ttl_ = 64, dscp_ecn_ = 0, protocol_ = 0, id_ = 0x1234, fragment_ = 0, flow_ = 0;
    bool dont_fragment_ = true;
    Bytes options_;
    std::vector<std::pair<unsigned, Bytes>> extensions_;
    std::optional<unsigned> version_, header_words_, length_, header_checksum_;

    unsigned source_port_ = 0, destination_port_ = 0, flags_ = 0, type_ = 0, code_ = 0, rest_ = 0;
    std::uint32_t sequence_ = 0x0102'0304;
    std::optional<unsigned> data_offset_, checksum_;
    Bytes payload_;
};

Frame tcp(std::string_view from, std::string_view to);
Frame udp(std::string_view from, std::string_view to);
Frame icmp(std::string_view from, std::string_view to, unsigned type, unsigned code = 0);  // of the addresses' family
Frame echo_request(std::string_view from, std::string_view to);  // identifier 0x2a, sequence 1
Frame echo_reply(std::string_view from, std::string_view to);
// An ICMP error about `quote`, an IP packet.
Frame icmp_error(std::string_view from, std::string_view to, unsigned type, unsigned code, const Bytes& quote);
// Any other IP packet: `payload` is what follows the IP header.
Frame packet(std::string_view from, std::string_view to, unsigned protocol, const Bytes& payload);
Frame on_link(unsigned ether_type, const Bytes& payload);

struct Arp {
    std::string_view sender_mac, sender, target_mac = "00:00:00:00:00:00", target;
};
Frame arp(unsigned operation, const Arp& arp);  // from the sender's MAC; a request to all, a reply to the target

// Neighbour discovery: sent with hop limit 255. `link_layer`: the MAC in its option, or "" for no option.
Frame neighbour_solicitation(std::string_view from, std::string_view to, std::string_view target,
                             std::string_view link_layer);
Frame neighbour_advertisement(std::string_view from, std::string_view to, std::string_view target,
                              std::string_view link_layer, std::uint32_t flags);

// The first `length` bytes, or all.
Bytes first(const Bytes& bytes, std::size_t length);

}  // namespace sekisho::test

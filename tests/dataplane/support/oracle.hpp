// What a packet may do by the test's policy, worked out without the path's code: read byte by byte, agreement by
// agreement.
//
// Small on purpose. It knows of well-formed packets between institutions; gates and attachments it leaves out.
#pragma once

#include <optional>

#include "tests/dataplane/support/frame.hpp"
#include "tests/dataplane/support/policy.hpp"

namespace sekisho::test {

// An IP packet as an oracle sees it. Nothing when it cannot be read to its ports; a later fragment has none.
struct Reading {
    bool ipv4 = true;
    IpAddress source = Ipv4Address(), destination = Ipv4Address();
    unsigned protocol = 0, ttl = 0;
    std::size_t l4 = 0, length = 0;  // where L4 begins, where the packet ends
    unsigned source_port = 0, destination_port = 0, flags_or_type = 0;
    bool cut = false;  // a quote that ends early
    bool fragment = false, later = false;
    std::size_t begin = 0;  // of a fragment
    std::uint32_t id = 0;
};
std::optional<Reading> read(std::span<const std::uint8_t> ip, bool quoted = false);
bool is_error(const Reading& reading);

// The IP packet in a frame, its padding left out; empty when there is none.
Bytes packet_in(const Bytes& frame);

enum class Sum { right, wrong, none };
Sum header_sum(std::span<const std::uint8_t> ip);                     // of IPv4; right for IPv6
Sum l4_sum(std::span<const std::uint8_t> ip, const Reading& packet);  // none: the protocol or the sender has none

// Whether an agreement lets this packet leave, when it came by this line; then its new addresses. Of a later fragment:
// when `first` is its datagram's.
struct Passage {
    IpAddress source, destination;
};
std::optional<Passage> passage(const Policy& policy, const Line& line, std::span<const std::uint8_t> ip,
                               const std::optional<Reading>& first = std::nullopt);

}  // namespace sekisho::test

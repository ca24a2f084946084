// An address with a port, and who is behind it. Values; host order.
#pragma once

#include <cstdint>

#include "net/address.hpp"

namespace sekisho::nat {

// The protocols that have ports of their own; ICMP's are query identifiers.
enum class PortProtocol : std::uint8_t { tcp, udp, icmp };
inline constexpr std::size_t kPortProtocols = 3;

struct Endpoint {
    Ipv4Address address;
    std::uint16_t port = 0;
    friend bool operator==(const Endpoint&, const Endpoint&) noexcept = default;
};

// Whose ports they are: a host's address, or an institution's number, in its operator's space.
struct Subscriber {
    std::uint32_t id = 0;
    std::uint16_t space = 0;
    friend bool operator==(const Subscriber&, const Subscriber&) noexcept = default;
};

}  // namespace sekisho::nat

// Where the peer of a tunnel in UDP is now, when it is not where the policy says: behind a NAT, addresses and ports
// change.
//
// Workers write, when an authentic packet came from elsewhere (RFC 3948 §4, RFC 7296 §2.23); workers and control read.
// Nobody waits: there are two slots, the present one is never written, and a worker that finds another one writing
// leaves it to that. A reader starts again only if the peer moved while it read. Where a tunnel begins anew, control
// puts a new word in this one's place.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "net/address.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

struct UdpEndpoint {
    IpAddress address = Ipv4Address();
    L4Port port;
    // "198.51.100.9:4500", "[2001:db8::9]:4500".
    std::string text() const {
        std::string words;
        if (!address.is_ipv4()) words += '[';
        words += address.text();
        if (!address.is_ipv4()) words += ']';
        words += ':';
        words += std::to_string(port.value());
        return words;
    }
    friend bool operator==(const UdpEndpoint&, const UdpEndpoint&) = default;
};

class alignas(64) PeerWord {
  public:
    // Nothing: where the policy says.
    std::optional<UdpEndpoint> now() const noexcept {
        for (;;) {
            const std::uint32_t turn = turn_.load(std::memory_order_acquire);
            if (turn == 0) return std::nullopt;
            const Slot& slot = slots_[turn % 2];
            const std::uint64_t high = slot.high.load(std::memory_order_acquire);
            const std::uint64_t low = slot.low.load(std::memory_order_acquire);
            const std::uint32_t rest = slot.rest.load(std::memory_order_acquire);
            // Whoever writes this slot again has shown the other one before: had we read of that, the turn would be
            // later.
            if (turn_.load(std::memory_order_relaxed) != turn) continue;
            const IpAddress address = (rest & kIpv4) != 0 ? IpAddress(Ipv4Address(static_cast<std::uint32_t>(low)))
                                                          : IpAddress(Ipv6Address(high, low));
            return UdpEndpoint{address, L4Port(static_cast<std::uint16_t>(rest))};
        }
    }

    // False: another worker is just writing.
    bool follow(const UdpEndpoint& endpoint) noexcept {
        if (busy_.exchange(true, std::memory_order_acquire)) return false;
        const std::uint32_t next = next_of(turn_.load(std::memory_order_relaxed));
        Slot& slot = slots_[next % 2];
        const bool ipv4 = endpoint.address.is_ipv4();
        slot.high.store(ipv4 ? 0 : endpoint.address.ipv6().high(), std::memory_order_release);
        slot.low.store(ipv4 ? endpoint.address.ipv4().value() : endpoint.address.ipv6().low(),
                       std::memory_order_release);
        slot.rest.store((ipv4 ? kIpv4 : 0) | endpoint.port.value(), std::memory_order_release);
        turn_.store(next, std::memory_order_release);
        busy_.store(false, std::memory_order_release);
        return true;
    }

  private:
    static constexpr std::uint32_t kIpv4 = 0x1'0000;
    // 0 is the beginning alone, and the slots must take turns.
    static constexpr std::uint32_t next_of(std::uint32_t turn) noexcept { return turn + 1 == 0 ? 2 : turn + 1; }

    struct Slot {
        std::atomic<std::uint64_t> high{0};  // of an IPv6 address
        std::atomic<std::uint64_t> low{0};
        std::atomic<std::uint32_t> rest{0};  // kIpv4, and the port
    };
    std::atomic<std::uint32_t> turn_{0};  // the present slot by its last bit; 0: none
    std::atomic<bool> busy_{false};
    std::array<Slot, 2> slots_;
};
static_assert(sizeof(PeerWord) == 64);

}  // namespace sekisho::dataplane

// How long sessions live without a packet, in seconds. Defaults are the RFCs'; check() refuses what they forbid.
//
// RFC 4787 REQ-5 (UDP), RFC 5382 REQ-5 and RFC 7857 §2.1 (TCP), RFC 5508 REQ-1 (ICMP queries). Values; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "nat/tcp_state.hpp"
#include "net/expected.hpp"

namespace sekisho::nat {

struct Timeouts {
    std::uint32_t tcp_established = 7440;  // 2 hours and 4 minutes
    std::uint32_t tcp_transitory = 240;    // opening, closing, reset
    std::uint32_t tcp_unsolicited = 6;     // RFC 5382 REQ-4
    std::uint32_t udp = 300;
    std::uint32_t icmp = 60;
    std::uint32_t other = 300;

    static constexpr std::uint32_t kMost = 32'000;  // what a table can look ahead

    constexpr std::uint32_t of(TcpState state) const noexcept {
        switch (state) {
            case TcpState::unsolicited: return tcp_unsolicited;
            case TcpState::established:
            case TcpState::forward_closed:  // half closed: data still flows the other way
            case TcpState::reverse_closed: return tcp_established;
            default: return tcp_transitory;
        }
    }
    // `state` is of TCP and means nothing otherwise.
    constexpr std::uint32_t of(std::uint8_t protocol, TcpState state) const noexcept {
        switch (protocol) {
            case kProtocolTcp: return of(state);
            case kProtocolUdp: return udp;
            case kProtocolIcmp:
            case kProtocolIcmpv6: return icmp;
            default: return other;
        }
    }

    // Names what is shorter than its RFC allows, or longer than can be kept.
    Expected<void> check() const {
        const auto bad = [](const char* name, std::uint32_t value, std::uint32_t least,
                            const char* rule) -> Expected<void> {
            if (value >= least && value <= kMost) return {};
            return Error{ErrorCode::invalid, std::string(name) + " " + std::to_string(value) + ": from " +
                                                 std::to_string(least) + " (" + rule + ") to " + std::to_string(kMost) +
                                                 " seconds"};
        };
        if (auto r = bad("tcp_established", tcp_established, 7440, "RFC 5382 REQ-5"); !r) return r;
        if (auto r = bad("tcp_transitory", tcp_transitory, 240, "RFC 5382 REQ-5"); !r) return r;
        if (auto r = bad("tcp_unsolicited", tcp_unsolicited, 6, "RFC 5382 REQ-4"); !r) return r;
        if (auto r = bad("udp", udp, 120, "RFC 4787 REQ-5"); !r) return r;
        if (auto r = bad("icmp", icmp, 60, "RFC 5508 REQ-1"); !r) return r;
        return bad("other", other, 1, "the hub");
    }
};

}  // namespace sekisho::nat

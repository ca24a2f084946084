// The standard policy, and higashi behind a tunnel: an operator with everybody's addresses again.
//
//   higashi-line  port 3, VLAN 30   203.0.113.1/29, 2001:db8:99::1/64   an underlay; gateway .2, ::2
//   higashi       tunnel 1 by it    10.255.0.1/29, fd00:ffff::1/64      MTU 1,400
//                 outer 203.0.113.1 - 198.51.100.9, or 2001:db8:99::1 - 2001:db8:77::9
//     higashi-hospital  10.0.0.0/24 = 100.64.32.0/24   fd00:0:0:1::/64 = 2001:db8:4000:401::/64
//
//   higashi-hospital → portal: UDP 53, TCP 443, echo      kita-hospital → higashi-hospital: any
#pragma once

#include "crypto/selectors.hpp"
#include "tests/dataplane/support/policy.hpp"

namespace sekisho::test {

inline constexpr std::string_view kHigashiGateway = "02:00:00:00:0d:01";
inline constexpr std::string_view kHigashiHub4 = "100.64.32.7";  // 10.0.0.7 of higashi-hospital in hub space
inline constexpr std::string_view kHigashiHub6 = "2001:db8:4000:401::7";
inline constexpr TunnelId kHigashiTunnel{1};

struct OuterEnds {
    std::string_view hub, peer;
};
inline constexpr OuterEnds kOuter4{"203.0.113.1", "198.51.100.9"};
inline constexpr OuterEnds kOuter6{"2001:db8:99::1", "2001:db8:77::9"};
constexpr const OuterEnds& outer_ends(Family family) {
    return family == Family::ipv4 ? kOuter4 : kOuter6;
}

// Adds higashi to a policy that has kita-hospital and portal.
void add_higashi(Policy& policy, Family outer);
Policy protected_policy(Family outer = Family::ipv4);
// The same with the tunnel's ESP in UDP, ports 4500.
Policy in_udp_policy(Family outer = Family::ipv4);

// Everything that may come in through higashi's tunnel.
std::vector<crypto::Selector> any_selectors();

}  // namespace sekisho::test

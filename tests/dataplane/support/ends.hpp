// The stations of the standard policy by name, in both families, for tests that hold for IPv4 as for IPv6.
//
// GENERATE(kEnds4, kEnds6) runs a test twice.
#pragma once

#include <string>
#include <string_view>

#include "net/address.hpp"

namespace sekisho::test {

struct Ends {
    Family family;
    std::string_view client, client_hub;          // of kita-hospital: operator space, hub space
    std::string_view clinic, clinic_hub;          // of kita-clinic, which has no agreement
    std::string_view minami_hub;                  // of minami-hospital; in operator space it is `client` too
    std::string_view portal, portal_hub;          // the station kPortal
    std::string_view archive;                     // the same in both spaces
    std::string_view unused_hub;                  // hub space that is nobody's
    std::string_view router;                      // inside kita, and no map covers it
    std::string_view kita_hub, kita_gateway;      // on kita's line: the hub itself, and its neighbour
    std::string_view center_hub, center_gateway;  // on center's line
};

inline constexpr Ends kEnds4{Family::ipv4,  "10.0.0.7",    "100.64.0.7", "10.0.1.7",    "100.64.1.7",
                             "100.64.16.7", "192.168.9.9", "100.64.2.9", "100.64.3.8",  "100.65.1.1",
                             "10.0.200.1",  "10.255.0.1",  "10.255.0.2", "192.168.9.1", "192.168.9.2"};
inline constexpr Ends kEnds6{Family::ipv6,
                             "fd00:0:0:1::7",
                             "2001:db8:4000:1::7",
                             "fd00:0:0:2::7",
                             "2001:db8:4000:2::7",
                             "2001:db8:4000:101::7",
                             "fd99::9",
                             "2001:db8:4000:201::9",
                             "2001:db8:4000:301::8",
                             "2001:db8:4000:ffff::1",
                             "fd00:0:0:200::1",
                             "fd00:ffff::1",
                             "fd00:ffff::2",
                             "fd99::1",
                             "fd99::2"};

// "10.0.0.7:53", "[fd00::7]:53".
inline std::string at(std::string_view address, unsigned port) {
    const bool ipv6 = address.find(':') != std::string_view::npos;
    const std::string host = ipv6 ? "[" + std::string(address) + "]" : std::string(address);
    return host + ":" + std::to_string(port);
}

}  // namespace sekisho::test

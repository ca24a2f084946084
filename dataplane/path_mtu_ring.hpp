// What workers tell control of the paths to tunnels' peers.
//
// A report is what an ICMP error said about a packet that the hub may have sealed. Which tunnel it is about, and
// whether to believe it, is control's to find out.
#pragma once

#include <cstdint>

#include "dataplane/peer_word.hpp"
#include "dataplane/report_ring.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

struct PathMtuReport {
    AttachmentId underlay;  // by which it came
    IpAddress local = Ipv4Address();
    UdpEndpoint peer;  // to which the packet went; a port if it was in UDP
    L4Port local_port;
    bool in_udp = false;
    Spi spi;
    std::uint32_t sequence = 0;  // the low half
    std::uint16_t length = 0;    // of the outer packet
    std::uint16_t mtu = 0;       // that the path takes; 0: a router that does not say (RFC 1191 §5)
};

using PathMtuRing = ReportRing<PathMtuReport>;

}  // namespace sekisho::dataplane

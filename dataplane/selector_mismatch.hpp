// What workers tell control of packets that came out of an SA which may not carry them (RFC 4301 §5.2).
//
// One of each SA in a minute, so that a peer which sends nothing else cannot fill the ring or the audit log; all of
// them are counted, by the port and by the SA.
#pragma once

#include "crypto/selectors.hpp"
#include "dataplane/report_ring.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

struct SelectorMismatch {
    TunnelId tunnel;
    Spi spi;
    crypto::SelectorFields packet;
};

using SelectorMismatchRing = ReportRing<SelectorMismatch>;

}  // namespace sekisho::dataplane

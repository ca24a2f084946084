// The software spreader: which worker a received frame is for, where the port's device cannot say.
//
// By a hash of the flow that is the same for both directions (addresses and, of whole TCP and UDP packets, ports), and
// a node-wide list of buckets. ESP goes by its addresses and SPI: an SA is one worker's, as long as others have theirs.
// Fragments and other protocols go by their addresses alone, as they do with a NIC's RSS: a flow that is fragmented now
// and then is on two workers. Both directions as they are on one side of the hub:
// translation gives them other addresses on the other. Reads what it needs itself, bounded by the frame: parse comes
// later, on the worker that the frame is for.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "net/ids.hpp"

namespace sekisho::dataplane {

class Walk;

// Of a whole frame from its Ethernet header on. 0 for what is not IP, or too short to say.
std::uint32_t flow_hash(std::span<const std::uint8_t> frame) noexcept;

// Which worker has which bucket of flows. The same for all ports; does not change while the workers run, so that a flow
// keeps its worker and its order.
class Spread {
  public:
    static constexpr std::size_t kBuckets = 512;

    // Each worker gets buckets by its weight; at least one weight is not 0.
    explicit Spread(std::span<const unsigned> weights);

    WorkerId worker_of(std::uint32_t hash) const noexcept { return workers_[hash % kBuckets]; }

  private:
    std::array<WorkerId, kBuckets> workers_;
};

// Sorts a burst of the walk's port, kBurst at most: the frames for other workers are handed over, those for this one
// move up, their order kept. How many stay.
std::size_t spread(Walk& walk, std::span<rte_mbuf*> frames) noexcept;

}  // namespace sekisho::dataplane

// What the workers of a node share: the rings between them, the neighbours, and how flows are spread.
//
// Made by control before the workers start and freed after they have ended. Of the neighbours, one worker writes (the
// keeper); the others read, and hand it what must be written: ARP and neighbour discovery that they received, and
// packets for a neighbour that is not known yet. With one worker there are no rings.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/conflicts.hpp"
#include "dataplane/handover.hpp"
#include "dataplane/kernel/share.hpp"
#include "dataplane/neighbours.hpp"
#include "dataplane/rss_map.hpp"
#include "dataplane/spread.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

class Associations;

class Team {
  public:
    static constexpr WorkerId kKeeper{0};

    // `weights` by worker: how large its share of spread flows is, see Spread. `tsc_hz` is the TSC's frequency.
    Team(std::span<const unsigned> weights, std::uint64_t tsc_hz, std::size_t ring_capacity = HandoverRing::kCapacity);

    std::size_t size() const noexcept { return size_; }
    // By the other worker: the rings that this one gives to, or takes from; null for itself.
    std::vector<HandoverRing*> rings_from(WorkerId giver) const;
    std::vector<HandoverRing*> rings_to(WorkerId taker) const;

    Neighbours neighbours;
    Conflicts conflicts;
    // Ports that were up and are down. Control writes, the keeper reads.
    static constexpr std::size_t kPorts = 1024;
    std::array<std::atomic<bool>, kPorts> down_ports{};
    bool is_down(PortId port) const noexcept {
        return port.index() < kPorts && down_ports[port.index()].load(std::memory_order_relaxed);
    }
    const Spread spread;
    // Set before the workers are made, and outlives them. Null: nothing is opened or sealed, all of it is dropped.
    const Associations* associations = nullptr;
    // By PortId, of ports that bring packets to workers by RSS alone; null: nobody can tell; empty: of no port. Set
    // before the workers run.
    std::vector<std::unique_ptr<const RssMap>> rss_maps;
    const RssMap* rss_map(PortId port) const noexcept {
        return port.index() < rss_maps.size() ? rss_maps[port.index()].get() : nullptr;
    }
    KernelShare kernel;
    // How often control has asked for counters; see CounterMailbox. Control writes, workers read.
    std::atomic<std::uint64_t> counter_call{0};

  private:
    std::size_t size_;
    std::vector<std::unique_ptr<HandoverRing>> rings_;  // by giver, then taker
};

}  // namespace sekisho::dataplane

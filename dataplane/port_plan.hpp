// From what a device can do to how the workers use it: how many queues, RSS or not, who polls and who sends.
//
// Pure functions of numbers; nothing here touches a device. Queue and worker stand in a fixed relation, so that no one
// needs a table: worker w of n has queue (w - port) mod n, if the port has that many. So ports with one queue each fall
// to different workers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "net/ids.hpp"

namespace sekisho::dataplane {

// What a device says of itself.
struct DeviceAbilities {
    std::uint16_t receive_queues = 1;
    std::uint16_t transmit_queues = 1;
    std::uint64_t rss_types = 0;      // RTE_ETH_RSS_*: what it can hash; 0: nothing
    std::size_t rss_key_bytes = 0;    // 0: its key cannot be set
    bool lock_free_transmit = false;  // several workers may use one transmit queue at once
};

struct PortPlan {
    std::uint16_t receive_queues = 1;
    std::uint16_t transmit_queues = 1;
    std::uint64_t rss_types = 0;   // 0: how flows come to queues is the device's own affair
    bool rss_symmetric = false;    // both directions of a flow to one queue
    bool spreads = false;          // fewer receive queues than workers: who polls spreads the flows
    bool shares_transmit = false;  // any worker may use any transmit queue

    // The receive queue that this worker polls, if any.
    std::optional<QueueId> receive_queue_of(PortId port, WorkerId worker, std::size_t workers) const noexcept {
        const std::size_t queue = place(port, worker, workers);
        if (queue >= receive_queues) return std::nullopt;
        return QueueId(static_cast<std::uint16_t>(queue));
    }
    // Who polls it.
    WorkerId worker_of(PortId port, QueueId queue, std::size_t workers) const noexcept {
        return WorkerId(static_cast<WorkerId::Value>((queue.value() + port.index()) % workers));
    }
    // The transmit queue for this worker's packets, and the worker that sends them there: itself wherever it can.
    struct Transmit {
        QueueId queue;
        WorkerId by;
    };
    Transmit transmit_of(PortId port, WorkerId worker, std::size_t workers) const noexcept {
        const std::size_t queue = place(port, worker, workers) % transmit_queues;
        const QueueId id(static_cast<std::uint16_t>(queue));
        return {id, shares_transmit ? worker : worker_of(port, id, workers)};
    }

  private:
    static std::size_t place(PortId port, WorkerId worker, std::size_t workers) noexcept {
        return (worker.index() + workers - port.index() % workers) % workers;
    }
};

// A queue pair a worker where the device has that many, and RSS on what it can hash of `wanted` types.
inline PortPlan plan_port(const DeviceAbilities& device, std::size_t workers, std::uint64_t wanted_rss_types) noexcept {
    constexpr std::size_t kShortestKey = 40;  // what a Toeplitz hash over two IPv6 addresses and ports needs
    PortPlan plan;
    plan.receive_queues = static_cast<std::uint16_t>(std::min<std::size_t>(device.receive_queues, workers));
    plan.transmit_queues = static_cast<std::uint16_t>(std::min<std::size_t>(device.transmit_queues, workers));
    plan.spreads = plan.receive_queues < workers;
    plan.shares_transmit = device.lock_free_transmit && plan.transmit_queues < workers;
    if (plan.receive_queues > 1) plan.rss_types = device.rss_types & wanted_rss_types;
    plan.rss_symmetric = plan.rss_types != 0 && device.rss_key_bytes >= kShortestKey;
    return plan;
}

}  // namespace sekisho::dataplane

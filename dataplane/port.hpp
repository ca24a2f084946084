// A port: any device that DPDK drives, by its devargs, with a receive and a transmit queue a worker where it has as
// many.
//
// Opened and closed by the control thread; receive() and transmit() are the workers'. What the device itself counts or
// drops stands beside our own accounting, never in it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/packet.hpp"
#include "dataplane/port_plan.hpp"
#include "dataplane/rss_map.hpp"
#include "dataplane/xdp_steering.hpp"
#include "net/address.hpp"
#include "net/expected.hpp"

namespace sekisho::dataplane {

struct PortSpec {
    std::string name;          // what attachments call it
    std::string devargs;       // "net_tap0,iface=sk-kita", "0000:03:00.0"
    std::uint16_t mtu = 1500;  // of an IP packet, in bytes
    std::uint16_t queues = 0;  // at most, of each direction; 0: as many as there are workers and the device has
    std::vector<KernelService> kernel_services = usual_kernel_services();  // of an AF_XDP port, see XdpSteering
};

struct PortInfo {  // for `show ports`
    std::string name;
    std::string devargs;
    std::string driver;
    MacAddress mac;
    std::uint16_t mtu = 0;
    PortPlan plan;
    bool link_up = false;         // net_tap says down once its device is in a namespace: it means nothing there
    std::uint32_t link_mbps = 0;  // 0: unknown
    std::uint64_t received = 0;
    std::uint64_t missed = 0;  // what the device dropped: no descriptor was free
    std::uint64_t receive_errors = 0;
    std::uint64_t no_buffer = 0;
    std::uint64_t transmit_errors = 0;
    std::optional<XdpSteering::Counters> xdp;  // of an AF_XDP port
};

class Port {
  public:
    // Probes the device and starts it as planned for so many workers, receiving into `pool`. The error says which step
    // failed.
    static Expected<std::unique_ptr<Port>> open(const PortSpec& spec, std::size_t workers, rte_mempool* pool);
    ~Port();  // stops and closes the device
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;

    const PortSpec& spec() const noexcept { return spec_; }
    const PortPlan& plan() const noexcept { return plan_; }
    PortInfo info() const;
    // Which of so many workers its RSS brings TCP and UDP over IPv4 to, where every worker has a queue and the device
    // tells its key and its table; else null. `self`: its own number.
    std::unique_ptr<const RssMap> rss_map(PortId self, std::size_t workers) const;
    // Control: what changes outside, about once a second.
    Expected<void> refresh() { return steering_ ? steering_->refresh() : Expected<void>(); }

    // Worker: up to `frames.size()` frames; how many came.
    std::size_t receive(QueueId queue, std::span<rte_mbuf*> frames) const noexcept;
    // Worker: hands frames over; how many the device took. The others are still the caller's.
    std::size_t transmit(QueueId queue, std::span<rte_mbuf*> frames) const noexcept;

  private:
    Port(PortSpec spec, std::uint16_t device) : spec_(std::move(spec)), device_(device) {}
    PortSpec spec_;
    PortPlan plan_;
    std::uint16_t device_;
    std::unique_ptr<XdpSteering> steering_;  // of an AF_XDP port
};

}  // namespace sekisho::dataplane

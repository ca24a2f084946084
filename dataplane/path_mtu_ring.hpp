// What workers tell control of the paths to tunnels' peers: a ring for each worker, bounded, without locks.
//
// A report is what an ICMP error said about a packet that the hub may have sealed. Which tunnel it is about, and
// whether to believe it, is control's to find out. A ring that is full takes no more.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/peer_word.hpp"
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

class PathMtuRing {
  public:
    static constexpr std::size_t kCapacity = 64;

    // The worker.
    bool put(const PathMtuReport& report) noexcept {
        const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == kCapacity) return false;
        slots_[tail % kCapacity] = report;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }
    // Control.
    bool take(PathMtuReport& report) noexcept {
        const std::uint32_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire)) return false;
        report = slots_[head % kCapacity];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }

  private:
    alignas(64) std::atomic<std::uint32_t> head_{0};  // control writes
    alignas(64) std::atomic<std::uint32_t> tail_{0};  // the worker writes
    std::array<PathMtuReport, kCapacity> slots_;
};

}  // namespace sekisho::dataplane

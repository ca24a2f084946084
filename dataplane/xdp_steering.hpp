// The kernel's share of an AF_XDP port: which frames stay with the kernel, and what a killed process left behind.
//
// The driver (net_af_xdp) loads the program of xdp/steer.bpf.c and ends it; here is what it cannot do: it gives it the
// program, clears away one that nobody lives for any more, and tells it the interface's own addresses and the services
// that the kernel keeps for them. Control thread only. Not a firewall: an address that is not the interface's is always
// the port's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/xdp/steer.h"
#include "net/expected.hpp"

namespace sekisho::dataplane {

// What the kernel keeps for its own addresses.
struct KernelService {
    std::uint8_t protocol = 0;  // of IP; ICMP stands for ICMPv6 too
    std::uint16_t port = 0;     // of TCP and UDP, the near one or the far one; 0: none
    friend bool operator==(const KernelService&, const KernelService&) = default;
};

// "icmp,tcp/22,udp/500", or "none".
Expected<std::vector<KernelService>> parse_kernel_services(const std::string& text);
// ICMP, SSH, BGP, IKE (RFC 7296) and BFD (RFC 5881, 5883).
std::vector<KernelService> usual_kernel_services();

class XdpSteering {
  public:
    // Of frames, since the program was loaded.
    struct Counters {
        std::uint64_t to_port = 0;
        std::uint64_t to_kernel = 0;
        std::uint64_t no_socket = 0;  // came to a queue that no worker polls, and died
    };

    // True for devargs of net_af_xdp that bring no program of their own.
    static bool wanted_by(const std::string& devargs);

    // Before the device is probed. Removes what a process that is no more left on the interface that `devargs` name. An
    // error when the program there is a stranger's or its process lives.
    static Expected<std::unique_ptr<XdpSteering>> prepare(const std::string& port, const std::string& devargs,
                                                          std::vector<KernelService> services);
    ~XdpSteering();
    XdpSteering(const XdpSteering&) = delete;
    XdpSteering& operator=(const XdpSteering&) = delete;

    // The devargs with the program in them. Good as long as this lives.
    const std::string& devargs() const noexcept { return devargs_; }

    // Once the device's queues are set up: finds the program there, says that it is this process's, and fills its maps.
    Expected<void> begin();
    // Brings the addresses up to date with the interface's; about once a second. Until the first time, nothing is the
    // kernel's.
    Expected<void> refresh();
    Counters counters() const;

  private:
    using Address = std::array<std::uint8_t, 16>;
    XdpSteering() = default;
    Error failed(const std::string& what, int code) const;

    std::string port_;
    std::string interface_;
    int index_ = 0;
    std::string devargs_;
    std::vector<KernelService> services_;
    int object_ = -1;  // descriptors
    int addresses_ = -1;
    int counters_ = -1;
    std::vector<Address> known_;
};

}  // namespace sekisho::dataplane

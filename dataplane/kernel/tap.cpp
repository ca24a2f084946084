// /dev/net/tun for the interface, rtnetlink for its place.
#include "dataplane/kernel/tap.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sekisho::dataplane {
namespace {

constexpr std::size_t kMessageBytes = 4096;  // more than a request of these attributes, or its answer, takes

Error failed(const std::string& what, int reason) {
    const ErrorCode code = reason == EPERM || reason == EACCES ? ErrorCode::permission
                           : reason == ENOENT                  ? ErrorCode::not_found
                                                               : ErrorCode::unavailable;
    return {code, fmt::format("{}: {}", what, std::strerror(reason))};
}

struct CloseSocket {
    void operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }
};

// Sends the request and waits for its answer: 0 or the kernel's errno.
int ask(const nlmsghdr& request) {
    const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) return errno;
    if (mnl_socket_sendto(socket.get(), &request, request.nlmsg_len) < 0) return errno;
    alignas(nlmsghdr) std::array<char, kMessageBytes> answer;
    const ssize_t length = mnl_socket_recvfrom(socket.get(), answer.data(), answer.size());
    if (length < 0) return errno;
    const unsigned port = mnl_socket_get_portid(socket.get());
    return mnl_cb_run(answer.data(), static_cast<std::size_t>(length), request.nlmsg_seq, port, nullptr, nullptr) < 0
               ? errno
               : 0;
}

// Into the namespace, with its name, MAC address and MTU: all or nothing.
int place(unsigned index, const TapSpec& spec, int network_namespace) {
    alignas(nlmsghdr) std::array<char, kMessageBytes> room{};
    nlmsghdr* const request = mnl_nlmsg_put_header(room.data());
    request->nlmsg_type = RTM_NEWLINK;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    request->nlmsg_seq = 1;
    auto* const link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = static_cast<int>(index);
    mnl_attr_put_u32(request, IFLA_NET_NS_FD, static_cast<std::uint32_t>(network_namespace));
    mnl_attr_put_strz(request, IFLA_IFNAME, spec.interface.c_str());
    mnl_attr_put(request, IFLA_ADDRESS, spec.mac.bytes().size(), spec.mac.bytes().data());
    mnl_attr_put_u32(request, IFLA_MTU, spec.mtu);
    return ask(*request);
}

}  // namespace

Expected<Tap> Tap::make(const TapSpec& spec, const std::string& namespaces) {
    // 1. The namespace, before anything is made.
    const std::string path = namespaces + "/" + spec.network_namespace;
    const FileDescriptor space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!space && errno == ENOENT)
        return Error{ErrorCode::not_found, fmt::format("there is no network namespace {}", spec.network_namespace)};
    if (!space || ::fstat(space.number(), &status) != 0)
        return failed(fmt::format("network namespace {}", spec.network_namespace), errno);

    // 2. The interface, for the moment here.
    FileDescriptor device(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!device) return failed("/dev/net/tun", errno);
    ifreq wanted{};
    wanted.ifr_flags = IFF_TAP | IFF_NO_PI;
    std::strncpy(wanted.ifr_name, "sekisho%d", IFNAMSIZ - 1);
    if (::ioctl(device.number(), TUNSETIFF, &wanted) != 0) return failed("a new TAP", errno);
    const unsigned index = ::if_nametoindex(wanted.ifr_name);
    if (index == 0) return failed("a new TAP", errno);

    // 3. To its place; if that fails it goes with its descriptor.
    if (const int reason = place(index, spec, space.number()); reason != 0) {
        if (reason == EEXIST)
            return Error{ErrorCode::exists, fmt::format("network namespace {} has an interface {} already",
                                                        spec.network_namespace, spec.interface)};
        return failed(fmt::format("a TAP to network namespace {}", spec.network_namespace), reason);
    }
    return Tap(std::move(device), {status.st_dev, status.st_ino});
}

bool Tap::is_in(const std::string& network_namespace, const std::string& namespaces) const noexcept {
    struct stat status {};
    const std::string path = namespaces + "/" + network_namespace;
    return ::stat(path.c_str(), &status) == 0 && Inode{status.st_dev, status.st_ino} == namespace_;
}

Tap::Outcome Tap::write(std::span<const std::uint8_t> frame) noexcept {
    if (::write(device_.number(), frame.data(), frame.size()) >= 0) return Outcome::done;
    if (errno == EIO) return Outcome::down;
    return errno == EBADFD ? Outcome::gone : Outcome::nothing;
}

std::pair<Tap::Outcome, std::size_t> Tap::read(std::span<std::uint8_t> room) noexcept {
    const ssize_t length = ::read(device_.number(), room.data(), room.size());
    if (length > 0) return {Outcome::done, static_cast<std::size_t>(length)};
    return {length < 0 && errno == EBADFD ? Outcome::gone : Outcome::nothing, 0};
}

}  // namespace sekisho::dataplane

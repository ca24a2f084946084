#include "ipfix/link.hpp"

#include <cerrno>
#include <cstring>
#include <linux/sockios.h>
#include <memory>
#include <netdb.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace sekisho::ipfix {

namespace {

Error lost(const char* tried, int reason) {
    return {ErrorCode::unavailable, std::string(tried) + ": " + std::strerror(reason)};
}

struct FreeAddresses {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

// Connected within the time, or the reason why not.
Expected<FileDescriptor> connected(const addrinfo& address, std::chrono::milliseconds patience) {
    FileDescriptor socket(
        ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol));
    if (!socket) return lost("a socket", errno);
    if (::connect(socket.number(), address.ai_addr, address.ai_addrlen) == 0) return socket;
    if (errno != EINPROGRESS) return lost("connecting", errno);
    pollfd waits{socket.number(), POLLOUT, 0};
    if (::poll(&waits, 1, static_cast<int>(patience.count())) <= 0) return lost("connecting", ETIMEDOUT);
    int reason = 0;
    socklen_t size = sizeof reason;
    ::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &reason, &size);
    if (reason != 0) return lost("connecting", reason);
    return socket;
}

}  // namespace

Expected<Collector> Collector::parse(const std::string& text) {
    const Error wrong{ErrorCode::invalid, "\"" + text + "\" is not tcp:HOST:PORT or udp:HOST:PORT"};
    Collector collector;
    if (text.starts_with("udp:"))
        collector.transport = Transport::udp;
    else if (!text.starts_with("tcp:"))
        return wrong;
    std::string rest = text.substr(4);
    const std::size_t bracket = rest.starts_with("[") ? rest.find(']') : 0;
    if (bracket == std::string::npos) return wrong;
    if (const std::size_t colon = rest.find(':', bracket); colon != std::string::npos) {
        collector.port = rest.substr(colon + 1);
        rest.resize(colon);
    }
    collector.host = bracket == 0 ? rest : rest.substr(1, bracket - 1);
    const bool is_number = !collector.port.empty() && collector.port.size() <= 5 &&
                           collector.port.find_first_not_of("0123456789") == std::string::npos;
    if (collector.host.empty() || !is_number) return wrong;
    return collector;
}

std::string Collector::text() const {
    const bool ipv6 = host.find(':') != std::string::npos;
    return std::string(transport == Transport::tcp ? "tcp:" : "udp:") + (ipv6 ? "[" + host + "]" : host) + ":" + port;
}

Expected<Link> Link::connect(const Collector& collector, std::chrono::milliseconds patience) {
    addrinfo wanted{};
    wanted.ai_socktype = collector.transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM;
    addrinfo* found = nullptr;
    if (const int failed = ::getaddrinfo(collector.host.c_str(), collector.port.c_str(), &wanted, &found); failed != 0)
        return Error{ErrorCode::unavailable, "looking up " + collector.host + ": " + ::gai_strerror(failed)};
    const std::unique_ptr<addrinfo, FreeAddresses> list(found);
    Error last{ErrorCode::unavailable, "no address"};
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        auto socket = connected(*at, patience);
        if (socket) return Link(std::move(*socket), collector.transport);
        last = socket.error();
    }
    return last;
}

Expected<void> Link::push() {
    while (pushed_ < waiting_.size()) {
        const ssize_t count =
            ::send(socket_.number(), waiting_.data() + pushed_, waiting_.size() - pushed_, MSG_NOSIGNAL);
        if (count >= 0)
            pushed_ += static_cast<std::size_t>(count);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return {};
        else if (errno != EINTR)
            return lost("sending", errno);
    }
    waiting_.clear();
    pushed_ = 0;
    return {};
}

Expected<void> Link::send(std::vector<std::uint8_t> bytes) {
    waiting_ = std::move(bytes);
    pushed_ = 0;
    return push();
}

Expected<void> Link::tend() {
    // A collector says nothing: what can be read is the end, or an error.
    std::uint8_t byte;
    const ssize_t count = ::recv(socket_.number(), &byte, 1, MSG_DONTWAIT);
    if (count == 0 && transport_ == Transport::tcp) return lost("the collector", ECONNRESET);
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return lost("the collector", errno);
    return push();
}

bool Link::has_arrived() const noexcept {
    if (!waiting_.empty()) return false;
    int unacknowledged = 0;
    return transport_ == Transport::udp ||
           (::ioctl(socket_.number(), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0);
}

}  // namespace sekisho::ipfix

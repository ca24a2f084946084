#include "control/socket_server.hpp"

#include <cerrno>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <vector>

#include <fmt/format.h>

#include "control/request_rate.hpp"
#include "control/unix_socket.hpp"

namespace sekisho::control {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kReadSize = 64 * 1024;  // a round's piece of one client
constexpr std::chrono::milliseconds kThrottled{10};
constexpr std::size_t kMostGroups = 1024;  // of one peer that are asked for at first

std::vector<gid_t> groups_of(int descriptor) {
#ifdef SO_PEERGROUPS
    std::vector<gid_t> groups(kMostGroups);
    for (;;) {
        auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
            groups.resize(size / sizeof(gid_t));
            return groups;
        }
        if (errno != ERANGE) return {};
        groups.resize(size / sizeof(gid_t));
    }
#else
    return {};
#endif
}

}  // namespace

struct SocketServer::Client {
    Client(const ServerLimits& limits, SteadyTime now)
        : rate(limits.lines_a_second, limits.lines_at_once, now), took_at(now) {}

    ClientId id = 0;
    Peer peer;
    FileDescriptor descriptor;
    LineCutter input;
    RequestRate rate;
    std::optional<LineCutter::Line> line;  // the next, while it waits for its turn
    bool queued = false;                   // in turns_ or throttled_
    bool refused = false;                  // it may send no more
    bool ended = false;                    // it will send no more
    bool vanished = false;                 // it will take no more either: what it sent is done, and nobody is told
    std::string output;
    std::size_t sent = 0;      // of output
    std::size_t expected = 0;  // answers to come
    std::size_t expected_bytes = 0;
    bool broken = false;
    std::optional<SteadyTime> in_line_since;  // when the line that is not finished began
    SteadyTime took_at;                       // when it last took some output, or had none to take

    std::size_t untaken() const noexcept { return output.size() - sent; }
};

SocketServer::SocketServer(EventLoop& loop, std::string path, ServerHandlers handlers, ServerLimits limits)
    : loop_(loop), path_(std::move(path)), handlers_(std::move(handlers)), limits_(limits) {}

Expected<std::unique_ptr<SocketServer>> SocketServer::listen(EventLoop& loop, const std::string& path,
                                                             ServerHandlers handlers, ServerLimits limits,
                                                             std::optional<gid_t> group) {
    std::unique_ptr<SocketServer> server(new SocketServer(loop, path, std::move(handlers), limits));
    SocketServer* const self = server.get();

    auto listening = listen_at(path, group);
    if (!listening) return listening.error();
    server->listening_ = std::move(*listening);
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0) {
        server->device_ = status.st_dev;
        server->inode_ = status.st_ino;
    }
    if (auto watched = loop.watch(self->listening_.number(), EPOLLIN, [self](std::uint32_t) { self->accept_all(); });
        !watched)
        return watched.error();
    auto timer = Timer::make(loop, Timer::Clock::steady, [self] { self->look_for_slow_clients(); });
    if (!timer) return timer.error();
    server->timer_ = std::move(*timer);
    server->timer_->set(limits.look);
    auto throttle = Timer::make(loop, Timer::Clock::steady, [self] { self->wake_throttled(); });
    if (!throttle) return throttle.error();
    server->throttle_ = std::move(*throttle);
    return server;
}

SocketServer::~SocketServer() {
    for (const auto& [id, client] : clients_) loop_.forget(client->descriptor.number());
    loop_.forget(listening_.number());
    struct stat status {};
    if (inode_ != 0 && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
        ::unlink(path_.c_str());
}

void SocketServer::accept_all() {
    for (;;) {
        FileDescriptor accepted(::accept4(listening_.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (accepted) {
            add(std::move(accepted));
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        // Out of descriptors or memory: those who wait stay in the backlog until the next look.
        if (errno != EAGAIN) loop_.change(listening_.number(), 0);
        return;
    }
}

void SocketServer::add(FileDescriptor descriptor) {
    auto owned = std::make_unique<Client>(limits_, std::chrono::steady_clock::now());
    Client& client = *owned;
    client.id = next_id_++;
    client.descriptor = std::move(descriptor);
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(client.descriptor.number(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return;
    client.peer = {credentials.pid, credentials.uid, credentials.gid, groups_of(client.descriptor.number())};
    const auto watched = loop_.watch(client.descriptor.number(), EPOLLIN,
                                     [this, &client](std::uint32_t events) { serve(client, events); });
    if (!watched) return;  // it sees the connection close
    const bool too_many = clients_.size() >= limits_.clients;
    clients_[client.id] = std::move(owned);
    if (too_many) {
        client.refused = true;
        handlers_.refused(client.id, fmt::format("{} clients are connected, and no more may be", limits_.clients));
        write_some(client);
        settle(client);
    }
}

void SocketServer::serve(Client& client, std::uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        take_leave(client);
    } else {
        if ((events & EPOLLIN) != 0) read_some(client);
        if ((events & EPOLLOUT) != 0 && !client.broken) write_some(client);
        if (client.broken) take_leave(client);  // it went between the event and now
    }
    look_for_line(client);
    settle(client);
}

// Both directions are down. What it had sent whole, at most what the kernel held, is done all the same.
void SocketServer::take_leave(Client& client) {
    for (int round = 0; round < 2; ++round) {  // a reset connection says so once, before what it left
        while (read_some(client)) {
        }
        client.broken = false;
    }
    client.ended = client.vanished = true;
    client.output = {};
    client.sent = 0;
    loop_.forget(client.descriptor.number());
}

bool SocketServer::read_some(Client& client) {
    char bytes[kReadSize];
    const ssize_t got = ::recv(client.descriptor.number(), bytes, sizeof bytes, 0);
    if (got > 0) {
        if (!client.refused) client.input.feed({bytes, static_cast<std::size_t>(got)});
        wipe_text(bytes, static_cast<std::size_t>(got));
    } else if (got == 0) {
        client.ended = true;  // lines that came whole before the end still count; half a line does not
    } else if (errno != EAGAIN && errno != EINTR) {
        client.broken = true;
    }
    return got > 0;
}

bool SocketServer::is_paused(const Client& client) const noexcept {
    return client.untaken() > limits_.pause_reading_at || client.expected >= limits_.expected ||
           client.expected_bytes >= limits_.expected_bytes;
}

void SocketServer::look_for_line(Client& client) {
    if (client.refused || is_paused(client)) {
        client.in_line_since.reset();  // it is we who do not read on
        return;
    }
    if (!client.line) client.line = client.input.next();
    if (client.line) {
        client.in_line_since.reset();
        queue(client);
    } else if (!client.input.is_inside_line()) {
        client.in_line_since.reset();
    } else if (!client.in_line_since) {
        client.in_line_since = std::chrono::steady_clock::now();
    }
}

void SocketServer::queue(Client& client) {
    if (client.queued) return;
    client.queued = true;
    turns_.push_back(client.id);
    if (std::exchange(turns_posted_, true)) return;
    loop_.post([this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired()) take_turns();
    });
}

// Whoever still has lines is queued again, and served in the loop's next round, after everybody else.
void SocketServer::take_turns() {
    turns_posted_ = false;
    for (std::size_t left = turns_.size(); left > 0; --left) {
        const ClientId id = turns_.front();
        turns_.pop_front();
        if (const auto found = clients_.find(id); found != clients_.end()) take_turn(*found->second);
    }
}

void SocketServer::take_turn(Client& client) {
    client.queued = false;
    if (client.line && !client.refused && !is_paused(client)) {
        if (!client.rate.take(std::chrono::steady_clock::now())) {
            client.queued = true;
            throttled_.push_back(client.id);
            if (throttled_.size() == 1) throttle_->set(kThrottled);
            return;
        }
        LineCutter::Line line = *std::exchange(client.line, std::nullopt);
        line_bytes_ = line.text.size();
        if (line.oversize)
            handlers_.refused(client.id, fmt::format("the line is longer than {} bytes", kLongestMessage));
        else
            handlers_.line(client.id, client.peer, line.text);
        line_bytes_ = 0;
    }
    look_for_line(client);
    settle(client);
}

void SocketServer::wake_throttled() {
    for (const ClientId id : std::exchange(throttled_, {}))
        if (const auto found = clients_.find(id); found != clients_.end()) take_turn(*found->second);
}

void SocketServer::send(ClientId id, std::string line) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) return;
    Client& client = *found->second;
    if (client.vanished) return;
    if (client.untaken() == 0) {
        client.took_at = std::chrono::steady_clock::now();
        client.output = std::move(line);
        client.sent = 0;
    } else {
        client.output += line;
    }
    // Sent in a later round, where the client may also be dropped; nobody up the stack holds on to it then.
    loop_.change(client.descriptor.number(), EPOLLIN | EPOLLOUT);
}

void SocketServer::expect_answer(ClientId id) {
    if (const auto found = clients_.find(id); found != clients_.end()) {
        ++found->second->expected;
        found->second->expected_bytes += line_bytes_;
    }
}

void SocketServer::answered(ClientId id) {
    const auto found = clients_.find(id);
    if (found == clients_.end() || found->second->expected == 0) return;
    Client& client = *found->second;
    client.expected_bytes -= client.expected_bytes / client.expected;  // which of them it was does not matter
    --client.expected;
    queue(client);  // settled in a later round
}

std::size_t SocketServer::untaken(ClientId id) const noexcept {
    const auto found = clients_.find(id);
    return found == clients_.end() ? 0 : found->second->untaken();
}

void SocketServer::write_some(Client& client) {
    while (client.untaken() > 0) {
        const ssize_t written =
            ::send(client.descriptor.number(), client.output.data() + client.sent, client.untaken(), MSG_NOSIGNAL);
        if (written < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) client.broken = true;
            break;
        }
        client.sent += static_cast<std::size_t>(written);
        client.took_at = std::chrono::steady_clock::now();
    }
    if (client.untaken() == 0) {
        client.output = {};
        client.sent = 0;
    } else if (client.sent > limits_.pause_reading_at) {
        client.output.erase(0, client.sent);
        client.sent = 0;
    }
}

void SocketServer::settle(Client& client) {
    if (client.vanished) {
        const bool waits = is_paused(client) && client.input.is_inside_line();
        if (!client.line && !waits) drop(client);
        return;
    }
    const bool finished = (client.ended || client.refused) && client.untaken() == 0 && client.expected == 0 &&
                          (!client.line || client.refused);
    if (client.broken || finished || client.untaken() > limits_.drop_at) {
        drop(client);
        return;
    }
    std::uint32_t events = 0;
    if (!client.ended && !client.line && !is_paused(client)) events |= EPOLLIN;
    if (client.untaken() > 0) events |= EPOLLOUT;
    loop_.change(client.descriptor.number(), events);
}

void SocketServer::drop(Client& client) {
    loop_.forget(client.descriptor.number());
    const auto node = clients_.extract(client.id);  // lives until the end of this function
    handlers_.gone(client.id);
}

void SocketServer::look_for_slow_clients() {
    const auto now = std::chrono::steady_clock::now();
    std::vector<Client*> stuck;
    std::vector<Client*> unfinished;
    for (const auto& [id, client] : clients_) {
        if (client->untaken() > 0 && now - client->took_at > limits_.untaken)
            stuck.push_back(client.get());
        else if (client->in_line_since && now - *client->in_line_since > limits_.unfinished_line)
            unfinished.push_back(client.get());
    }
    for (Client* client : stuck) drop(*client);
    for (Client* client : unfinished) {
        client->refused = true;
        client->in_line_since.reset();
        handlers_.refused(client->id,
                          fmt::format("the line was not finished within {} s: the connection is closed",
                                      std::chrono::floor<std::chrono::seconds>(limits_.unfinished_line).count()));
        write_some(*client);
        settle(*client);
    }
    loop_.change(listening_.number(), EPOLLIN);
    timer_->set(limits_.look);
}

}  // namespace sekisho::control

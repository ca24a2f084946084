#include "control/socket_server.hpp"

#include <cerrno>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <vector>

#include <fmt/format.h>

#include "control/unix_socket.hpp"

namespace sekisho::control {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kReadSize = 64 * 1024;  // a round's piece of one client

}  // namespace

struct SocketServer::Client {
    ClientId id = 0;
    Peer peer;
    FileDescriptor descriptor;
    LineCutter input;
    bool refused = false;  // it may send no more
    bool ended = false;    // it will send no more
    std::string output;
    std::size_t sent = 0;      // of output
    std::size_t expected = 0;  // answers to come
    bool broken = false;
    std::optional<SteadyTime> in_line_since;  // when the line that is not finished began
    SteadyTime took_at;                       // when it last took some output, or had none to take

    std::size_t untaken() const noexcept { return output.size() - sent; }
};

SocketServer::SocketServer(EventLoop& loop, std::string path, ServerHandlers handlers, ServerLimits limits)
    : loop_(loop), path_(std::move(path)), handlers_(std::move(handlers)), limits_(limits) {}

Expected<std::unique_ptr<SocketServer>> SocketServer::listen(EventLoop& loop, const std::string& path,
                                                             ServerHandlers handlers, ServerLimits limits) {
    std::unique_ptr<SocketServer> server(new SocketServer(loop, path, std::move(handlers), limits));
    SocketServer* const self = server.get();

    auto listening = listen_at(path);
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
    auto owned = std::make_unique<Client>();
    Client& client = *owned;
    client.id = next_id_++;
    client.descriptor = std::move(descriptor);
    client.took_at = std::chrono::steady_clock::now();
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(client.descriptor.number(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return;
    client.peer = {credentials.pid, credentials.uid, credentials.gid};
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
    if ((events & EPOLLERR) != 0) client.broken = true;
    if ((events & EPOLLIN) != 0 && !client.broken) read_some(client);
    // Both directions are down and nothing is left to read: it has vanished.
    if ((events & EPOLLHUP) != 0 && ((events & EPOLLIN) == 0 || client.ended)) client.broken = true;
    if ((events & EPOLLOUT) != 0 && !client.broken) write_some(client);
    if (!client.broken) hand_over_lines(client);
    settle(client);
}

void SocketServer::read_some(Client& client) {
    char bytes[kReadSize];
    const ssize_t got = ::recv(client.descriptor.number(), bytes, sizeof bytes, 0);
    if (got > 0) {
        if (!client.refused) client.input.feed({bytes, static_cast<std::size_t>(got)});
    } else if (got == 0) {
        client.ended = true;  // lines that came whole before the end still count; half a line does not
    } else if (errno != EAGAIN && errno != EINTR) {
        client.broken = true;
    }
}

bool SocketServer::is_paused(const Client& client) const noexcept {
    return client.untaken() > limits_.pause_reading_at || client.expected >= limits_.expected;
}

void SocketServer::hand_over_lines(Client& client) {
    bool line_ended = false;
    while (!client.refused && !is_paused(client)) {
        auto line = client.input.next();
        if (!line) {
            if (!client.input.is_inside_line())
                client.in_line_since.reset();
            else if (line_ended || !client.in_line_since)
                client.in_line_since = std::chrono::steady_clock::now();
            return;
        }
        line_ended = true;
        if (line->oversize)
            handlers_.refused(client.id, fmt::format("the line is longer than {} bytes", kLongestMessage));
        else
            handlers_.line(client.id, client.peer, std::move(line->text));
    }
    client.in_line_since.reset();  // it is we who do not read on
}

void SocketServer::send(ClientId id, std::string line) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) return;
    Client& client = *found->second;
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
    if (const auto found = clients_.find(id); found != clients_.end()) ++found->second->expected;
}

void SocketServer::answered(ClientId id) {
    const auto found = clients_.find(id);
    if (found == clients_.end() || found->second->expected == 0) return;
    --found->second->expected;
    loop_.change(found->second->descriptor.number(), EPOLLIN | EPOLLOUT);  // settle it in a later round
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
    const bool finished = (client.ended || client.refused) && client.untaken() == 0 && client.expected == 0;
    if (client.broken || finished || client.untaken() > limits_.drop_at) {
        drop(client);
        return;
    }
    std::uint32_t events = 0;
    if (!client.ended && !is_paused(client)) events |= EPOLLIN;
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

// The control socket's clients: a Unix stream socket that takes lines from many and gives each its answers.
//
// It does not read what a line says. No client can hold up another or the loop: nothing blocks, a round reads a bounded
// piece, clients with many lines take turns, one line each, at so many a second; a client that lets its answers pile up
// is not read from, and one that does not take them in time, or never ends its line, is dropped. Who may connect is the
// socket's mode, 0660, and group; who did is in Peer. Loop's thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "control/event_loop.hpp"
#include "control/line_cutter.hpp"
#include "control/peer.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

struct ServerLimits {
    std::size_t clients = 256;
    std::size_t pause_reading_at = std::size_t{1} << 20;  // bytes of answers not taken yet
    std::size_t drop_at = std::size_t{8} << 20;           // likewise
    std::size_t expected = 16;                            // answers to come, before no more is read
    std::size_t expected_bytes = std::size_t{2} << 20;    // likewise: of the lines that they will answer
    double lines_a_second = 2'000;                        // of one client; who sends more waits
    double lines_at_once = 4'000;                         // likewise, after a rest
    std::chrono::milliseconds untaken{10'000};            // longest time without taking any of them
    std::chrono::milliseconds unfinished_line{30'000};    // longest time inside one line
    std::chrono::milliseconds look{1'000};                // how often the two are looked at
};

struct ServerHandlers {
    std::function<void(ClientId, const Peer&, WipedText& line)> line;  // the line is its own to change
    // What the client sent was no line, or it may send none: too long, not finished in time, too many clients. The
    // words say which; send() still reaches it.
    std::function<void(ClientId, const std::string& words)> refused;
    std::function<void(ClientId)> gone;  // the last call for this client
};

class SocketServer {
  public:
    // Listens at `path`. A socket file there that nobody answers on is removed; one that answers, or a file that is no
    // socket, is an error. The socket is `group`'s, if one is given; else the daemon's.
    static Expected<std::unique_ptr<SocketServer>> listen(EventLoop& loop, const std::string& path,
                                                          ServerHandlers handlers, ServerLimits limits = {},
                                                          std::optional<gid_t> group = {});
    SocketServer(const SocketServer&) = delete;
    SocketServer& operator=(const SocketServer&) = delete;
    ~SocketServer();  // drops all clients, without a call of `gone`, and removes the socket file

    // Queues a line (its newline included); nothing happens when the client has gone.
    void send(ClientId client, std::string line);
    // Between the two, the client has an answer to come: one that has shut down its sending side is kept for it.
    void expect_answer(ClientId client);
    void answered(ClientId client);

    std::size_t clients() const noexcept { return clients_.size(); }
    std::size_t untaken(
        ClientId client) const noexcept;  // bytes of its answers that it has not taken; 0 when it has gone

  private:
    struct Client;

    SocketServer(EventLoop& loop, std::string path, ServerHandlers handlers, ServerLimits limits);
    void accept_all();
    void add(FileDescriptor descriptor);
    void serve(Client& client, std::uint32_t events);
    bool read_some(Client& client);  // false: there was nothing
    void take_leave(Client& client);
    void look_for_line(Client& client);  // and queues the client for its turn if it has one
    void queue(Client& client);
    void take_turns();  // one line of each client that has some
    void take_turn(Client& client);
    void wake_throttled();
    bool is_paused(const Client& client) const noexcept;
    void write_some(Client& client);
    void settle(Client& client);  // drops the client if it is finished, else waits for what it needs next
    void drop(Client& client);
    void look_for_slow_clients();

    EventLoop& loop_;
    std::string path_;
    ServerHandlers handlers_;
    ServerLimits limits_;
    FileDescriptor listening_;
    dev_t device_ = 0;  // of our socket file, so that another daemon's is never removed
    ino_t inode_ = 0;
    std::unique_ptr<Timer> timer_;
    std::map<ClientId, std::unique_ptr<Client>> clients_;
    std::deque<ClientId> turns_;      // clients with a line, the next first
    std::deque<ClientId> throttled_;  // clients with a line, and none left to take
    std::unique_ptr<Timer> throttle_;
    bool turns_posted_ = false;
    std::size_t line_bytes_ = 0;                                  // of the line that is being handed over
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what is posted
    ClientId next_id_ = 1;
};

}  // namespace sekisho::control

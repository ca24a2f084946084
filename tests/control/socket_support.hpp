// What the tests of the control socket share: a directory of their own, a loop on a thread, a client that can
// misbehave.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>

#include "control/event_loop.hpp"
#include "control/unix_socket.hpp"

namespace sekisho::control::test {

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "sekisho-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = pattern;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

// Runs a loop on a thread of its own from go() until it is destroyed. What lives on the loop is destroyed after it.
class LoopThread {
  public:
    explicit LoopThread(EventLoop& loop) : loop_(loop), thread_([&loop] { loop.run(); }) {}
    LoopThread(const LoopThread&) = delete;
    LoopThread& operator=(const LoopThread&) = delete;
    ~LoopThread() {
        loop_.stop();
        thread_.join();
    }

  private:
    EventLoop& loop_;
    std::thread thread_;
};

// A client that writes any bytes and reads lines, with a time limit for each.
class RawClient {
  public:
    explicit RawClient(const std::string& path) {
        auto socket = connect_to(path);
        if (!socket) throw std::runtime_error(socket.error().words);
        socket_ = std::move(*socket);
    }
    void write(const std::string& bytes) {
        std::size_t at = 0;
        while (at < bytes.size()) {
            const ssize_t step = ::send(socket_.number(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
            if (step <= 0) return;  // the server has closed: what read_line() says then is what matters
            at += static_cast<std::size_t>(step);
        }
    }
    // The next line without its newline; nullopt at the end of the stream or after `longest`.
    std::optional<std::string> read_line(std::chrono::milliseconds longest = std::chrono::seconds(20)) {
        const auto until = std::chrono::steady_clock::now() + longest;
        for (;;) {
            if (const auto newline = buffer_.find('\n'); newline != std::string::npos) {
                std::string line = buffer_.substr(0, newline);
                buffer_.erase(0, newline + 1);
                return line;
            }
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            pollfd waiting{socket_.number(), POLLIN, 0};
            if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return std::nullopt;
            char bytes[65536];
            const ssize_t got = ::recv(socket_.number(), bytes, sizeof bytes, 0);
            if (got <= 0) {
                closed_ = true;
                return std::nullopt;
            }
            buffer_.append(bytes, static_cast<std::size_t>(got));
        }
    }
    bool closed() const noexcept { return closed_; }  // read_line() met the end of the stream
    void end_of_input() { ::shutdown(socket_.number(), SHUT_WR); }
    void vanish() { socket_.close(); }
    int number() const noexcept { return socket_.number(); }

  private:
    FileDescriptor socket_;
    std::string buffer_;
    bool closed_ = false;
};

template <class Condition>
bool comes_true(Condition condition, std::chrono::milliseconds longest = std::chrono::seconds(20)) {
    const auto until = std::chrono::steady_clock::now() + longest;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

}  // namespace sekisho::control::test

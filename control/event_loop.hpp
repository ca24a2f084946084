// The control thread's loop: descriptors, timers, and work that other threads hand over.
//
// One thread runs it; every handler runs there and must return soon: nothing in it waits for a client, a disk or the
// compiler. post() and stop() alone are safe from other threads. Handlers may watch and forget anything, themselves
// included.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <sys/epoll.h>
#include <unordered_map>
#include <vector>

#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

class EventLoop {
  public:
    using Handler = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR

    static Expected<std::unique_ptr<EventLoop>> make();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // Calls `handler` whenever `descriptor`, which stays its owner's, has one of `events`, level-triggered.
    Expected<void> watch(int descriptor, std::uint32_t events, Handler handler);
    void change(int descriptor, std::uint32_t events);
    void forget(int descriptor);  // before the descriptor is closed

    // Runs `work` on the loop's thread, in the order given. Safe from any thread.
    void post(std::function<void()> work);

    void run();   // until stop()
    void stop();  // safe from any thread
    // One round: waits `longest` at most, then calls what is due. For tests.
    void run_once(std::chrono::milliseconds longest);

  private:
    struct Watch {
        std::uint64_t token;
        std::shared_ptr<Handler> handler;  // shared, so that a handler may forget itself while it runs
    };
    EventLoop() = default;
    void run_posted();

    FileDescriptor epoll_;
    FileDescriptor wakeup_;
    std::unordered_map<int, Watch> watches_;                // by descriptor
    std::unordered_map<std::uint64_t, int> descriptor_of_;  // by token: an event for a token that is gone is stale
    std::uint64_t next_token_ = 1;
    std::mutex mutex_;  // guards what follows
    std::vector<std::function<void()>> posted_;
    bool stopping_ = false;
};

// A timer on a loop: calls back once for each time that it is set. Lives on the loop's thread and not longer than it.
class Timer {
  public:
    // steady: set() counts time that passes. wall: set_at() names a time of day, and a step of the clock calls back
    // too.
    enum class Clock { steady, wall };

    static Expected<std::unique_ptr<Timer>> make(EventLoop& loop, Clock clock, std::function<void()> call);
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer();

    void set(std::chrono::milliseconds after);
    void set_at(std::chrono::system_clock::time_point time);  // a time that has passed: at once
    void clear();

  private:
    Timer(EventLoop& loop, FileDescriptor timer, std::function<void()> call)
        : loop_(loop), timer_(std::move(timer)), call_(std::move(call)) {}

    EventLoop& loop_;
    FileDescriptor timer_;
    std::function<void()> call_;
};

}  // namespace sekisho::control

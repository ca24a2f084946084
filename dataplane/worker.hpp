// A worker: one thread that polls the ports, walks each burst along the path, and transmits.
//
// It reads one snapshot of the tables a walk and reports a quiescent point after each round, by which control knows
// when an old snapshot may be freed. With nothing to do it backs off, if it may; asleep it is offline for the RCU, so
// control never waits for it.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include <rte_rcu_qsbr.h>

#include "dataplane/port.hpp"
#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

enum class Idle : std::uint8_t {
    poll,   // never sleeps: production
    sleep,  // up to 200 microseconds at a time, after a while without a packet
};

class Worker {
  public:
    // `ports`, `tables` and `readers` outlive the worker. `thread` is its number among the readers.
    Worker(std::span<const std::unique_ptr<Port>> ports, const std::atomic<const Tables*>& tables,
           rte_rcu_qsbr* readers, unsigned thread, rte_mempool* pool, Idle idle);

    void run() noexcept;                                                    // the worker's thread: until stop()
    void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }  // any thread

    // Control: a consistent copy of the counters; see CounterMailbox.
    CounterMailbox& mailbox() noexcept { return mailbox_; }
    const Neighbours& neighbours() const noexcept { return state_.neighbours; }
    // After run() has returned.
    const Counters& final_counters() const noexcept { return state_.counters; }

  private:
    bool poll(PortId port, const Tables& tables) noexcept;  // true if there was work
    void transmit(Walk& walk) noexcept;
    void tend(const Tables& tables, std::uint64_t now) noexcept;  // timers, ten times a second
    void back_off(unsigned& idle_rounds) noexcept;
    void give_up_held() noexcept;

    std::span<const std::unique_ptr<Port>> ports_;
    const std::atomic<const Tables*>& tables_;
    rte_rcu_qsbr* readers_;
    unsigned thread_;
    Idle idle_;
    QueueId queue_{0};
    std::atomic<bool> stop_{false};
    std::uint64_t next_tend_ = 0;
    WorkerState state_;
    CounterMailbox mailbox_;
};

}  // namespace sekisho::dataplane

// A worker: one thread that polls its queues of the ports, walks each burst along the path, and transmits.
//
// It reads one snapshot of the tables a walk and reports a quiescent point after each round, by which control knows
// when an old snapshot may be freed. With nothing to do it backs off, if it may; asleep it is offline for the RCU, so
// control never waits for it. Where a port has fewer queues than there are workers, the one that polls spreads the
// flows, and the one that has the transmit queue sends for the others: by the team's rings.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <rte_rcu_qsbr.h>

#include "dataplane/port.hpp"
#include "dataplane/session_desk.hpp"
#include "dataplane/stall_watch.hpp"
#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

enum class Idle : std::uint8_t {
    poll,   // never sleeps: production
    sleep,  // up to 200 microseconds at a time, after a while without a packet
};

class Worker {
  public:
    // `ports`, `tables`, `readers`, `team` and `pool` outlive the worker. `self` is its number in the team and among
    // the readers.
    Worker(std::span<const std::unique_ptr<Port>> ports, const std::atomic<const Tables*>& tables,
           rte_rcu_qsbr* readers, Team& team, WorkerId self, rte_mempool* pool, Idle idle);

    // Before run(): the keeper tells attachments' neighbours of the hub's own addresses.
    void let_announce() noexcept { announces_ = true; }
    // Before run(): how many sessions it may have. Throws std::bad_alloc.
    void keep_sessions(SessionCapacity capacity) {
        state_.tracker.make_room(capacity, state_.team.size(), state_.self.index());
    }
    void run() noexcept;                                                    // the worker's thread: until stop()
    void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }  // any thread
    // Control, when no worker of the team runs any more: drops, with its reason, what is held here or handed to here.
    void give_up() noexcept;

    // Control: a consistent copy of the counters; see CounterMailbox.
    const CounterMailbox& mailbox() const noexcept { return mailbox_; }
    const Pulse& pulse() const noexcept { return pulse_; }
    // Control: where orders about its sessions are laid.
    SessionDesk& desk() noexcept { return desk_; }
    // After give_up().
    const Counters& final_counters() const noexcept { return state_.counters; }

  private:
    // How this worker uses a port.
    struct Use {
        std::optional<QueueId> receive;  // the queue that it polls
        bool spreads = false;
        QueueId transmit;
        std::optional<WorkerId> sender;  // the worker that sends for this one; none: it sends itself
    };

    bool poll(PortId port, const Tables& tables) noexcept;  // true if there was work
    bool take_handed(const Tables& tables) noexcept;        // likewise
    bool take_from_kernel(const Tables& tables) noexcept;   // likewise; the keeper
    bool take_burst(HandoverRing& ring, const Tables& tables) noexcept;
    void walk_handed(std::span<const Handed> run, const Tables& tables) noexcept;
    void finish(Walk& walk) noexcept;  // transmits, shows the others what was handed over, and counts the walk
    void transmit(Walk& walk) noexcept;
    void send(Walk& walk, std::size_t port, Outbox& outbox) noexcept;
    void tend(const Tables& tables, std::uint64_t now) noexcept;  // timers, ten times a second
    void serve_desk(const Tables& tables) noexcept;
    void let_numbers_go(const Tables& tables) noexcept;  // of neighbours that were forgotten; the keeper
    void back_off(unsigned& idle_rounds) noexcept;

    std::span<const std::unique_ptr<Port>> ports_;
    const std::atomic<const Tables*>& tables_;
    rte_rcu_qsbr* readers_;
    Idle idle_;
    std::vector<Use> uses_;                // by PortId
    std::vector<HandoverRing*> incoming_;  // from each other worker
    std::atomic<bool> stop_{false};
    bool announces_ = false;
    std::uint64_t now_ = 0;  // TSC at the end of the last walk, or of the last round without one
    std::uint64_t next_tend_ = 0;
    std::uint64_t tended_generation_ = 0;
    std::optional<std::uint64_t> grace_;  // what all workers must have passed before numbers are given again
    WorkerState state_;
    CounterMailbox mailbox_;
    SessionDesk desk_;
    Pulse pulse_;
};

}  // namespace sekisho::dataplane

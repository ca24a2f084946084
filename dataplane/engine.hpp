// The dataplane as control sees it: started once a process, given tables, asked for counters, stopped.
//
// Owns DPDK's environment, the packet buffers, the ports and the workers. All of it is the control thread's; nothing
// here waits for a worker but stop() and, some milliseconds at most, counters() and workers().
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/associations.hpp"
#include "dataplane/explain.hpp"
#include "dataplane/kernel/taps.hpp"
#include "dataplane/link_watch.hpp"
#include "dataplane/neighbours.hpp"
#include "dataplane/port.hpp"
#include "dataplane/stall_watch.hpp"
#include "dataplane/stats.hpp"
#include "dataplane/tables.hpp"
#include "dataplane/tracker.hpp"
#include "dataplane/worker.hpp"
#include "net/expected.hpp"

namespace sekisho::dataplane {

struct EngineConfig {
    std::vector<PortSpec> ports;
    std::size_t workers = 0;          // 0: as many as `lcores` names, or one
    std::string lcores;               // EAL's --lcores, the first for control, the others for workers; "": chosen
    std::optional<bool> hugepages;    // nullopt: if there are enough
    unsigned memory_megabytes = 512;  // of DPDK's memory
    unsigned buffers = 32768;         // packet buffers in all
    SessionCapacity sessions;         // of each worker
    std::string file_prefix = "sekisho";
    Idle idle = Idle::sleep;
    crypto::EngineKind esp_engine = crypto::fastest_engine();
    std::string eal_log_level = "warning";
};

struct WorkerInfo {  // for `show workers`
    WorkerId worker;
    unsigned lcore = 0;
    bool answered = false;  // false: `counters` are those of its last answer
    Counters counters;
    std::optional<std::chrono::system_clock::time_point> stalled_since;
};

struct NexthopInfo {  // one that a route has others beside
    AttachmentId attachment;
    Family family = Family::ipv4;
    std::optional<IpAddress> gateway;
    bool usable = true;
};
struct ConflictInfo {  // another station claims an address of the hub
    AttachmentId attachment;
    IpAddress address = Ipv4Address();
    MacAddress mac;
};

class Engine {
  public:
    // The error names the step: memory, a port, a cipher engine that gives a wrong answer. Once a process: DPDK does
    // not start twice.
    static Expected<std::unique_ptr<Engine>> start(const EngineConfig& config);
    ~Engine();  // stop()

    // Makes `tables` what the next walks read. The old ones are freed by a later reclaim(), when no worker reads them.
    void publish(std::unique_ptr<const Tables> tables);
    // Frees what is no longer read, SAs too; never waits. Call now and then. How many things still wait.
    std::size_t reclaim();
    // The SAs of the node; theirs are freed by reclaim() too.
    Associations& associations() noexcept { return *associations_; }
    const Associations& associations() const noexcept { return *associations_; }

    const Tables& tables() const noexcept { return *current_.load(std::memory_order_relaxed); }
    // A consistent sum over the workers; nullopt if one did not answer in time (it is stuck, or starved).
    std::optional<Counters> counters(std::chrono::milliseconds patience = kPatience);
    std::vector<WorkerInfo> workers(std::chrono::milliseconds patience = kPatience);
    // What changed since the last look: workers that finish no round any more, or do again. Call every 50 ms or so.
    std::vector<StallWatch::Event> watch();
    std::vector<PortInfo> ports() const;
    // Control: see Port::refresh(); the last error, if any.
    Expected<void> refresh_ports();
    std::vector<Neighbours::Entry> neighbours() const;
    std::vector<NexthopInfo> nexthops() const;
    // Another number whenever another answer of nexthops() is to be expected; costs little.
    std::uint64_t nexthops_state() const;
    std::vector<ConflictInfo> conflicts() const;  // of the last minute
    std::vector<TapInfo> taps() const;
    // Lays the order on every worker's desk; false while one is still at work on the last. Never waits.
    bool order_sessions(const SessionOrder& order);
    // The answers, by WorkerId, once all are there.
    std::optional<std::vector<SessionAnswer>> answered_sessions();
    Expected<Explanation> explain(const ImaginedPacket& packet, const Explanation::Names& names) const;
    std::size_t worker_count() const noexcept { return infos_.size(); }
    bool uses_hugepages() const noexcept { return hugepages_; }

    // Stops the workers, closes the ports, leaves nothing behind in /run. The counters of the end, which balance.
    Counters stop();

  private:
    static constexpr std::chrono::milliseconds kPatience{50};

    Engine() = default;
    Expected<void> start_workers();
    void ask(std::chrono::milliseconds patience);
    void watch_links();
    struct FreeAligned {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    void retire(std::shared_ptr<const void> gone);
    struct Retired {
        std::uint64_t token;  // grows from one to the next
        std::shared_ptr<const void> gone;
    };

    EngineConfig config_;
    bool hugepages_ = false;
    bool running_ = false;
    Counters last_;
    Mempool pool_;
    std::vector<std::unique_ptr<Port>> ports_;
    std::unique_ptr<rte_rcu_qsbr, FreeAligned> readers_;
    std::atomic<const Tables*> current_{nullptr};
    std::unique_ptr<Associations> associations_;
    std::deque<Retired> retired_;
    std::unique_ptr<Team> team_;
    std::unique_ptr<Taps> taps_;
    std::vector<std::unique_ptr<Worker>> workers_;  // by WorkerId
    std::vector<WorkerInfo> infos_;                 // by WorkerId; counters: of the last answer
    StallWatch stalls_{0};
    std::vector<LinkWatch> links_;  // by PortId
    unsigned looks_ = 0;
};

// What stands in the way of start(), each in a sentence that says what to do; empty: nothing does. Starts nothing.
std::vector<std::string> missing(const EngineConfig& config);

}  // namespace sekisho::dataplane

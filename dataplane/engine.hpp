// The dataplane as control sees it: started once a process, given tables, asked for counters, stopped.
//
// Owns DPDK's environment, the packet buffers, the ports and the worker. All of it is the control thread's; nothing
// here waits for a worker but stop() and, a few milliseconds at most, counters().
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/explain.hpp"
#include "dataplane/neighbours.hpp"
#include "dataplane/port.hpp"
#include "dataplane/stats.hpp"
#include "dataplane/tables.hpp"
#include "dataplane/worker.hpp"
#include "net/expected.hpp"

namespace sekisho::dataplane {

struct EngineConfig {
    std::vector<PortSpec> ports;
    std::string lcores;               // EAL's --lcores, the first for control, the second for the worker; "": chosen
    std::optional<bool> hugepages;    // nullopt: if there are enough
    unsigned memory_megabytes = 512;  // of DPDK's memory
    unsigned buffers = 32768;         // packet buffers in all
    std::string file_prefix = "sekisho";
    Idle idle = Idle::sleep;
    std::string eal_log_level = "warning";
};

class Engine {
  public:
    // The error names the step: memory, a port. Once a process: DPDK does not start twice.
    static Expected<std::unique_ptr<Engine>> start(const EngineConfig& config);
    ~Engine();  // stop()

    // Makes `tables` what the next walks read. The old ones are freed by a later reclaim(), when no worker reads them.
    void publish(std::unique_ptr<const Tables> tables);
    // Frees what is no longer read; never waits. Call now and then. How many snapshots still wait.
    std::size_t reclaim();

    const Tables& tables() const noexcept { return *current_.load(std::memory_order_relaxed); }
    // A consistent copy; nullopt if the worker did not answer in time (it is stuck, or starved).
    std::optional<Counters> counters(std::chrono::milliseconds patience = std::chrono::milliseconds(50));
    std::vector<PortInfo> ports() const;
    std::vector<Neighbours::Entry> neighbours() const;
    Expected<Explanation> explain(const ImaginedPacket& packet, const Explanation::Names& names) const;
    bool uses_hugepages() const noexcept { return hugepages_; }

    // Stops the worker, closes the ports, leaves nothing behind in /run. The counters of the end, which balance.
    Counters stop();

  private:
    Engine() = default;
    struct FreeAligned {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    struct Retired {
        std::uint64_t token;
        std::unique_ptr<const Tables> tables;
    };

    EngineConfig config_;
    bool hugepages_ = false;
    bool running_ = false;
    Counters last_;
    Mempool pool_;
    std::vector<std::unique_ptr<Port>> ports_;
    std::unique_ptr<rte_rcu_qsbr, FreeAligned> readers_;
    std::atomic<const Tables*> current_{nullptr};
    std::vector<Retired> retired_;
    std::unique_ptr<Worker> worker_;
    unsigned worker_lcore_ = 0;
};

// What stands in the way of start(), each in a sentence that says what to do; empty: nothing does. Starts nothing.
std::vector<std::string> missing(const EngineConfig& config);

}  // namespace sekisho::dataplane

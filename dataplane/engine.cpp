// Starting and stopping the dataplane, publishing tables, collecting counters.
#include "dataplane/engine.hpp"

#include <cstdlib>
#include <thread>

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "dataplane/environment.hpp"

namespace sekisho::dataplane {
namespace {

constexpr unsigned kReaders = 1;  // workers
constexpr unsigned kPoolCache = 256;
constexpr unsigned kLinkBytes = 18;  // Ethernet and one tag

Expected<Mempool> make_pool(const EngineConfig& config) {
    std::uint16_t mtu = 1500;
    for (const PortSpec& port : config.ports) mtu = std::max(mtu, port.mtu);
    const unsigned room = std::max<unsigned>(RTE_MBUF_DEFAULT_DATAROOM, mtu + kLinkBytes) + RTE_PKTMBUF_HEADROOM;
    Mempool pool(rte_pktmbuf_pool_create("packets", config.buffers, kPoolCache, 0, static_cast<std::uint16_t>(room),
                                         SOCKET_ID_ANY));
    if (pool) return pool;
    return Error{ErrorCode::unavailable, fmt::format("no memory for {} packet buffers of {} bytes: {}", config.buffers,
                                                     room, rte_strerror(rte_errno))};
}

int run_worker(void* worker) {
    static_cast<Worker*>(worker)->run();
    return 0;
}

}  // namespace

Expected<std::unique_ptr<Engine>> Engine::start(const EngineConfig& config) {
    std::unique_ptr<Engine> engine(new Engine);
    engine->config_ = config;
    engine->hugepages_ = config.hugepages.value_or(free_hugepage_megabytes() >= config.memory_megabytes);
    if (auto started = start_environment(config, engine->hugepages_); !started) return started.error();
    engine->running_ = true;  // from here on, stop() has something to undo

    engine->worker_lcore_ = rte_get_next_lcore(rte_get_main_lcore(), 1, 0);
    if (engine->worker_lcore_ == RTE_MAX_LCORE) return Error{ErrorCode::invalid, "lcores name none for a worker"};
    auto pool = make_pool(config);
    if (!pool) return pool.error();
    engine->pool_ = std::move(*pool);
    for (const PortSpec& spec : config.ports) {
        auto port = Port::open(spec, 1, engine->pool_.get());
        if (!port) return port.error();
        engine->ports_.push_back(std::move(*port));
    }
    const std::size_t size =
        (rte_rcu_qsbr_get_memsize(kReaders) + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
    engine->readers_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, size)));
    if (!engine->readers_ || rte_rcu_qsbr_init(engine->readers_.get(), kReaders) != 0)
        return Error{ErrorCode::unavailable, "no memory for the workers' quiescent state"};

    // Until a generation is published, every frame is a counted drop.
    auto nothing = std::make_unique<Tables>();
    nothing->seal();
    engine->current_.store(nothing.release(), std::memory_order_release);
    engine->worker_ = std::make_unique<Worker>(engine->ports_, engine->current_, engine->readers_.get(), 0,
                                               engine->pool_.get(), config.idle);
    if (rte_eal_remote_launch(run_worker, engine->worker_.get(), engine->worker_lcore_) != 0) {
        engine->worker_.reset();
        return Error{ErrorCode::unavailable, fmt::format("lcore {} did not take the worker", engine->worker_lcore_)};
    }
    return engine;
}

Engine::~Engine() {
    stop();
}

void Engine::publish(std::unique_ptr<const Tables> tables) {
    std::unique_ptr<const Tables> old(current_.exchange(tables.release(), std::memory_order_acq_rel));
    retired_.push_back({rte_rcu_qsbr_start(readers_.get()), std::move(old)});
    reclaim();
}

std::size_t Engine::reclaim() {
    std::erase_if(retired_, [this](const Retired& retired) {
        return rte_rcu_qsbr_check(readers_.get(), retired.token, false) == 1;
    });
    return retired_.size();
}

std::optional<Counters> Engine::counters(std::chrono::milliseconds patience) {
    if (!worker_) return last_;
    Counters copy;
    worker_->mailbox().ask();
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!worker_->mailbox().taken(copy)) {
        if (std::chrono::steady_clock::now() >= until) return std::nullopt;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return copy;
}

std::vector<PortInfo> Engine::ports() const {
    std::vector<PortInfo> result;
    for (const auto& port : ports_) result.push_back(port->info());
    return result;
}

std::vector<Neighbours::Entry> Engine::neighbours() const {
    std::vector<Neighbours::Entry> result;
    if (!worker_) return result;
    for (std::size_t i = 0; i < worker_->neighbours().size(); ++i) result.push_back(worker_->neighbours().entry(i));
    return result;
}

Expected<Explanation> Engine::explain(const ImaginedPacket& packet, const Explanation::Names& names) const {
    return dataplane::explain(tables(), packet, names, pool_.get());
}

Counters Engine::stop() {
    if (!running_) return last_;
    running_ = false;
    if (worker_) {
        worker_->stop();
        rte_eal_wait_lcore(worker_lcore_);
        last_ = worker_->final_counters();
        worker_.reset();
    }
    ports_.clear();
    retired_.clear();
    delete current_.exchange(nullptr, std::memory_order_acq_rel);
    pool_.reset();
    stop_environment(config_.file_prefix);
    return last_;
}

}  // namespace sekisho::dataplane

// Starting and stopping the dataplane, publishing tables, collecting counters.
#include "dataplane/engine.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <thread>

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "dataplane/environment.hpp"

namespace sekisho::dataplane {
namespace {

constexpr unsigned kPoolCache = 256;
constexpr unsigned kLooksAtLinks = 2;  // every so many calls of watch()
constexpr unsigned kLinkBytes = 18;    // Ethernet and one tag

Expected<Mempool> make_pool(const EngineConfig& config) {
    std::uint16_t mtu = 1500;
    for (const PortSpec& port : config.ports) mtu = std::max(mtu, port.mtu);
    // Behind the longest packet, what sealing puts there; before it there is more room than an outer header takes.
    const unsigned longest = mtu + kLinkBytes + static_cast<unsigned>(crypto::OutboundSa::kTailroom);
    const unsigned room = std::max<unsigned>(RTE_MBUF_DEFAULT_DATAROOM, longest) + RTE_PKTMBUF_HEADROOM;
    Mempool pool(rte_pktmbuf_pool_create("packets", config.buffers, kPoolCache, kPrivateRoom,
                                         static_cast<std::uint16_t>(room), SOCKET_ID_ANY));
    if (pool) return pool;
    return Error{ErrorCode::unavailable, fmt::format("no memory for {} packet buffers of {} bytes: {}", config.buffers,
                                                     room, rte_strerror(rte_errno))};
}

// The lcores after the first, as many as there are to be workers (0: all).
Expected<std::vector<unsigned>> worker_lcores(std::size_t wanted) {
    std::vector<unsigned> lcores;
    unsigned lcore = rte_get_next_lcore(rte_get_main_lcore(), 1, 0);
    for (; lcore != RTE_MAX_LCORE && (wanted == 0 || lcores.size() < wanted); lcore = rte_get_next_lcore(lcore, 1, 0))
        lcores.push_back(lcore);
    if (lcores.empty()) return Error{ErrorCode::invalid, "lcores name none for a worker"};
    if (lcores.size() < wanted)
        return Error{ErrorCode::invalid,
                     fmt::format("lcores name {} for workers, {} are needed", lcores.size(), wanted)};
    return lcores;
}

// Each worker's share of what is spread, so that all have as much to do: who polls has receiving, hashing and mostly
// sending to do already, which cost about half of what the path of a packet costs. With work of 3 a packet, 1 for the
// queues that a worker polls and 2 for the path, a share is what is left until all have the same.
std::vector<unsigned> spread_weights(const std::vector<std::unique_ptr<Port>>& ports, std::size_t workers) {
    std::vector<std::size_t> polled(workers, 0);
    for (std::size_t port = 0; port < ports.size(); ++port)
        for (std::size_t worker = 0; worker < workers; ++worker)
            if (ports[port]->plan().receive_queue_of(PortId(static_cast<std::uint16_t>(port)),
                                                     WorkerId(static_cast<std::uint16_t>(worker)), workers))
                ++polled[worker];
    const std::size_t all = 3 * std::accumulate(polled.begin(), polled.end(), std::size_t{0});
    std::vector<unsigned> weights;
    for (const std::size_t each : polled) weights.push_back(static_cast<unsigned>(all - std::min(all, workers * each)));
    return weights;
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

    auto lcores = worker_lcores(config.workers);
    if (!lcores) return lcores.error();
    for (const unsigned lcore : *lcores) {
        WorkerInfo info;
        info.worker = WorkerId(static_cast<std::uint16_t>(engine->infos_.size()));
        info.lcore = lcore;
        engine->infos_.push_back(std::move(info));
    }
    auto pool = make_pool(config);
    if (!pool) return pool.error();
    engine->pool_ = std::move(*pool);
    for (const PortSpec& spec : config.ports) {
        auto port = Port::open(spec, lcores->size(), engine->pool_.get());
        if (!port) return port.error();
        engine->ports_.push_back(std::move(*port));
    }
    const std::size_t readers = lcores->size();
    const std::size_t size = (rte_rcu_qsbr_get_memsize(static_cast<std::uint32_t>(readers)) + RTE_CACHE_LINE_SIZE - 1) /
                             RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
    engine->readers_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, size)));
    if (!engine->readers_ || rte_rcu_qsbr_init(engine->readers_.get(), static_cast<std::uint32_t>(readers)) != 0)
        return Error{ErrorCode::unavailable, "no memory for the workers' quiescent state"};

    auto associations = Associations::make(config.esp_engine, readers,
                                           [self = engine.get()](auto gone) { self->retire(std::move(gone)); });
    if (!associations) return associations.error();
    engine->associations_ = std::move(*associations);

    // Until a generation is published, every frame is a counted drop.
    auto nothing = std::make_unique<Tables>();
    nothing->seal();
    engine->current_.store(nothing.release(), std::memory_order_release);
    if (auto started = engine->start_workers(); !started) return started.error();
    return engine;
}

Expected<void> Engine::start_workers() {
    team_ = std::make_unique<Team>(spread_weights(ports_, infos_.size()), rte_get_tsc_hz());
    team_->associations = associations_.get();
    std::vector<std::unique_ptr<const RssMap>> rss_maps;
    for (std::uint16_t i = 0; i < ports_.size(); ++i) rss_maps.push_back(ports_[i]->rss_map(PortId(i), infos_.size()));
    const auto tells = [](const auto& map) { return map != nullptr; };
    if (std::any_of(rss_maps.begin(), rss_maps.end(), tells)) team_->rss_maps = std::move(rss_maps);
    taps_ = std::make_unique<Taps>(team_->kernel);
    stalls_ = StallWatch(infos_.size());
    for (const WorkerInfo& info : infos_)
        workers_.push_back(
            std::make_unique<Worker>(ports_, current_, readers_.get(), *team_, info.worker, pool_.get(), config_.idle));
    for (const auto& worker : workers_) worker->keep_sessions(config_.sessions);
    workers_[Team::kKeeper.index()]->let_announce();
    for (const WorkerInfo& info : infos_)
        if (rte_eal_remote_launch(run_worker, workers_[info.worker.index()].get(), info.lcore) != 0)
            return Error{ErrorCode::unavailable, fmt::format("lcore {} did not take the worker", info.lcore)};
    return {};
}

Engine::~Engine() {
    stop();
}

void Engine::publish(std::unique_ptr<const Tables> tables) {
    retire(std::shared_ptr<const Tables>(current_.exchange(tables.release(), std::memory_order_acq_rel)));
    taps_->want(this->tables().taps);
    reclaim();
}

void Engine::retire(std::shared_ptr<const void> gone) {
    retired_.push_back({rte_rcu_qsbr_start(readers_.get()), std::move(gone)});
}

std::size_t Engine::reclaim() {
    while (!retired_.empty() && rte_rcu_qsbr_check(readers_.get(), retired_.front().token, false) == 1)
        retired_.pop_front();
    return retired_.size();
}

void Engine::ask(std::chrono::milliseconds patience) {
    for (WorkerInfo& info : infos_) info.answered = false;
    team_->counter_call.fetch_add(1, std::memory_order_release);
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        bool all = true;
        for (WorkerInfo& info : infos_) {
            if (!info.answered) info.answered = workers_[info.worker.index()]->mailbox().taken(info.counters);
            all = all && info.answered;
        }
        if (all || std::chrono::steady_clock::now() >= until) return;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
}

std::optional<Counters> Engine::counters(std::chrono::milliseconds patience) {
    if (workers_.empty()) return last_;
    ask(patience);
    Counters sum;
    for (const WorkerInfo& info : infos_) {
        if (!info.answered) return std::nullopt;
        sum += info.counters;
    }
    return sum;
}

std::vector<WorkerInfo> Engine::workers(std::chrono::milliseconds patience) {
    if (workers_.empty()) return {};
    ask(patience);
    const auto now = std::chrono::steady_clock::now();
    for (WorkerInfo& info : infos_) {
        info.stalled_since.reset();
        if (const auto since = stalls_.stalled_since(info.worker))
            info.stalled_since = std::chrono::system_clock::now() -
                                 std::chrono::duration_cast<std::chrono::system_clock::duration>(now - *since);
    }
    return infos_;
}

std::vector<StallWatch::Event> Engine::watch() {
    std::vector<StallWatch::Event> events;
    const auto now = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < workers_.size(); ++i)
        if (const auto event = stalls_.look(infos_[i].worker, workers_[i]->pulse().read(), now))
            events.push_back(*event);
    if (looks_++ % kLooksAtLinks == 0) watch_links();
    return events;
}

Expected<void> Engine::refresh_ports() {
    Expected<void> result;
    for (const auto& port : ports_)
        if (auto refreshed = port->refresh(); !refreshed) result = refreshed.error();
    return result;
}

void Engine::watch_links() {
    if (!team_) return;
    links_.resize(ports_.size());
    for (std::size_t port = 0; port < ports_.size() && port < Team::kPorts; ++port) {
        const PortInfo info = ports_[port]->info();
        team_->down_ports[port].store(links_[port].look(info.link_up, info.received), std::memory_order_relaxed);
    }
}

std::uint64_t Engine::nexthops_state() const {
    const Tables& now = tables();
    std::uint64_t state = now.generation;
    for (std::size_t g = 0; g < now.groups.size(); ++g)
        state = state * 0x9e37'79b9'7f4a'7c15ULL + now.usable_members[g].load(std::memory_order_relaxed);
    return state;
}

std::vector<NexthopInfo> Engine::nexthops() const {
    const Tables& now = tables();
    std::map<NexthopId, bool> usable;
    for (std::size_t g = 0; g < now.groups.size(); ++g) {
        const unsigned members = now.usable_members[g].load(std::memory_order_relaxed);
        for (std::size_t m = 0; m < now.groups[g].size(); ++m)
            usable[now.groups[g].member(m).nexthop] = (members >> m & 1) != 0;
    }
    std::vector<NexthopInfo> result;
    for (const auto& [id, is_usable] : usable) {
        const Nexthop& nexthop = now.nexthops[id.index()];
        NexthopInfo& info = result.emplace_back(NexthopInfo{nexthop.attachment, nexthop.family, {}, is_usable});
        if (nexthop.kind != Nexthop::Kind::gateway) continue;
        info.gateway = nexthop.family == Family::ipv4 ? IpAddress(nexthop.gateway4) : IpAddress(nexthop.gateway6);
    }
    return result;
}

std::vector<ConflictInfo> Engine::conflicts() const {
    std::vector<ConflictInfo> result;
    if (!team_) return result;
    const std::uint64_t now = rte_rdtsc();
    for (std::size_t i = 0; i < tables().attachments.size(); ++i) {
        const AttachmentId id(static_cast<AttachmentId::Value>(i));
        const auto claim = team_->conflicts.claim(id, now);
        if (!claim) continue;
        const Attachment& attachment = tables().attachments[i];
        const IpAddress address = claim->which == Conflicts::Which::ipv4   ? IpAddress(attachment.ipv4)
                                  : claim->which == Conflicts::Which::ipv6 ? IpAddress(attachment.ipv6)
                                                                           : IpAddress(attachment.link_local);
        result.push_back({id, address, claim->mac});
    }
    return result;
}

std::vector<TapInfo> Engine::taps() const {
    return taps_ ? taps_->info() : std::vector<TapInfo>();
}

bool Engine::order_sessions(const SessionOrder& order) {
    for (const auto& worker : workers_)
        if (worker->desk().has_work()) return false;
    for (const auto& worker : workers_) (void)worker->desk().put(order);
    return true;
}

std::optional<std::vector<SessionAnswer>> Engine::answered_sessions() {
    for (const auto& worker : workers_)
        if (worker->desk().has_work()) return std::nullopt;
    std::vector<SessionAnswer> answers;
    for (const auto& worker : workers_) answers.push_back(*worker->desk().take());
    return answers;
}

std::vector<PortInfo> Engine::ports() const {
    std::vector<PortInfo> result;
    for (const auto& port : ports_) result.push_back(port->info());
    return result;
}

std::vector<Neighbours::Entry> Engine::neighbours() const {
    std::vector<Neighbours::Entry> result;
    if (!team_) return result;
    for (std::size_t i = 0; i < team_->neighbours.size(); ++i)
        if (const auto entry = team_->neighbours.entry(i)) result.push_back(*entry);
    return result;
}

Expected<Explanation> Engine::explain(const ImaginedPacket& packet, const Explanation::Names& names) const {
    return dataplane::explain(tables(), associations_.get(), packet, names, pool_.get());
}

Counters Engine::stop() {
    if (!running_) return last_;
    running_ = false;
    taps_.reset();
    for (const auto& worker : workers_) worker->stop();
    for (const WorkerInfo& info : infos_) rte_eal_wait_lcore(info.lcore);
    for (const auto& worker : workers_) {
        worker->give_up();
        last_ += worker->final_counters();
    }
    workers_.clear();
    team_.reset();
    ports_.clear();
    retired_.clear();
    associations_.reset();
    delete current_.exchange(nullptr, std::memory_order_acq_rel);
    pool_.reset();
    stop_environment(config_.file_prefix);
    return last_;
}

}  // namespace sekisho::dataplane

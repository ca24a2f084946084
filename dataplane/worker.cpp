// The worker's loop.
#include "dataplane/worker.hpp"

#include <unistd.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "dataplane/path.hpp"
#include "dataplane/run.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {
constexpr int kTransmitTries = 64;  // before a full queue costs packets
constexpr unsigned kRoundsBeforeSleep = 256;
constexpr unsigned kSleepMicroseconds = 50;
constexpr unsigned kLongSleepMicroseconds = 200;
constexpr unsigned kRoundsBeforeLongSleep = 2048;
}  // namespace

Worker::Worker(std::span<const std::unique_ptr<Port>> ports, const std::atomic<const Tables*>& tables,
               rte_rcu_qsbr* readers, unsigned thread, rte_mempool* pool, Idle idle)
    : ports_(ports),
      tables_(tables),
      readers_(readers),
      thread_(thread),
      idle_(idle),
      state_(ports.size(), pool, rte_get_tsc_hz()) {
    state_.counters.tsc_hz = rte_get_tsc_hz();
}

bool Worker::poll(PortId port, const Tables& tables) noexcept {
    std::array<rte_mbuf*, kBurst> frames;
    const std::size_t received = ports_[port.index()]->receive(queue_, frames);
    ++state_.counters.polls;
    if (received == 0 && state_.resume[port.index()].empty()) {
        ++state_.counters.empty_polls;
        return false;
    }
    const std::uint64_t start = rte_rdtsc();
    Walk walk(tables, state_, port, start);
    for (std::size_t i = 0; i < received; ++i) {
        walk.packets[i].mbuf = frames[i];
        walk.account.received_bytes += frames[i]->pkt_len;
    }
    walk.account.received += received;
    walk.received = received;
    take_resumed(walk);
    walk_path(walk);
    transmit(walk);
    ++state_.counters.walks;
    state_.counters.busy_cycles += rte_rdtsc() - start;
    return true;
}

void Worker::transmit(Walk& walk) noexcept {
    for (std::size_t port = 0; port < ports_.size(); ++port) {
        Outbox& outbox = state_.outbox[port];
        if (outbox.count == 0) continue;
        dataplane::run<Stage::transmit>(walk, outbox.count, [&] {
            PortCounters& leaving_by = state_.counters.ports[port];
            std::uint64_t bytes = 0;
            for (std::size_t i = 0; i < outbox.count; ++i) bytes += outbox.frames[i]->pkt_len;
            std::size_t sent = 0;
            for (int tries = 0; tries < kTransmitTries && sent < outbox.count; ++tries) {
                if (tries != 0) rte_pause();
                sent += ports_[port]->transmit(queue_, std::span(outbox.frames).subspan(sent, outbox.count - sent));
            }
            for (std::size_t i = sent; i < outbox.count; ++i) bytes -= outbox.frames[i]->pkt_len;
            walk.account.sent += sent;
            leaving_by.transmitted += sent;
            leaving_by.transmitted_bytes += bytes;
            if (sent != outbox.count) {
                walk.account.dropped[static_cast<std::size_t>(DropReason::transmit_full)] += outbox.count - sent;
                rte_pktmbuf_free_bulk(outbox.frames.data() + sent, static_cast<unsigned>(outbox.count - sent));
            }
            outbox.count = 0;
        });
    }
}

void Worker::tend(const Tables& tables, std::uint64_t now) noexcept {
    if (now < next_tend_) return;
    next_tend_ = now + rte_get_tsc_hz() / 10;
    if (ports_.empty()) return;
    // Questions asked again are made on the account of the first port: nobody's packet caused them.
    Walk walk(tables, state_, PortId(0), now);
    retry_neighbours(walk);
    expire_fragments(walk);
}

void Worker::back_off(unsigned& idle_rounds) noexcept {
    if (idle_ == Idle::poll || ++idle_rounds < kRoundsBeforeSleep) return;
    rte_rcu_qsbr_thread_offline(readers_, thread_);
    usleep(idle_rounds < kRoundsBeforeLongSleep ? kSleepMicroseconds : kLongSleepMicroseconds);
    rte_rcu_qsbr_thread_online(readers_, thread_);
}

void Worker::give_up_held() noexcept {
    const auto drop = [&](PortId origin, rte_mbuf* mbuf) {
        PortCounters& account = state_.counters.ports[origin.index()];
        --account.held;
        ++account.dropped[static_cast<std::size_t>(DropReason::stopped)];
        rte_pktmbuf_free(mbuf);
    };
    state_.neighbours.drop_all([&](Neighbours::Held& held) noexcept { drop(held.origin, held.packet.mbuf); });
    state_.fragments.drop_all([&](Fragments::Held& held) noexcept { drop(held.origin, held.packet.mbuf); });
    for (std::size_t port = 0; port < ports_.size(); ++port)
        for (Packet packet; state_.resume[port].pop(packet);)
            drop(PortId(static_cast<std::uint16_t>(port)), packet.mbuf);
}

void Worker::run() noexcept {
    rte_rcu_qsbr_thread_register(readers_, thread_);
    rte_rcu_qsbr_thread_online(readers_, thread_);
    unsigned idle_rounds = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
        const Tables& tables = *tables_.load(std::memory_order_acquire);
        bool worked = false;
        for (std::size_t port = 0; port < ports_.size(); ++port)
            worked |= poll(PortId(static_cast<std::uint16_t>(port)), tables);
        tend(tables, rte_rdtsc());
        rte_rcu_qsbr_quiescent(readers_, thread_);
        if (mailbox_.asked()) mailbox_.answer(state_.counters);
        if (worked)
            idle_rounds = 0;
        else
            back_off(idle_rounds);
    }
    give_up_held();
    rte_rcu_qsbr_thread_offline(readers_, thread_);
    rte_rcu_qsbr_thread_unregister(readers_, thread_);
}

}  // namespace sekisho::dataplane

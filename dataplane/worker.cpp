// The worker's loop.
#include "dataplane/worker.hpp"

#include <algorithm>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "dataplane/behind.hpp"
#include "dataplane/esp_udp.hpp"
#include "dataplane/kernel/punt.hpp"
#include "dataplane/path.hpp"
#include "dataplane/run.hpp"
#include "dataplane/stages.hpp"
#include "net/prefetch.hpp"

namespace sekisho::dataplane {
namespace {
constexpr int kTransmitTries = 64;     // before a full queue costs packets
constexpr unsigned kHandedBursts = 4;  // of one ring a round: what others have begun comes before what is new
constexpr unsigned kRoundsBeforeSleep = 256;
constexpr unsigned kSleepMicroseconds = 50;
constexpr unsigned kLongSleepMicroseconds = 200;
constexpr unsigned kRoundsBeforeLongSleep = 2048;

PortId port_id(std::size_t port) noexcept {
    return PortId(static_cast<std::uint16_t>(port));
}
}  // namespace

Worker::Worker(std::span<const std::unique_ptr<Port>> ports, const std::atomic<const Tables*>& tables,
               rte_rcu_qsbr* readers, Team& team, WorkerId self, rte_mempool* pool, Idle idle)
    : ports_(ports),
      tables_(tables),
      readers_(readers),
      idle_(idle),
      incoming_(team.rings_to(self)),
      state_(ports.size(), pool, rte_get_tsc_hz(), team, self),
      mailbox_(team.counter_call) {
    state_.counters.tsc_hz = rte_get_tsc_hz();
    state_.flow_cache = std::make_unique<FlowCache>();
    std::erase(incoming_, nullptr);
    for (std::size_t port = 0; port < ports.size(); ++port) {
        const PortPlan& plan = ports[port]->plan();
        Use use;
        use.receive = plan.receive_queue_of(port_id(port), self, team.size());
        use.spreads = plan.spreads;
        const PortPlan::Transmit transmit = plan.transmit_of(port_id(port), self, team.size());
        use.transmit = transmit.queue;
        if (transmit.by != self) use.sender = transmit.by;
        uses_.push_back(use);
    }
}

bool Worker::poll(PortId port, const Tables& tables) noexcept {
    const Use& use = uses_[port.index()];
    std::array<rte_mbuf*, kBurst> frames;
    std::size_t received = 0;
    if (use.receive) {
        received = ports_[port.index()]->receive(*use.receive, frames);
        ++state_.counters.polls;
    }
    if (received == 0 && state_.resume[port.index()].empty()) {
        if (use.receive) ++state_.counters.empty_polls;
        return false;
    }
    Walk walk(tables, state_, port, now_);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < received; ++i) {
        bytes += frames[i]->pkt_len;
        walk.packets[i].mbuf = frames[i];
    }
    walk.account.received += received;
    walk.account.received_bytes += bytes;
    if (use.spreads) {
        received = spread(walk, std::span(frames).first(received));
        for (std::size_t i = 0; i < received; ++i) walk.packets[i].mbuf = frames[i];
    }
    walk.received = received;
    take_resumed(walk);
    walk_path(walk);
    finish(walk);
    return true;
}

bool Worker::take_handed(const Tables& tables) noexcept {
    bool worked = false;
    for (HandoverRing* const ring : incoming_)
        for (unsigned burst = 0; burst < kHandedBursts && take_burst(*ring, tables); ++burst) worked = true;
    return worked;
}

bool Worker::take_burst(HandoverRing& ring, const Tables& tables) noexcept {
    const std::size_t waiting = std::min(ring.look(), kBurst);
    if (waiting == 0) return false;
    mailbox_.answer_if_asked(state_.counters);  // between looking and taking: see CounterMailbox
    std::array<Handed, kBurst> handed;
    dataplane::run<Stage::hand_in>(state_, waiting, [&] {
        ring.take(std::span(handed).first(waiting));
        // Buffers and frames lie in the giver's cache, which is far: all are on their way before the first is looked
        // at.
        for (std::size_t i = 0; i < waiting; ++i) prefetch(handed[i].mbuf);
        for (std::size_t i = 0; i < waiting; ++i) prefetch(rte_pktmbuf_mtod(handed[i].mbuf, const void*));
    });
    state_.counters.handed_in += waiting;
    // A walk is of one port, and enters the path in one place: run by run, in order.
    for (std::size_t begin = 0, end = 0; begin < waiting; begin = end) {
        while (end < waiting && handed[end].origin == handed[begin].origin && handed[end].entry == handed[begin].entry)
            ++end;
        walk_handed(std::span(handed).subspan(begin, end - begin), tables);
    }
    return true;
}

bool Worker::take_from_kernel(const Tables& tables) noexcept {
    FrameRing& ring = state_.team.kernel.to_keeper();
    std::size_t taken = 0;
    for (; taken < kBurst; ++taken) {
        const auto frame = ring.front();
        if (!frame) break;
        const bool known = frame->attachment.index() < tables.attachments.size();
        Walk walk(tables, state_, known ? tables.attachments[frame->attachment.index()].port : PortId(0), now_);
        dataplane::run<Stage::kernel_in>(state_, 1, [&] { dataplane::take_from_kernel(walk, *frame); });
        ring.pop();
        finish(walk);
    }
    return taken != 0;
}

void Worker::walk_handed(std::span<const Handed> run, const Tables& tables) noexcept {
    Walk walk(tables, state_, run.front().origin, now_);
    walk.account.held -= run.size();
    switch (run.front().entry) {
        case Entry::parse:
            for (std::size_t i = 0; i < run.size(); ++i) walk.packets[i].mbuf = run[i].mbuf;
            walk.received = run.size();
            take_resumed(walk);
            break;
        case Entry::opened:
            for (std::size_t i = 0; i < run.size(); ++i) walk.packets[i] = stowed(run[i].mbuf);
            walk.received = run.size();
            walk.opened = true;
            take_resumed(walk);
            break;
        case Entry::depart:
            for (const Handed& handed : run) walk.packets[walk.count++] = stowed(handed.mbuf);
            break;
        case Entry::transmit:
            for (const Handed& handed : run) {
                Outbox& outbox = state_.outbox[handed.egress.index()];
                outbox.frames[outbox.count++] = handed.mbuf;
            }
            break;
    }
    if (run.front().entry == Entry::transmit)
        ++state_.walk_number;
    else
        walk_path(walk);
    finish(walk);
}

void Worker::finish(Walk& walk) noexcept {
    transmit(walk);
    if (!incoming_.empty()) state_.handover.publish();
    ++state_.counters.walks;
    now_ = rte_rdtsc();
    state_.counters.busy_cycles += now_ - walk.now;
}

void Worker::transmit(Walk& walk) noexcept {
    for (std::size_t port = 0; port < ports_.size(); ++port) {
        Outbox& outbox = state_.outbox[port];
        if (outbox.count == 0) continue;
        if (const auto sender = uses_[port].sender) {
            dataplane::run<Stage::hand_over>(walk, outbox.count, [&] {
                for (std::size_t i = 0; i < outbox.count; ++i)
                    state_.handover.give(*sender, {outbox.frames[i], walk.origin, port_id(port), Entry::transmit});
            });
        } else {
            dataplane::run<Stage::transmit>(walk, outbox.count, [&] { send(walk, port, outbox); });
        }
        outbox.count = 0;
    }
}

void Worker::send(Walk& walk, std::size_t port, Outbox& outbox) noexcept {
    PortCounters& leaving_by = state_.counters.ports[port];
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < outbox.count; ++i) bytes += outbox.frames[i]->pkt_len;
    std::size_t sent = 0;
    for (int tries = 0; tries < kTransmitTries && sent < outbox.count; ++tries) {
        if (tries != 0) rte_pause();
        sent +=
            ports_[port]->transmit(uses_[port].transmit, std::span(outbox.frames).subspan(sent, outbox.count - sent));
    }
    for (std::size_t i = sent; i < outbox.count; ++i) bytes -= outbox.frames[i]->pkt_len;
    walk.account.sent += sent;
    leaving_by.transmitted += sent;
    leaving_by.transmitted_bytes += bytes;
    if (sent != outbox.count) {
        walk.account.dropped[static_cast<std::size_t>(DropReason::transmit_full)] += outbox.count - sent;
        rte_pktmbuf_free_bulk(outbox.frames.data() + sent, static_cast<unsigned>(outbox.count - sent));
    }
}

void Worker::tend(const Tables& tables, std::uint64_t now) noexcept {
    if (now < next_tend_ && tables.generation == tended_generation_) return;
    tended_generation_ = tables.generation;
    next_tend_ = now + rte_get_tsc_hz() / 10;
    if (ports_.empty()) return;
    // Questions asked again are made on the account of the first port: nobody's packet caused them.
    Walk walk(tables, state_, PortId(0), now);
    if (state_.is_keeper()) {
        retry_neighbours(walk);
        judge_nexthops(walk);
        if (announces_) announce_attachments(walk);
        send_keepalives(walk);
        let_numbers_go(tables);
    }
    expire_fragments(walk);
    expire_reassembly(walk);
    expire_sessions(walk);
}

void Worker::serve_desk(const Tables& tables) noexcept {
    if (!desk_.has_work()) [[likely]]
        return;
    const std::uint32_t now = second_of(now_, state_.tsc_hz);
    desk_.work(state_.tracker, tables, now,
               [&](nat::Slot slot, auto family) noexcept { end_session<decltype(family)>(state_, tables, slot, now); });
    state_.counters.sessions = state_.tracker.size();
}

void Worker::let_numbers_go(const Tables& tables) noexcept {
    Neighbours& neighbours = state_.neighbours;
    if (grace_ && rte_rcu_qsbr_check(readers_, *grace_, false) == 1) {
        neighbours.grace_passed(std::span(tables.neighbour_hints.get(), tables.nexthops.size()));
        grace_.reset();
    }
    if (!grace_ && neighbours.waits_for_grace()) grace_ = rte_rcu_qsbr_start(readers_);
}

void Worker::back_off(unsigned& idle_rounds) noexcept {
    if (idle_ == Idle::poll || ++idle_rounds < kRoundsBeforeSleep) return;
    rte_rcu_qsbr_thread_offline(readers_, state_.self.value());
    pulse_.fall_asleep();
    usleep(idle_rounds < kRoundsBeforeLongSleep ? kSleepMicroseconds : kLongSleepMicroseconds);
    pulse_.beat();
    rte_rcu_qsbr_thread_online(readers_, state_.self.value());
}

void Worker::give_up() noexcept {
    const auto drop = [&](PortId origin, rte_mbuf* mbuf) {
        PortCounters& account = state_.counters.ports[origin.index()];
        --account.held;
        ++account.dropped[static_cast<std::size_t>(DropReason::stopped)];
        rte_pktmbuf_free(mbuf);
    };
    if (state_.is_keeper())
        state_.neighbours.drop_all([&](Neighbours::Held& held) noexcept { drop(held.origin, held.packet.mbuf); });
    state_.fragments.drop_all([&](Fragments::Held& held) noexcept { drop(held.origin, held.packet.mbuf); });
    state_.reassembly.expire(
        ~std::uint64_t{0}, [&](Reassembly::Datagram& datagram) noexcept { drop(datagram.key.origin, datagram.mbuf); });
    for (std::size_t port = 0; port < ports_.size(); ++port)
        for (Packet packet; state_.resume[port].pop(packet);) drop(port_id(port), packet.mbuf);
    for (HandoverRing* const ring : incoming_)
        for (std::array<Handed, kBurst> handed; ring->look() != 0;) {
            const std::size_t count = ring->take(handed);
            for (std::size_t i = 0; i < count; ++i) drop(handed[i].origin, handed[i].mbuf);
        }
}

void Worker::run() noexcept {
    rte_rcu_qsbr_thread_register(readers_, state_.self.value());
    rte_rcu_qsbr_thread_online(readers_, state_.self.value());
    pulse_.beat();
    now_ = rte_rdtsc();
    unsigned idle_rounds = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
        const Tables& tables = *tables_.load(std::memory_order_acquire);
        bool worked = take_handed(tables);
        if (state_.is_keeper() && !ports_.empty()) worked |= take_from_kernel(tables);
        for (std::size_t port = 0; port < ports_.size(); ++port) worked |= poll(port_id(port), tables);
        if (!worked) now_ = rte_rdtsc();
        tend(tables, now_);
        serve_desk(tables);
        rte_rcu_qsbr_quiescent(readers_, state_.self.value());
        mailbox_.answer_if_asked(state_.counters);
        pulse_.beat();
        if (worked)
            idle_rounds = 0;
        else
            back_off(idle_rounds);
    }
    pulse_.fall_asleep();
    rte_rcu_qsbr_thread_offline(readers_, state_.self.value());
    rte_rcu_qsbr_thread_unregister(readers_, state_.self.value());
}

}  // namespace sekisho::dataplane

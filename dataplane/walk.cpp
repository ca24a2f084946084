// What a worker keeps, and the ends of packets that are not in the inner loops.
#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

namespace {
constexpr std::size_t kVrfs = 65536;
constexpr unsigned kWeightAlone = 1;
}  // namespace

WorkerState::WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz_now, Team& team_of,
                         WorkerId number)
    : team(team_of),
      self(number),
      counters(ports),
      handover(team_of.rings_from(number), counters),
      neighbours(team_of.neighbours),
      fragments(tsc_hz_now),
      reassembly(tsc_hz_now),
      associations(team_of.associations),
      esp(associations == nullptr ? nullptr : std::make_unique<crypto::Esp>(associations->engine_of(number))),
      resume(ports),
      outbox(ports),
      pool(buffers),
      budgets(Budgets::standard(tsc_hz_now, team_of.size())),
      error_tokens(kVrfs),
      identification(static_cast<std::uint16_t>(65536 * number.index() / team_of.size())),
      tsc_hz(tsc_hz_now),
      next_keepalive(kMostAttachments + 1) {}

WorkerState::WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz_now)
    : WorkerState(ports, buffers, tsc_hz_now, std::make_unique<Team>(std::span(&kWeightAlone, 1), tsc_hz_now)) {}

WorkerState::WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz_now, std::unique_ptr<Team> alone)
    : WorkerState(ports, buffers, tsc_hz_now, *alone, WorkerId(0)) {
    alone_ = std::move(alone);
}

void Walk::resume(const Packet& packet) noexcept {
    if (!worker.resume[origin.index()].push(packet)) {
        ++account.not_made_buffer;
        rte_pktmbuf_free(packet.mbuf);
        return;
    }
    ++account.made;
    ++account.held;
}

rte_mbuf* Walk::new_buffer() noexcept {
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(worker.pool);
    if (mbuf == nullptr) ++account.not_made_buffer;
    return mbuf;
}

void Walk::free_dropped() noexcept {
    if (dropped_count_ != 0) rte_pktmbuf_free_bulk(dropped_.data(), static_cast<unsigned>(dropped_count_));
    dropped_count_ = 0;
}

}  // namespace sekisho::dataplane

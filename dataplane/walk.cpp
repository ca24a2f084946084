// What a worker keeps, and the ends of packets that are not in the inner loops.
#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

namespace {
constexpr std::size_t kNeighbours = 65536;
constexpr std::size_t kNeighboursPerAttachment = 4096;
constexpr std::size_t kIds = 65536;  // of VRFs and of attachments
}  // namespace

WorkerState::WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz)
    : counters(ports),
      neighbours(kNeighbours, kNeighboursPerAttachment, tsc_hz),
      fragments(tsc_hz),
      resume(ports),
      outbox(ports),
      pool(buffers),
      budgets(Budgets::standard(tsc_hz)),
      error_tokens(kIds),
      echo_tokens(kIds),
      neighbour_tokens(kIds) {}

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

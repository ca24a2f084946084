// How a packet goes from one worker to another: a ring for every ordered pair of workers, and a worker's end of them.
//
// What goes through a ring names the packet's buffer, the port whose account it is on, and the stage where it enters
// the taker's path; never anything of a snapshot of the tables. What a Packet knows already travels in the buffer's
// private room. One worker gives and one takes, a burst at a time, in order; a ring that is full costs a counted drop.
// Between the two the packet is held: the giver adds one to `held`, the taker takes one off, so each one's own account
// balances at every moment, and so does any sum of them.
#pragma once

#include <atomic>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "dataplane/packet.hpp"
#include "dataplane/stats.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

// Where a packet enters the path of the worker that takes it.
enum class Entry : std::uint8_t {
    parse,     // as a frame that came by the port `origin`: nothing of it was changed
    opened,    // as an inner packet that came out of ESP: where, and by which attachment, its Packet says, likewise
    depart,    // with what its Packet says, in the buffer's private room; like what waited for this walk
    transmit,  // as a whole frame, to be sent by the port `egress`
};

struct Handed {
    rte_mbuf* mbuf = nullptr;
    PortId origin;  // on whose account it is
    PortId egress;  // Entry::transmit
    Entry entry = Entry::parse;
};
static_assert(sizeof(Handed) == 16);

// Room that every pool's buffers must have for a Packet that travels with them.
inline constexpr std::uint16_t kPrivateRoom = sizeof(Packet);

inline void stow(const Packet& packet) noexcept {
    std::memcpy(rte_mbuf_to_priv(packet.mbuf), &packet, sizeof packet);
}
inline Packet stowed(rte_mbuf* mbuf) noexcept {
    Packet packet;
    std::memcpy(static_cast<void*>(&packet), rte_mbuf_to_priv(mbuf), sizeof packet);
    return packet;
}

// Bounded, without locks. The giver writes tail_ and the slots before it, the taker head_; each reads the other's
// index only when what it last saw of it does not suffice.
class HandoverRing {
  public:
    static constexpr std::size_t kCapacity = 1024;

    explicit HandoverRing(std::size_t capacity = kCapacity)
        : mask_(std::bit_ceil(capacity) - 1), slots_(std::make_unique<Handed[]>(mask_ + 1)) {}

    // Giver: false when the ring is full. The taker sees nothing of it before publish().
    bool put(const Handed& packet) noexcept {
        if (written_ - seen_head_ > mask_) {
            seen_head_ = head_.load(std::memory_order_acquire);
            if (written_ - seen_head_ > mask_) return false;
        }
        slots_[written_++ & mask_] = packet;
        return true;
    }
    void publish() noexcept {
        if (written_ == published_) return;
        published_ = written_;
        tail_.store(written_, std::memory_order_release);
    }

    // Taker: how many wait now. take() gives of these only, whatever comes meanwhile.
    std::size_t look() noexcept {
        if (seen_tail_ == taken_) seen_tail_ = tail_.load(std::memory_order_acquire);
        return seen_tail_ - taken_;
    }
    // The oldest ones, as many as fit; how many.
    std::size_t take(std::span<Handed> packets) noexcept {
        const std::size_t count = std::min(packets.size(), seen_tail_ - taken_);
        for (std::size_t i = 0; i < count; ++i) packets[i] = slots_[taken_++ & mask_];
        head_.store(taken_, std::memory_order_release);
        return count;
    }

  private:
    std::size_t mask_;
    std::unique_ptr<Handed[]> slots_;
    // What both touch has lines of its own: a taker that waits looks at tail_ all the time.
    alignas(64) std::atomic<std::size_t> tail_{0};  // the giver writes, the taker reads
    alignas(64) std::atomic<std::size_t> head_{0};  // the taker writes, the giver reads
    alignas(64) std::size_t written_ = 0;           // the giver's own, up to seen_head_
    std::size_t published_ = 0;
    std::size_t seen_head_ = 0;
    alignas(64) std::size_t taken_ = 0;  // the taker's own, up to seen_tail_
    std::size_t seen_tail_ = 0;
};

// A worker's giving end of its rings, with the account.
class Handover {
  public:
    // `rings` by taker, none for the worker itself; `counters` are the worker's. All outlive this.
    Handover(std::vector<HandoverRing*> rings, Counters& counters) : rings_(std::move(rings)), counters_(counters) {}

    // Ends the packet here: held until `to` has taken it, or dropped and freed if the ring to there is full.
    void give(WorkerId to, const Handed& packet) noexcept {
        PortCounters& account = counters_.ports[packet.origin.index()];
        if (rings_[to.index()]->put(packet)) [[likely]] {
            ++account.held;
            ++counters_.handed_over;
            return;
        }
        ++account.dropped[static_cast<std::size_t>(DropReason::handover_full)];
        rte_pktmbuf_free(packet.mbuf);
    }
    // Shows the takers what was given since; at the end of every walk.
    void publish() noexcept {
        for (HandoverRing* const ring : rings_)
            if (ring != nullptr) ring->publish();
    }

  private:
    std::vector<HandoverRing*> rings_;
    Counters& counters_;
};

}  // namespace sekisho::dataplane

// One walk: a burst of packets of one port, on its way through the stages; and what a worker keeps from walk to walk.
//
// Every packet of a walk is on the account of the port that it came by. A stage ends a packet by one of: drop(),
// consume(), outbox (to be sent), hold (for a neighbour), hand_over(). Replies and errors that we make go to the port's
// ResumeQueue and join its next walk, past admit and translate. What another worker must do goes to it by hand_over().
// Worker thread only; what workers share is the Team's.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/associations.hpp"
#include "dataplane/by_number.hpp"
#include "dataplane/flow_cache.hpp"
#include "dataplane/fragments.hpp"
#include "dataplane/handover.hpp"
#include "dataplane/packet.hpp"
#include "dataplane/rate_limit.hpp"
#include "dataplane/reassembly.hpp"
#include "dataplane/stats.hpp"
#include "dataplane/tables.hpp"
#include "dataplane/team.hpp"
#include "dataplane/tracker.hpp"

namespace sekisho::dataplane {

// Packets that wait for the next walk of a port: a ring, bounded.
class ResumeQueue {
  public:
    static constexpr std::size_t kCapacity = 256;

    bool push(const Packet& packet) noexcept {
        if (tail_ - head_ == kCapacity) return false;
        ring_[tail_++ % kCapacity] = packet;
        return true;
    }
    bool pop(Packet& packet) noexcept {
        if (head_ == tail_) return false;
        packet = ring_[head_++ % kCapacity];
        return true;
    }
    bool empty() const noexcept { return head_ == tail_; }
    std::size_t room() const noexcept { return kCapacity - (tail_ - head_); }

  private:
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
    std::array<Packet, kCapacity> ring_;
};

// Frames that this walk sends by one port: one for each of its packets at most, and fragments while there is room.
struct Outbox {
    static constexpr std::size_t kFragments = 1024;

    std::size_t count = 0;
    std::array<rte_mbuf*, kPlaces + kFragments> frames;
    // How many fragments may still be put here.
    std::size_t room_for_fragments() const noexcept { return frames.size() - kPlaces - std::min(count, kFragments); }
};

// What goes to an attachment's TAP, by what would be lost with it.
enum class PuntClass : std::uint8_t {
    bfd,       // from the link itself
    sessions,  // BGP, IKE, BFD over several hops
    others,
};
inline constexpr std::size_t kPuntClasses = 3;

// What the hub makes or answers, per second and at once. Each worker has an equal share of what any of them may make;
// ARP and neighbour discovery end at the keeper, whose budget is the node's (the others' bounds what they pass on to
// it).
struct Budgets {
    Rate errors;      // ICMP errors of a VRF
    Rate echo;        // echo requests to the hub, of an attachment
    Rate neighbours;  // ARP and neighbour discovery, of an attachment
    // Of an attachment, by PuntClass; each worker has the whole, for a session's packets all come to one.
    std::array<Rate, kPuntClasses> punts;
    Rate path_mtu;  // what is told of the paths to tunnels' peers, of an underlay
    static Budgets standard(std::uint64_t tsc_hz, std::size_t workers) noexcept {
        const auto share = [&](std::uint64_t whole) { return std::max<std::uint64_t>(1, whole / workers); };
        const Rate made = Rate::of(share(1000), share(100), tsc_hz);
        return {made,
                made,
                Rate::of(2000, 500, tsc_hz),
                {Rate::of(1000, 200, tsc_hz), Rate::of(10'000, 2000, tsc_hz), Rate::of(1000, 100, tsc_hz)},
                Rate::of(share(100), share(50), tsc_hz)};
    }
};

// What a line's neighbours were told of its addresses.
struct Announced {
    std::uint64_t fingerprint = 0;
    std::uint64_t next = 0;  // TSC
    std::uint64_t seen = 0;  // the last look at it
    std::uint8_t left = 0;   // times
};

// What is put around sealed packets: ports, and the peer's address, in host order; of an IPv4 address `low` alone. Not
// initialized, for there is an array of them.
struct UdpAround {
    std::uint64_t high, low;
    std::uint16_t from, to;
    std::uint16_t first, end;  // places in the burst that is sealed: those of one tunnel, which follow each other
};

// What a worker keeps. The pool is the node's and outlives the worker; so does the team.
struct WorkerState {
    // A worker on its own, a team of one.
    WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz);
    WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz, Team& team, WorkerId self);
    WorkerState(const WorkerState&) = delete;
    WorkerState& operator=(const WorkerState&) = delete;

    bool is_keeper() const noexcept { return self == Team::kKeeper; }

  private:
    WorkerState(std::size_t ports, rte_mempool* buffers, std::uint64_t tsc_hz, std::unique_ptr<Team> alone);
    std::unique_ptr<Team> alone_;  // the team of one

  public:
    Team& team;
    const WorkerId self;

    std::array<Packet, kPlaces> packets;             // of the walk that goes on; parse makes each anew from its buffer
    std::array<FragmentPlace, kWalkPackets> places;  // by packet, of those that parse found to be fragments
    std::array<nat::Rewrite<Ipv4Address>, kWalkPackets> rewrites;  // by packet, of those with kBySession
    Counters counters;
    Handover handover;
    Neighbours& neighbours;  // the team's; the keeper writes
    Fragments fragments;
    Reassembly reassembly;
    const Associations* const associations;  // the team's; null: there are none
    const std::unique_ptr<crypto::Esp> esp;  // there is one if there are associations
    Tracker tracker;
    std::unique_ptr<FlowCache> flow_cache;  // null: every packet is asked about
    // Of `explain`, which lends no port for real: the ports that it imagines, once it needs any.
    bool imagines = false;
    std::shared_ptr<PortShares> imagined_ports;
    std::vector<ResumeQueue> resume;  // by PortId
    std::vector<Outbox> outbox;       // by PortId
    rte_mempool* pool;
    Budgets budgets;
    ByNumber<VrfId, TokenBucket> error_tokens;
    ByAttachment<TokenBucket> echo_tokens;
    ByAttachment<TokenBucket> neighbour_tokens;
    ByAttachment<std::array<TokenBucket, kPuntClasses>> punt_tokens;
    ByAttachment<TokenBucket> path_mtu_tokens;
    std::uint16_t identification = 0;  // of the IPv4 packets that we make
    std::uint32_t walk_number = 0;
    std::uint64_t tsc_hz;
    ByAttachment<Announced> announced;                   // the keeper's
    std::uint64_t looks_at_lines = 0;                    // the keeper's, who announces what is new
    std::array<UdpAround, crypto::Esp::kBurst> arounds;  // of the burst that is sealed, for its runs in UDP
    ByNumber<TunnelId, std::uint64_t> next_keepalive;    // TSC; the keeper's
};

class Walk {
  public:
    Walk(const Tables& tables_now, WorkerState& state, PortId origin_port, std::uint64_t tsc_now) noexcept
        : tables(tables_now),
          worker(state),
          origin(origin_port),
          now(tsc_now),
          account(state.counters.ports[origin_port.index()]),
          packets(state.packets) {}
    ~Walk() { free_dropped(); }
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;

    const Tables& tables;
    WorkerState& worker;
    const PortId origin;
    const std::uint64_t now;  // TSC
    PortCounters& account;    // of the origin port

    std::array<Packet, kPlaces>& packets;  // the worker's
    std::size_t received = 0;              // the first ones: from the port
    std::size_t count = 0;                 // and those that resumed behind them, or were cut from others
    bool opened = false;                   // what was received is inner packets, which another worker has opened

    // Ends a packet: counted by reason, its buffer freed when the walk ends.
    void drop(std::size_t packet, DropReason reason) noexcept {
        ++account.dropped[static_cast<std::size_t>(reason)];
        reasons[packet] = reason;
        dropped_[dropped_count_++] = packets[packet].mbuf;
    }
    // Ends a packet that the hub took for itself.
    void consume(std::size_t packet) noexcept {
        ++account.consumed;
        dropped_[dropped_count_++] = packets[packet].mbuf;
    }
    // Ends a packet that was copied to the kernel.
    void punted(std::size_t packet) noexcept {
        ++account.punted;
        dropped_[dropped_count_++] = packets[packet].mbuf;
    }
    // Ends a packet here: `to` takes it on, entering at `entry`; parse: as it came, or as it was opened.
    void hand_over(std::size_t packet, WorkerId to, Entry entry) noexcept {
        const Packet& given = packets[packet];
        if (entry == Entry::parse && tables.attachments[given.attachment.index()].tunnel != TunnelId())
            entry = Entry::opened;
        if (entry != Entry::parse) stow(given);
        worker.handover.give(to, {given.mbuf, origin, PortId(), entry});
    }
    // Puts a packet of our own into the origin port's next walk. It is freed and not made when the queue is full.
    void resume(const Packet& packet) noexcept;

    // A fresh buffer whose IP header begins `header` bytes after the room for Ethernet; null when there is none.
    rte_mbuf* new_buffer() noexcept;

    // Why the packet was dropped; for explain and tests, of packets that were.
    std::array<DropReason, kPlaces> reasons;

    void free_dropped() noexcept;

  private:
    std::size_t dropped_count_ = 0;
    std::array<rte_mbuf*, kPlaces + kBurst> dropped_;  // a fragment's place is another packet's once that is whole
};

}  // namespace sekisho::dataplane

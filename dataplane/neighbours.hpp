// The stations that the hub sends frames to: their MAC addresses, whether they still answer, and the few packets that
// wait for one.
//
// An entry is (attachment, address). An unknown neighbour holds up to kHold packets while it is asked, once a second,
// kAsks times (RFC 1122 §2.3.2.2, RFC 4861 §7.2.2); then they are dropped, and it rests for a second. A known one goes
// through the states of RFC 4861 §7.3, for IPv4 too (RFC 1122 §2.3.2.1): in use it is asked by unicast before anybody
// notices, unused it disappears. Questions are the caller's to send. Written by one worker, the keeper. Other workers
// may call find(), link(), version() and mark_used() at any time, and control entry(). A number is given to another
// neighbour only when every worker has passed a quiescent point twice: once it can no longer be found, and once no hint
// names it any more.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/by_number.hpp"
#include "dataplane/packet.hpp"
#include "net/address.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

class Neighbours {
  public:
    static constexpr std::uint32_t kNone = 0xffff'ffffU;
    static constexpr std::size_t kHold = 8;                    // packets that wait for one neighbour
    static constexpr std::size_t kPending = 512;               // neighbours that are being asked at once
    static constexpr std::size_t kPendingPerAttachment = 256;  // of them on one attachment
    static constexpr int kAsks = 3;
    // RFC 4861 §10; seconds.
    static constexpr std::uint16_t kReachableTime = 30;
    static constexpr std::uint64_t kDelay = 5;
    static constexpr int kProbes = 3;
    // Ours; seconds.
    static constexpr std::uint16_t kWatchTime = 3;    // one that a route has others beside, in use or not
    static constexpr std::uint64_t kKeepUnused = 60;  // one that nothing was sent to
    static constexpr std::uint64_t kKeepFailed = 20;

    enum class State : std::uint8_t { incomplete, failed, stale, delay, probe, reachable };
    // What is known of a neighbour, in one word: the state in the highest byte, the MAC in the lowest six.
    class Link {
      public:
        explicit Link(std::uint64_t word = 0) noexcept : word_(word) {}
        Link(State state, const MacAddress& mac) noexcept
            : word_(std::uint64_t{static_cast<std::uint8_t>(state)} << 56 | mac.bits()) {}

        State state() const noexcept { return static_cast<State>(word_ >> 56); }
        bool is_known() const noexcept { return state() >= State::stale; }  // its MAC is
        std::uint64_t mac_bits() const noexcept { return word_ & 0xffff'ffff'ffffULL; }
        MacAddress mac() const noexcept {
            MacAddress result;
            result.store(word_);
            return result;
        }
        std::uint64_t word() const noexcept { return word_; }

      private:
        std::uint64_t word_;
    };
    struct Entry {  // a copy, for control
        AttachmentId attachment;
        IpAddress address;
        Link link;
    };
    struct Held {
        Packet packet;
        PortId origin;  // whose account it is on
    };
    struct Question {
        AttachmentId attachment;
        Family family = Family::ipv4;
        Ipv4Address ipv4;
        Ipv6Address ipv6;
        MacAddress to;  // zero: everybody, or the solicited-node group
    };

    // Room for `capacity` neighbours in all and `per_attachment` on one; `tsc_hz` is the TSC's frequency.
    Neighbours(std::size_t capacity, std::size_t per_attachment, std::uint64_t tsc_hz);

    std::uint32_t find(AttachmentId attachment, Ipv4Address address) const noexcept {
        return find(attachment, key_of(address));
    }
    std::uint32_t find(AttachmentId attachment, const Ipv6Address& address) const noexcept;
    // Keeper. kNone when the attachment, or the table, has as many as it may.
    std::uint32_t find_or_add(AttachmentId attachment, Ipv4Address address) noexcept {
        return find_or_add(attachment, key_of(address));
    }
    std::uint32_t find_or_add(AttachmentId attachment, const Ipv6Address& address) noexcept;

    Link link(std::uint32_t neighbour) const noexcept {
        return Link(entries_[NeighbourId(neighbour)].link.load(std::memory_order_acquire));
    }
    bool is_known(std::uint32_t neighbour) const noexcept { return link(neighbour).is_known(); }
    // Changes when the number is given up, or to another.
    std::uint32_t version(std::uint32_t neighbour) const noexcept {
        return entries_[NeighbourId(neighbour)].version.load(std::memory_order_acquire);
    }
    // Any worker, of a stale one: something was sent to it. Writes once until the keeper has seen it.
    void mark_used(std::uint32_t neighbour) noexcept {
        std::atomic<bool>& used = entries_[NeighbourId(neighbour)].used;
        if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
    }

    // The neighbour answered a question of ours: it is reachable. Held packets are then there for release().
    void confirm(std::uint32_t neighbour, const MacAddress& mac, std::uint64_t now) noexcept;
    // It said its MAC address without being asked (RFC 4861 §7.2.3, §7.2.5): a known one that says what is known
    // changes nothing, another becomes stale.
    void hear(std::uint32_t neighbour, const MacAddress& mac, std::uint64_t now) noexcept;
    // Somebody contradicts what is known (RFC 4861 §7.2.5): a reachable one is stale from now on.
    void doubt(std::uint32_t neighbour, std::uint64_t now) noexcept;

    enum class HoldOutcome : std::uint8_t {
        held,
        held_and_ask,  // held; the caller sends the question now
        full,          // as many wait as may
        unresolved,    // it did not answer lately
    };
    // Takes the packet over if the outcome is one of the first two.
    HoldOutcome hold(std::uint32_t neighbour, const Packet& packet, PortId origin, std::uint64_t now) noexcept;

    // Hands every packet that waited for a neighbour that is known by now to `take(Held&)`.
    template <class Take>
    void release(Take&& take) noexcept {
        for (std::size_t i = pending_.size(); i-- > 0;)
            if (is_known(pending_[i].neighbour)) finish(i, take);
    }
    // Asks again, or gives up; probes those that are in use; forgets those that are not: `ask(Question)`,
    // `drop(Held&)`. Call about ten times a second; every entry gets its turn once a second. At most `room` questions:
    // who would be asked then waits for the next call, for silence only counts from those who were asked.
    template <class Ask, class Drop>
    void tick(std::uint64_t now, std::size_t room, Ask&& ask, Drop&& drop) noexcept {
        for (std::size_t i = pending_.size(); i-- > 0;) {
            Pending& pending = pending_[i];
            if (now < pending.next || (room == 0 && pending.asks < kAsks)) continue;
            if (pending.asks >= kAsks) {
                fail(pending.neighbour, now);
                finish(i, drop);
                continue;
            }
            ++pending.asks;
            --room;
            pending.next = now + tsc_hz_;
            ask(question(pending.neighbour));
        }
        const std::size_t count = size();
        for (std::size_t turns = std::min(count, std::max(kTurns, count / 10)); turns > 0 && room > 0; --turns) {
            if (turn_ >= count) turn_ = 0;
            const auto neighbour = static_cast<std::uint32_t>(turn_++);
            if (!age(neighbour, now)) continue;
            --room;
            ask(probe(neighbour));
        }
    }
    // Keeper, as often as tick(): a route has others beside this neighbour, so it is asked whether used or not, and
    // goes on being asked when it is gone; while there is room for a question.
    template <class Ask>
    void watch(std::uint32_t neighbour, std::uint64_t now, bool room, Ask&& ask) noexcept {
        entries_[NeighbourId(neighbour)].watched_until = now + 2 * tsc_hz_;
        if (room && asks_unknown(neighbour, now)) ask(question(neighbour));
    }
    // Keeper: it did not answer when it was last asked, and has said nothing since.
    bool is_gone(std::uint32_t neighbour) const noexcept { return entries_[NeighbourId(neighbour)].gone; }

    // Seconds for which an answer counts on this attachment (RFC 4861's BaseReachableTime). Keeper.
    void set_reachable_time(AttachmentId attachment, std::uint16_t seconds) noexcept {
        reachable_time_[attachment] = seconds;
    }
    // Keeper: whether numbers wait for quiescent points of all workers; and that one has passed since the last call.
    // `hints` are those of the tables that workers read now: what they know of numbers that were given up is erased.
    bool waits_for_grace() const noexcept { return !removed_.empty() || !scrubbed_.empty(); }
    void grace_passed(std::span<std::atomic<std::uint32_t>> hints) noexcept;

    // Gives up every held packet: the hub stops.
    template <class Drop>
    void drop_all(Drop&& drop) noexcept {
        for (std::size_t i = pending_.size(); i-- > 0;) finish(i, drop);
    }
    Question question(std::uint32_t neighbour) const noexcept;
    bool has_pending() const noexcept { return !pending_.empty(); }

    // Control: how many numbers were ever given, and what one of them stands for; nullopt when it is nobody's now.
    std::size_t size() const noexcept { return count_.load(std::memory_order_acquire); }
    std::optional<Entry> entry(std::size_t index) const;

  private:
    static constexpr std::size_t kTurns = 256;
    static constexpr std::uint32_t kTombstone = kNone;  // in the index: go on looking behind it

    struct Slot {
        // The key: IPv4 as ::ffff:a.b.c.d. Written while the version is even and nobody can find it.
        std::atomic<std::uint64_t> high{0};
        std::atomic<std::uint64_t> low{0};
        std::atomic<AttachmentId::Value> attachment{0};
        std::atomic<bool> used{false};          // any worker sets it, the keeper resets it
        std::atomic<std::uint32_t> version{0};  // even: nobody's
        std::atomic<std::uint64_t> link{0};
        // The keeper's own.
        std::uint64_t since = 0;  // when its state began, or was confirmed
        std::uint64_t next = 0;   // when it is asked again, or no longer rests
        std::uint64_t watched_until = 0;
        std::uint16_t pending = 0;  // its place among them + 1
        std::uint8_t asks = 0;
        bool gone = false;
    };
    struct Pending {
        std::uint32_t neighbour = kNone;
        int asks = 0;
        std::uint64_t next = 0;
        std::size_t count = 0;
        std::array<Held, kHold> held;
    };

    static Ipv6Address key_of(Ipv4Address address) noexcept { return {0, 0xffff'0000'0000ULL | address.value()}; }
    static bool is(const Slot& slot, AttachmentId attachment, const Ipv6Address& address) noexcept {
        return slot.low.load(std::memory_order_relaxed) == address.low() &&
               slot.high.load(std::memory_order_relaxed) == address.high() &&
               slot.attachment.load(std::memory_order_relaxed) == attachment.value();
    }
    static AttachmentId attachment_of(const Slot& slot) noexcept {
        return AttachmentId(slot.attachment.load(std::memory_order_relaxed));
    }
    bool is_alive(std::uint32_t neighbour) const noexcept { return version(neighbour) % 2 == 1; }
    void set(std::uint32_t neighbour, const Link& link, std::uint64_t now) noexcept;
    std::size_t bucket_of(AttachmentId attachment, const Ipv6Address& address) const noexcept;
    std::uint64_t reachable_ticks(std::uint32_t neighbour, bool watched) const noexcept;
    Question probe(std::uint32_t neighbour) const noexcept;
    bool age(std::uint32_t neighbour, std::uint64_t now) noexcept;           // true: ask it, by unicast
    bool asks_unknown(std::uint32_t neighbour, std::uint64_t now) noexcept;  // true: ask everybody for it
    void fail(std::uint32_t neighbour, std::uint64_t now) noexcept;
    void remove(std::uint32_t neighbour) noexcept;

    template <class Take>
    void finish(std::size_t index, Take&& take) noexcept {
        Pending& pending = pending_[index];
        for (std::size_t i = 0; i < pending.count; ++i) take(pending.held[i]);
        Slot& slot = entries_[NeighbourId(pending.neighbour)];
        slot.pending = 0;
        --pending_on_[attachment_of(slot)];
        if (index + 1 != pending_.size()) {
            pending = pending_.back();
            entries_[NeighbourId(pending.neighbour)].pending = static_cast<std::uint16_t>(index + 1);
        }
        pending_.pop_back();
    }

    std::uint64_t tsc_hz_;
    std::size_t capacity_;
    std::size_t per_attachment_;
    ByNumber<NeighbourId, Slot> entries_;
    std::atomic<std::size_t> count_{0};
    std::size_t buckets_;  // a power of two, twice the capacity at least
    // Open addressing; 0 is empty, otherwise the entry's number + 1, written when the entry is whole, or kTombstone.
    std::unique_ptr<std::atomic<std::uint32_t>[]> index_;
    ByAttachment<std::uint32_t> per_attachment_count_;
    ByAttachment<std::uint16_t> pending_on_;
    ByAttachment<std::uint16_t> reachable_time_;  // 0: not told
    std::vector<Pending> pending_;                // capacity kPending, never more
    // Numbers on their way to be given again; each has room for all.
    std::vector<std::uint32_t> removed_, scrubbed_, free_;
    std::size_t turn_ = 0;
};

}  // namespace sekisho::dataplane

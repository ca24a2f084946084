// The stations that the hub sends frames to: their MAC addresses, and the few packets that wait for one.
//
// An entry is (attachment, address); its number is stable, so generations may keep it as a hint. An unknown neighbour
// holds up to kHold packets while it is asked, once a second, kAsks times (RFC 1122 §2.3.2.2, RFC 4861 §7.2.2); then
// they are dropped, and it rests for a second before the next packet asks again. Questions are the caller's to send.
// Written by one worker, the keeper. Other workers may call find(), link() and is_reachable() at any time, and control
// entry(): keys do not change once they are in the index or counted, and state and MAC are one atomic word.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/packet.hpp"
#include "net/address.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

class Neighbours {
  public:
    static constexpr std::uint32_t kNone = 0xffff'ffffU;
    static constexpr std::size_t kHold = 8;       // packets that wait for one neighbour
    static constexpr std::size_t kPending = 512;  // neighbours that are being asked at once
    static constexpr int kAsks = 3;

    enum class State : std::uint8_t { incomplete, reachable, failed };
    // What is known of a neighbour, in one word: the state in the highest byte, the MAC in the lowest six.
    class Link {
      public:
        explicit Link(std::uint64_t word = 0) noexcept : word_(word) {}
        Link(State state, const MacAddress& mac) noexcept
            : word_(std::uint64_t{static_cast<std::uint8_t>(state)} << 56 | mac.bits()) {}

        State state() const noexcept { return static_cast<State>(word_ >> 56); }
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
        return Link(entries_[neighbour].link.load(std::memory_order_acquire));
    }
    bool is_reachable(std::uint32_t neighbour) const noexcept { return link(neighbour).state() == State::reachable; }

    // The neighbour said that this is its MAC address. Held packets are then there for release().
    void learn(std::uint32_t neighbour, const MacAddress& mac) noexcept;

    enum class HoldOutcome : std::uint8_t {
        held,
        held_and_ask,  // held; the caller sends the question now
        full,          // as many wait as may
        unresolved,    // it did not answer lately
    };
    // Takes the packet over if the outcome is one of the first two.
    HoldOutcome hold(std::uint32_t neighbour, const Packet& packet, PortId origin, std::uint64_t now) noexcept;

    // Hands every packet that waited for a neighbour that is reachable by now to `take(Held&)`.
    template <class Take>
    void release(Take&& take) noexcept {
        for (std::size_t i = pending_.size(); i-- > 0;)
            if (is_reachable(pending_[i].neighbour)) finish(i, take);
    }
    // Asks again, or gives up: `ask(Question)`, `drop(Held&)`. Call about ten times a second.
    template <class Ask, class Drop>
    void tick(std::uint64_t now, Ask&& ask, Drop&& drop) noexcept {
        for (std::size_t i = pending_.size(); i-- > 0;) {
            Pending& pending = pending_[i];
            if (now < pending.next) continue;
            if (pending.asks >= kAsks) {
                fail(pending.neighbour, now);
                finish(i, drop);
                continue;
            }
            ++pending.asks;
            pending.next = now + tsc_hz_;
            ask(question(pending.neighbour));
        }
    }
    // Gives up every held packet: the hub stops.
    template <class Drop>
    void drop_all(Drop&& drop) noexcept {
        for (std::size_t i = pending_.size(); i-- > 0;) finish(i, drop);
    }
    Question question(std::uint32_t neighbour) const noexcept;
    bool has_pending() const noexcept { return !pending_.empty(); }

    // Control: how many entries there are, and one of them.
    std::size_t size() const noexcept { return count_.load(std::memory_order_acquire); }
    Entry entry(std::size_t index) const;

  private:
    struct Slot {
        AttachmentId attachment;
        Ipv6Address address;  // IPv4 as ::ffff:a.b.c.d
        std::atomic<std::uint64_t> link{
            0};  // state in the highest byte, the MAC in the lowest six as they lie in memory
        std::uint64_t rests_until = 0;
        std::uint16_t pending = kNotPending;
    };
    struct Pending {
        std::uint32_t neighbour = kNone;
        int asks = 0;
        std::uint64_t next = 0;
        std::size_t count = 0;
        std::array<Held, kHold> held;
    };
    static constexpr std::uint16_t kNotPending = 0xffff;

    static Ipv6Address key_of(Ipv4Address address) noexcept { return {0, 0xffff'0000'0000ULL | address.value()}; }
    void set_link(std::uint32_t neighbour, const Link& link) noexcept {
        entries_[neighbour].link.store(link.word(), std::memory_order_release);
    }
    std::size_t bucket_of(AttachmentId attachment, const Ipv6Address& address) const noexcept;
    void fail(std::uint32_t neighbour, std::uint64_t now) noexcept;

    template <class Take>
    void finish(std::size_t index, Take&& take) noexcept {
        Pending& pending = pending_[index];
        for (std::size_t i = 0; i < pending.count; ++i) take(pending.held[i]);
        entries_[pending.neighbour].pending = kNotPending;
        if (index + 1 != pending_.size()) {
            pending = pending_.back();
            entries_[pending.neighbour].pending = static_cast<std::uint16_t>(index);
        }
        pending_.pop_back();
    }

    std::uint64_t tsc_hz_;
    std::size_t capacity_;
    std::size_t per_attachment_;
    std::unique_ptr<Slot[]> entries_;
    std::atomic<std::size_t> count_{0};
    std::size_t buckets_;  // a power of two
    // Open addressing; 0 is empty, otherwise the entry's number + 1, written when the entry is whole.
    std::unique_ptr<std::atomic<std::uint32_t>[]> index_;
    std::vector<std::uint32_t> per_attachment_count_;
    std::vector<Pending> pending_;  // capacity kPending, never more
};

}  // namespace sekisho::dataplane

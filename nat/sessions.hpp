// The sessions of one worker and one family: opened within budgets, touched by packets, ended by time or by hand.
//
// Above the table it knows what a record means: its twin, its owner, its state and its time. It allocates nothing after
// it was made. A session that ends is told to `ended(record)` once, whichever way it ends: for translated ones that is
// where the port goes back. Owner's thread only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "nat/session.hpp"
#include "nat/session_table.hpp"
#include "nat/timeouts.hpp"

namespace sekisho::nat {

template <class Record>
class Sessions {
  public:
    using Key = decltype(Record::key);
    using Address = typename Key::Address;

    struct Opened {
        Slot slot = kNoSlot;
        SessionRefusal refusal = SessionRefusal::none;
    };

    // `budget` and `timeouts` are the worker's, of both families, and outlive this.
    Sessions(std::size_t capacity, SessionBudget& budget, const Timeouts& timeouts)
        : table_(capacity), budget_(budget), timeouts_(timeouts) {}

    const SessionTable<Record>& table() const noexcept { return table_; }
    std::size_t records() const noexcept { return table_.size(); }
    Record& operator[](Slot slot) noexcept { return table_[slot]; }
    const Record& operator[](Slot slot) const noexcept { return table_[slot]; }
    Slot find(const Key& key) const noexcept { return table_.find(key); }
    // See nat/session_table.hpp.
    Place look_for(const Key& key) const noexcept { return table_.look_for(key); }
    void match(const Place* places, Slot* slots, std::size_t count) const noexcept {
        table_.match(places, slots, count);
    }
    Slot settle(const Key& key, const Place& place, Slot slot) const noexcept {
        return table_.settle(key, place, slot);
    }
    void expect(const Key& key) const noexcept { table_.expect(key); }
    void expect_place(const Key& key) const noexcept { table_.expect_place(key); }

    // A flow that is not translated, under its canonical key, which is not there yet. Slots found before are no longer
    // good.
    Opened open(const Canonical<Key>& flow, const SessionOwner& owner, TcpState state, std::uint32_t epoch,
                std::uint32_t now) noexcept {
        if (const auto refusal = budget_.take(owner); refusal != SessionRefusal::none) return {kNoSlot, refusal};
        const Slot slot = insert(flow.key, now, state, [](Slot, Slot) noexcept {});
        if (slot == kNoSlot) {
            budget_.give_back(owner);
            return {kNoSlot, SessionRefusal::table_full};
        }
        fill(slot, owner, state, epoch, now, flow.turned ? SessionMarks::kTurned : 0);
        return {slot, SessionRefusal::none};
    }

    // A translated one: packets that arrive as `forward` leave by `to_forward`, those that arrive as `reverse` by
    // `to_reverse`. All of it or nothing. The slot is the forward one's.
    Opened open(const Key& forward, const Rewrite<Address>& to_forward, const Key& reverse,
                const Rewrite<Address>& to_reverse, const SessionOwner& owner, TcpState state, std::uint32_t epoch,
                std::uint32_t now) noexcept {
        if (const auto refusal = budget_.take(owner); refusal != SessionRefusal::none) return {kNoSlot, refusal};
        Slot first = insert(forward, now, state, [](Slot, Slot) noexcept {});
        if (first != kNoSlot) {
            fill(first, owner, state, epoch, now, SessionMarks::kTranslated);
            const Slot second = insert(reverse, now, state, [&](Slot from, Slot to) noexcept {
                if (from == first) first = to;
            });
            if (second != kNoSlot) {
                fill(second, owner, state, epoch, now, SessionMarks::kTranslated | SessionMarks::kReverse);
                table_[first].core.twin = second;
                table_[second].core.twin = first;
                table_[first].rewrite = to_forward;
                table_[second].rewrite = to_reverse;
                return {first, SessionRefusal::none};
            }
            table_.erase(first);
        }
        budget_.give_back(owner);
        return {kNoSlot, SessionRefusal::table_full};
    }

    // A packet of this record's: counted, its time renewed, the state moved on. `refreshes`: RFC 4787 REQ-6, whether
    // packets of its direction keep the session.
    void touch(Slot slot, Direction direction, std::uint8_t tcp_flags, std::uint32_t bytes, std::uint32_t now,
               bool refreshes = true) noexcept {
        Record& record = table_[slot];
        ++record.core.packets;
        record.core.bytes += bytes;
        if (refreshes) record.core.seen = now;
        if (direction == Direction::reverse && !record.core.is(SessionMarks::kReplied)) [[unlikely]]
            record.core.marks |= SessionMarks::kReplied;
        if (record.key.protocol == kProtocolTcp) {
            const TcpState state = next(record.core.state, tcp_flags, direction);
            if (state != record.core.state) [[unlikely]]
                change_state(slot, state, now);
        }
    }

    // Ends it, both records.
    template <class Ended>
    void close(Slot slot, Ended&& ended) noexcept {
        const Slot twin = table_[slot].core.twin;
        ended(std::as_const(table_[slot]));
        budget_.give_back(table_[slot].core.owner());
        if (twin != slot) table_.erase(twin);
        table_.erase(slot);
    }
    void close(Slot slot) noexcept {
        close(slot, [](const Record&) noexcept {});
    }

    // Ends those whose time is over, among the next `buckets` buckets. A session lives at least as long as its timeout
    // says since its latest packet, and a second more than a whole sweep at most.
    template <class Ended>
    void expire(std::uint32_t now, std::uint32_t buckets, Ended&& ended) noexcept {
        table_.sweep(now, buckets, [&](Slot slot) noexcept {
            const std::uint32_t end = end_of(slot);
            if (static_cast<std::int32_t>(now - end) > 0)
                close(slot, ended);
            else
                table_.look_again(slot, end + 1);
        });
    }
    // When it ends if no packet comes.
    std::uint32_t end_of(Slot slot) const noexcept {
        const Record& record = table_[slot];
        std::uint32_t seen = record.core.seen;
        if (record.core.twin != slot) {
            const std::uint32_t other = table_[record.core.twin].core.seen;
            if (static_cast<std::int32_t>(other - seen) > 0) seen = other;
        }
        return seen + timeouts_.of(record.key.protocol, record.core.state);
    }

    template <class Visit>
    void for_each(Visit&& visit) {
        table_.for_each(std::forward<Visit>(visit));
    }
    template <class Visit>
    void for_each_in(std::uint32_t bucket, Visit&& visit) {
        table_.for_each_in(bucket, std::forward<Visit>(visit));
    }
    std::uint32_t buckets() const noexcept { return table_.buckets(); }
    const Timeouts& timeouts() const noexcept { return timeouts_; }

  private:
    template <class Moved>
    Slot insert(const Key& key, std::uint32_t now, TcpState state, Moved&& moved) noexcept {
        return table_.insert(key, now + timeouts_.of(key.protocol, state) + 1, [&](Slot from, Slot to) noexcept {
            Slot& twin = table_[to].core.twin;
            if (twin == from)
                twin = to;
            else
                table_[twin].core.twin = to;
            moved(from, to);
        });
    }
    void fill(Slot slot, const SessionOwner& owner, TcpState state, std::uint32_t epoch, std::uint32_t now,
              unsigned marks) noexcept {
        SessionCore& core = table_[slot].core;
        core.twin = slot;
        core.seen = now;
        core.epoch = epoch;
        core.institution = owner.institution;
        core.operator_id = owner.operator_id;
        core.state = state;
        core.marks = static_cast<std::uint8_t>(marks);
    }
    // A shorter time may begin, which the table must not learn of when the longer one ends.
    [[gnu::noinline]] void change_state(Slot slot, TcpState state, std::uint32_t now) noexcept {
        const Slot twin = table_[slot].core.twin;
        for (const Slot one : {slot, twin}) {
            table_[one].core.state = state;
            table_.look_again(one, now + timeouts_.of(state) + 1);
        }
    }

    SessionTable<Record> table_;
    SessionBudget& budget_;
    const Timeouts& timeouts_;
};

}  // namespace sekisho::nat

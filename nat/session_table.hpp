// The session table: fixed size, one owner thread, two choices of bucket for each record, no pointers.
//
// Each worker has its own for each class. Memory is taken once, in huge pages where the system grants them, and comes
// as zeros, so an empty table costs address space only. A record is found by its key, a batch at a time; it may move
// when others are inserted, so a slot is good until the next insert(). What a record means is the caller's business,
// as is when it ends: sweep() only says which are due.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "nat/pages.hpp"
#include "nat/session_kernel.hpp"
#include "net/prefetch.hpp"

namespace sekisho::nat {

// What does not depend on the record.
class SessionTableBase {
  public:
    std::size_t size() const noexcept { return size_; }
    std::size_t places() const noexcept { return std::size_t{view_.buckets} * kPlaces; }
    std::uint32_t buckets() const noexcept { return view_.buckets; }
    std::size_t bytes() const noexcept { return pages_.bytes(); }
    bool holds(Slot slot) const noexcept {
        return bucket_of(slot) < view_.buckets && lines_[bucket_of(slot)].signature[place_of(slot)] != 0;
    }
    // The record is to be looked at again at `second`, 32,767 seconds from now at most; where that is 0 modulo 2^16, a
    // second later.
    void look_again(Slot slot, std::uint32_t second) noexcept {
        const auto due = static_cast<std::uint16_t>(second);
        dues_[bucket_of(slot)].due[place_of(slot)] = static_cast<std::uint16_t>(due + (due == 0 ? 1 : 0));
    }

  protected:
    SessionTableBase(std::size_t capacity, std::size_t record_bytes);

    std::uint32_t matches(std::uint32_t bucket, std::uint16_t signature) const noexcept {
        return session_kernel().matches(lines_[bucket], signature);
    }
    void occupy(Slot slot, const Place& place) noexcept;
    void vacate(Slot slot, const Place& place) noexcept;

    SessionView view_;
    Pages pages_;
    SignatureLine* lines_;
    DueLine* dues_;
    std::size_t size_ = 0;
    std::uint32_t hand_ = 0;
};

template <class Record>
class SessionTable : public SessionTableBase {
  public:
    using Key = decltype(Record::key);
    static_assert(sizeof(Record) == kRecordBytes<Key> && alignof(Record) == 64 && offsetof(Record, key) == 0);
    static_assert(std::is_trivially_copyable_v<Record>);

    // Room for at least `capacity` records at the load at which bursts are found quickest (7 of 10 places).
    explicit SessionTable(std::size_t capacity) : SessionTableBase(capacity, sizeof(Record)) {
        records_ = reinterpret_cast<Record*>(const_cast<std::byte*>(view_.records));
    }

    Record& operator[](Slot slot) noexcept { return records_[record_of(slot)]; }
    const Record& operator[](Slot slot) const noexcept { return records_[record_of(slot)]; }

    // A lookup is three steps, each for a whole burst, so that what the next one reads is on its way meanwhile.
    // 1. Where the key belongs; the signatures there are on their way.
    Place look_for(const Key& key) const noexcept {
        const Place place = place_of(hash_of(key, view_.seed), view_.buckets);
        prefetch(&lines_[place.first]);
        return place;
    }
    // 2. Of each a record that may be its own, which is on its way.
    void match(const Place* places, Slot* slots, std::size_t count) const noexcept {
        session_kernel().match(view_, places, slots, count);
    }
    // 3. Where it is; kNoSlot: nowhere.
    Slot settle(const Key& key, const Place& place, Slot slot) const noexcept {
        if (slot != kNoSlot && same_key((*this)[slot].key, key)) [[likely]]
            return slot;
        if (slot == kNoSlot && lines_[place.first].overflow == 0) return kNoSlot;
        return find_thoroughly(key, place);
    }

    // All three, for any number of keys. Each step is one group of keys behind the step before it, so that neither
    // signatures nor records are many at once (net/prefetch.hpp).
    static constexpr std::size_t kTogether = 24;
    void find(const Key* keys, Slot* slots, std::size_t count) const noexcept {
        std::array<Place, 4 * kTogether> places;  // of the latest groups
        std::size_t looked = 0, matched = 0, settled = 0;
        const auto match_group = [&] {
            const std::size_t many = std::min(kTogether, looked - matched);
            match(&places[matched % places.size()], &slots[matched], many);
            matched += many;
        };
        const auto settle_group = [&] {
            for (const std::size_t end = std::min(settled + kTogether, matched); settled < end; ++settled)
                slots[settled] = settle(keys[settled], places[settled % places.size()], slots[settled]);
        };
        while (looked < count) {
            for (const std::size_t end = std::min(looked + kTogether, count); looked < end; ++looked)
                places[looked % places.size()] = look_for(keys[looked]);
            if (looked - matched > kTogether) match_group();
            if (matched - settled > kTogether) settle_group();
        }
        while (matched < count) match_group();
        while (settled < count) settle_group();
    }
    Slot find(const Key& key) const noexcept {
        const Place place = look_for(key);
        Slot slot;
        match(&place, &slot, 1);
        return settle(key, place, slot);
    }

    // A record of this key is to be inserted soon: its bucket's lines are on their way.
    void expect(const Key& key) const noexcept {
        const Place place = place_of(hash_of(key, view_.seed), view_.buckets);
        prefetch(&lines_[place.first]);
        prefetch_to_write(&dues_[place.first]);
    }
    // The same, once the signatures have come: and the record's own.
    void expect_place(const Key& key) const noexcept {
        const Place place = place_of(hash_of(key, view_.seed), view_.buckets);
        prefetch_to_write(&dues_[place.first]);
        const std::uint32_t free = matches(place.first, 0);
        if (free != 0) prefetch_to_write(&records_[record_of(slot_at(place.first, first_of(free)))]);
    }

    // A new record, zero but for its key, which must not be there yet. kNoSlot when both its buckets are full and none
    // of the first one's records can give way. `moved(from, to)` is told of a record that did.
    template <class Moved>
    Slot insert(const Key& key, std::uint32_t due, Moved&& moved) noexcept {
        const Place place = place_of(hash_of(key, view_.seed), view_.buckets);
        std::uint32_t free = matches(place.first, 0);
        std::uint32_t bucket = place.first;
        if (free == 0) {
            bucket = place.second(view_.buckets);
            free = matches(bucket, 0);
            if (free == 0) {
                bucket = place.first;
                free = make_room(bucket, moved);
                if (free == 0) free = make_room(bucket = place.second(view_.buckets), moved);
                if (free == 0) return kNoSlot;
            }
        }
        const Slot slot = slot_at(bucket, first_of(free));
        occupy(slot, place);
        (*this)[slot] = Record{};
        (*this)[slot].key = key;
        look_again(slot, due);
        return slot;
    }
    Slot insert(const Key& key, std::uint32_t due) noexcept {
        return insert(key, due, [](Slot, Slot) noexcept {});
    }

    void erase(Slot slot) noexcept { vacate(slot, place_of(hash_of((*this)[slot].key, view_.seed), view_.buckets)); }

    // Looks at the next `buckets` buckets, from where it ended the last time, and calls `visit(slot)` for every record
    // that is due at `now` (seconds): it erases it, or says when to look again. It may erase others too.
    template <class Visit>
    void sweep(std::uint32_t now, std::uint32_t buckets, Visit&& visit) noexcept {
        const auto time = static_cast<std::uint16_t>(now);
        const SessionKernel& kernel = session_kernel();
        for (std::uint32_t n = 0; n < buckets; ++n) {
            const std::uint32_t bucket = hand_;
            hand_ = hand_ + 1 == view_.buckets ? 0 : hand_ + 1;
            for (std::uint32_t due = kernel.due(dues_[bucket], time); due != 0; due &= due - 1) {
                const Slot slot = slot_at(bucket, first_of(due));
                if (holds(slot)) visit(slot);
            }
        }
    }

    // Every record, in no order that means anything. `visit` may erase what it is given.
    template <class Visit>
    void for_each(Visit&& visit) {
        for (std::uint32_t bucket = 0; bucket < view_.buckets; ++bucket) for_each_in(bucket, visit);
    }
    // Those of one bucket, likewise.
    template <class Visit>
    void for_each_in(std::uint32_t bucket, Visit&& visit) {
        for (unsigned place = 0; place < kPlaces; ++place)
            if (holds(slot_at(bucket, place))) visit(slot_at(bucket, place));
    }

  private:
    // For the few that need more than one look: a signature that two keys share, or a bucket that was full.
    [[gnu::noinline]] Slot find_thoroughly(const Key& key, const Place& place) const noexcept {
        const Slot slot = find_in(place.first, place.signature(), key);
        if (slot != kNoSlot || lines_[place.first].overflow == 0) return slot;
        return find_in(place.second(view_.buckets), place.signature(), key);
    }
    Slot find_in(std::uint32_t bucket, std::uint16_t signature, const Key& key) const noexcept {
        for (std::uint32_t match = matches(bucket, signature); match != 0; match &= match - 1) {
            const Slot slot = slot_at(bucket, first_of(match));
            if (same_key((*this)[slot].key, key)) return slot;
        }
        return kNoSlot;
    }

    static unsigned first_of(std::uint32_t places) noexcept { return static_cast<unsigned>(std::countr_zero(places)); }

    // Moves one record of a full bucket to its other bucket, if there is one that can go; the place that is free then.
    template <class Moved>
    std::uint32_t make_room(std::uint32_t bucket, Moved&& moved) noexcept {
        for (unsigned i = 0; i < kPlaces; ++i) {
            const Slot from = slot_at(bucket, i);
            const Place place = place_of(hash_of((*this)[from].key, view_.seed), view_.buckets);
            const std::uint32_t other = place.first == bucket ? place.second(view_.buckets) : place.first;
            if (other == bucket) continue;
            const std::uint32_t free = matches(other, 0);
            if (free == 0) continue;
            const Slot to = slot_at(other, first_of(free));
            const std::uint16_t due = dues_[bucket].due[i];
            (*this)[to] = (*this)[from];
            vacate(from, place);
            occupy(to, place);
            dues_[other].due[place_of(to)] = due;
            moved(from, to);
            return 1U << i;
        }
        return 0;
    }

    Record* records_;
};

}  // namespace sekisho::nat

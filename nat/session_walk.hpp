// The lookup itself, once for all versions: a rolling pipeline over the batch, so that the lines of one key are on
// their way while others are worked on.
//
// Key i + 64 is hashed and its signatures asked for; key i + 32 is matched and its record asked for; key i is compared
// with its record; of fewer than 32 keys all, one step after the other. There is no branch on what was found but for
// what is rare: a second bucket, a signature that two keys share. Included by the session_*.cpp versions only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>

#include "nat/session_kernel.hpp"
#include "net/prefetch.hpp"

namespace sekisho::nat {

// All of a bucket's places whose signature is this one and whose record has this key; at most one does.
template <class Isa, class Key>
Slot find_in(const SessionView& view, std::uint32_t bucket, std::uint16_t signature, const Key& key) noexcept {
    for (std::uint32_t match = Isa::match(view.lines[bucket], signature); match != 0; match &= match - 1) {
        const Slot slot = slot_at(bucket, static_cast<unsigned>(std::countr_zero(match)));
        if (same_key(*reinterpret_cast<const Key*>(view.records + record_of(slot) * kRecordBytes<Key>), key))
            return slot;
    }
    return kNoSlot;
}

// For the few that need more than one look.
template <class Isa, class Key>
[[gnu::noinline]] Slot find_thoroughly(const SessionView& view, const Key& key) noexcept {
    const Place place = place_of(hash_of(key, view.seed), view.buckets);
    const Slot slot = find_in<Isa>(view, place.first, place.signature, key);
    if (slot != kNoSlot || view.lines[place.first].overflow == 0) return slot;
    return find_in<Isa>(view, place.second, place.signature, key);
}

template <class Isa, class Key>
void find_in_table(const SessionView& view, const Key* keys, Slot* slots, std::size_t count) noexcept {
    constexpr std::size_t kMostAhead = 32;
    constexpr std::size_t kMost = 256;
    std::array<Place, kMost> places;
    std::array<std::uint16_t, kMost> again;  // those whose first look did not settle it
    while (count != 0) {
        const std::size_t here = std::min(count, kMost);
        const std::size_t ahead = std::min(here, kMostAhead);
        std::size_t open = 0;
        const auto hash = [&](std::size_t i) {
            places[i] = place_of(hash_of(keys[i], view.seed), view.buckets);
            prefetch(&view.lines[places[i].first]);
        };
        const auto match = [&](std::size_t i) {
            const Place& place = places[i];
            const SignatureLine& line = view.lines[place.first];
            const std::uint32_t found = Isa::match(line, place.signature);
            if (found != 0) [[likely]] {
                slots[i] = slot_at(place.first, static_cast<unsigned>(std::countr_zero(found)));
                prefetch_to_write(view.records + record_of(slots[i]) * kRecordBytes<Key>);
                return;
            }
            slots[i] = kNoSlot;
            if (line.overflow == 0) [[likely]]
                return;
            prefetch(&view.lines[place.second]);
            again[open++] = static_cast<std::uint16_t>(i);
        };
        const auto settle = [&](std::size_t i) {
            if (slots[i] == kNoSlot) return;
            const std::byte* const record = view.records + record_of(slots[i]) * kRecordBytes<Key>;
            if (!same_key(*reinterpret_cast<const Key*>(record), keys[i])) [[unlikely]]
                again[open++] = static_cast<std::uint16_t>(i);
        };
        for (std::size_t i = 0; i < here + 2 * ahead; ++i) {
            if (i < here) hash(i);
            if (i >= ahead && i - ahead < here) match(i - ahead);
            if (i >= 2 * ahead) settle(i - 2 * ahead);
        }
        for (std::size_t n = 0; n < open; ++n) slots[again[n]] = find_thoroughly<Isa>(view, keys[again[n]]);
        keys += here;
        slots += here;
        count -= here;
    }
}

template <class Isa>
constexpr SessionKernel session_kernel_for() noexcept {
    return {&find_in_table<Isa, SessionKey4>, &find_in_table<Isa, SessionKey6>, &Isa::due};
}

}  // namespace sekisho::nat

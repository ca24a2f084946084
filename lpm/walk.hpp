// One batch on its way down a lookup structure, the same for all versions.
//
// Every step is a loop over the batch whose loads wait for none of its own, so that a batch waits for memory once a
// level and not once an address. Prefetches stand only where loads would be few: of a batch that is asked for at once
// most are forgotten (net/prefetch.hpp). There is no branch on what was found: all take a step that most need, and who
// is not done after that is gathered in queues; the last few are followed one by one. Included by lpm/kernel.hpp only;
// readers' threads; no allocation.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "lpm/key_bits.hpp"
#include "lpm/kinds.hpp"
#include "lpm/lookup.hpp"
#include "lpm/one_address.hpp"
#include "lpm/steps.hpp"
#include "net/prefetch.hpp"

namespace sekisho::lpm {

// One batch on its way down one lookup structure. Lengths and pointers are locals of each loop: as members they would
// be written to memory once an address, and waited for.
template <class Isa, class Key>
class Walk {
  public:
    static constexpr std::size_t kMost = kMostOfBatch;

    Walk(const Lookup& lookup, const Key* keys, Row* rows, std::size_t count) noexcept
        : base_(lookup.base), keys_(keys), rows_(rows), count_(count) {}

    // Batches of fewer are done address by address: steps that all take would cost more than they save.
    static constexpr std::size_t kFewest = 8;
    template <class HeadOf>
    [[gnu::always_inline]] void one_by_one(const HeadOf& head_of) noexcept {
        for (std::size_t i = 0; i < count_; ++i) rows_[i] = row_in<Isa>(base_, head_of(i), keys_[i]);
    }

    // Each in a table of its own, whose head is `head_of(i)`.
    template <class HeadOf>
    [[gnu::always_inline]] void through_many(const HeadOf& head_of) noexcept {
        Bits bits[kMost];
        Bits firsts[kMost];
        std::uint32_t places[kMost];
        std::uint32_t shapes[kMost];
        std::uint32_t positions[kMost];
        WideWord words[kMost];  // of wide roots
        Value found[kMost];
        std::size_t wide = 0;
        const std::size_t count = count_;
        for (std::size_t i = 0; i < count; ++i) {
            const TableHead& head = head_of(i);
            firsts[i] = static_cast<Bits>(head.first >> (64 - kBits));
            places[i] = head.root;
            shapes[i] = shape_of(head);
            bits[i] = bits_at_once(keys_[i]);
        }
        std::uint32_t any_wide = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const Shape shape(shapes[i]);
            const Bits in_region = (bits[i] - firsts[i]) >> (shape.shift - (64 - kBits));
            const auto slot = static_cast<std::uint32_t>(std::min<Bits>(in_region, Bits{1} << shape.bits));
            places[i] = places[i] * kValuesOfUnit + (slot << shape.is_wide);
            positions[i] = shape.position;
            any_wide |= shape.is_wide;
        }
        for (std::size_t i = 0; i < count; ++i) prefetch(value_at_place(places[i]));
        if (any_wide != 0)
            for (std::size_t i = 0; i < count; ++i) {
                wide_[wide] = static_cast<std::uint16_t>(i);
                wide += Shape(shapes[i]).is_wide;
            }
        if constexpr (!kIpv4)
            for (std::size_t k = 0; k < wide; ++k) {
                const std::size_t i = wide_[k];
                const std::uint32_t place = place_in_top(load_slot<WideWord>(value_at_place(places[i])),
                                                         static_cast<std::uint32_t>(bits[i] >> 32));
                const std::uint32_t grouped = all_ones_if(place != 0);
                places[i] ^= (places[i] ^ place * kValuesOfWord) & grouped;
                positions[i] += (kGroupPosition - kTopPosition) & grouped;
                prefetch(value_at_place(places[i]));
            }
        for (std::size_t k = 0; k < wide; ++k) {
            const std::size_t i = wide_[k];
            words[i] = load_slot<WideWord>(value_at_place(places[i]));
            places[i] = place_in_word(words[i], static_cast<std::uint32_t>(bits[i] >> (kBits - kSlotsEnd)));
        }
        fetch_and_ask(base_, places, found, count_);
        for (std::size_t k = 0; k < wide; ++k) {
            const std::size_t i = wide_[k];
            found[i] ^= (found[i] ^ static_cast<Value>(words[i] >> 32)) & all_ones_if(places[i] == 0);
        }
        settle_found(bits, found, positions);
    }

    // All in one table, whose root is not wide.
    [[gnu::always_inline]] void through(const TableHead& head) noexcept {
        const Key* __restrict keys = keys_;
        const std::size_t count = count_;
        const auto first = static_cast<Bits>(head.first >> (64 - kBits));
        const auto end = static_cast<Bits>(Bits{1} << head.bits);
        const unsigned shift = head.shift - (64 - kBits);
        Bits bits[kMost];
        std::uint32_t places[kMost];
        std::uint32_t positions[kMost];
        Value found[kMost];
        for (std::size_t i = 0; i < count; ++i) bits[i] = bits_at_once(keys[i]);
        for (std::size_t i = 0; i < count; ++i)
            places[i] = static_cast<std::uint32_t>(std::min<Bits>((bits[i] - first) >> shift, end));
        fetch(at_unit(head.root), places, found, count);
        for (std::size_t i = 0; i < count; ++i) positions[i] = head.position;
        settle_found(bits, found, positions);
    }

    // All in one table, whose root is wide.
    [[gnu::always_inline]] void through_wide(const TableHead& head) noexcept {
        if constexpr (kIpv4)
            through_words(head);
        else
            through_top(head);
    }

  private:
    // Addresses by index; room for one more than there are: a push that is not kept still writes.
    using List = std::uint16_t[kMost + 1];

    static constexpr bool kIpv4 = std::is_same_v<Key, Key4>;
    using Bits = std::conditional_t<kIpv4, std::uint32_t, std::uint64_t>;
    static constexpr unsigned kBits = 8 * sizeof(Bits);
    static constexpr unsigned kSlotsEnd = kEndOfSlots<Key>;

    // As through(), from words.
    [[gnu::always_inline]] void through_words(const TableHead& head) noexcept {
        const std::byte* const root = at_unit(head.root);
        const Key* __restrict keys = keys_;
        const std::size_t count = count_;
        WideWord words[kMost];
        std::uint32_t slots[kMost];
        Value found[kMost];
        const auto word_of = [root](Key key) { return root + std::size_t{key >> (32 - kWideBits)} * sizeof(WideWord); };
        for (std::size_t i = 0; i < count; ++i) prefetch(word_of(keys[i]));
        for (std::size_t i = 0; i < count; ++i) words[i] = load_slot<WideWord>(word_of(keys[i]));
        for (std::size_t i = 0; i < count; ++i) slots[i] = keys[i] >> (32 - kWidePosition);
        find_in_words(base_, words, slots, found, count_);
        settle_found(found, kWidePosition);
    }

    // As through(), from a top: its word, the group's, the value there, a direct node's slot and a chunk, each a step
    // of all addresses. Few have more to go; positions stay within the first 64 bits.
    [[gnu::always_inline]] void through_top(const TableHead& head) noexcept {
        const std::byte* const top = at_unit(head.root);
        const Key* __restrict keys = keys_;
        const std::size_t count = count_;
        // A region of /0 to /16 in slots of /16.
        const auto first = static_cast<std::uint32_t>(head.first >> 32);
        const std::uint32_t end = 1U << head.bits;
        const unsigned shift = 32 - kTopPosition;
        Bits bits[kMost];
        std::uint32_t upper[kMost];
        std::uint32_t slots[kMost];
        std::uint32_t positions[kMost];
        WideWord words[kMost];
        WideWord in_groups[kMost];
        Value found[kMost];
        for (std::size_t i = 0; i < count; ++i) bits[i] = keys[i].high;
        for (std::size_t i = 0; i < count; ++i) upper[i] = static_cast<std::uint32_t>(bits[i] >> 32);
        for (std::size_t i = 0; i < count; ++i) slots[i] = std::min((upper[i] - first) >> shift, end);
        fetch(top, slots, words, count);
        for (std::size_t i = 0; i < count; ++i) {
            slots[i] = place_in_top(words[i], upper[i]);
            positions[i] = kTopPosition + ((kGroupPosition - kTopPosition) & all_ones_if(slots[i] != 0));
        }
        fetch(base_, slots, in_groups, count_);
        for (std::size_t i = 0; i < count; ++i) words[i] = slots[i] == 0 ? words[i] : in_groups[i];
        find_in_words(base_, words, upper, found, count_);
        settle_found(bits, found, positions);
    }

    // Goes on from values that were found with so many bits used: all together through direct nodes and chunks while
    // many need them, and then each by what it found. Where roots have all rows, none of that is gone through.
    [[gnu::always_inline]] void settle_found(const Bits* __restrict bits, Value* __restrict found,
                                             std::uint32_t* __restrict positions) noexcept {
        const std::size_t count = count_;
        Kinds kinds[kMost / kSorted];
        KindCounts counts = sort_kinds<Isa>(found, kinds, count);
        if (counts.directs * kFewDirects > count) {
            find_in_direct(base_, bits, found, positions, count);
            counts = sort_kinds<Isa>(found, kinds, count);
        }
        const auto most = [count](std::size_t some) { return some * 4 > count * 3; };
        while (most(counts.chunks) && most(chunks_within<kBits>(found, positions, count))) {
            find_in_chunks<Isa>(base_, bits, found, positions, count);
            counts = sort_kinds<Isa>(found, kinds, count);
        }
        Row* __restrict rows = rows_;
        for (std::size_t i = 0; i < count; ++i) rows[i] = row_of(found[i]);
        if (counts.nodes * kFewNodes >= count) return search_nodes(bits, found, positions, kinds);
        if (counts.nodes == 0) return;
        for (std::size_t from = 0; from < count; from += kSorted)
            for_each_bit(kinds[from / kSorted].nodes, from,
                         [&](std::size_t i) { rows_[i] = row_below<Isa>(base_, found[i], positions[i], keys_[i]); });
    }

    // Searches the chunks and leaves among what was found, and goes on with all that is left.
    [[gnu::always_inline]] void search_nodes(const Bits* __restrict bits, const Value* __restrict found,
                                             const std::uint32_t* __restrict positions, const Kinds* kinds) noexcept {
        std::size_t chunks = 0;
        std::size_t leaves = 0;
        std::size_t waiting = 0;
        for (std::size_t from = 0; from < count_; from += kSorted) {
            const Kinds& here = kinds[from / kSorted];
            for_each_bit(here.nodes & ~here.chunks & ~here.leaves, from, [&](std::size_t i) {
                waiting_[waiting++] = static_cast<std::uint16_t>(i);
                position_[i] = positions[i];
            });
            for_each_bit(here.chunks, from, [&](std::size_t i) {
                chunks_[chunks] = static_cast<std::uint16_t>(i);
                at_[chunks] = at_unit(unit_of(found[i]));
                prefetch(at_[chunks++]);
            });
            for_each_bit(here.leaves, from, [&](std::size_t i) {
                leaves_[leaves++] = static_cast<std::uint16_t>(i);
                prefetch(at_unit(unit_of(found[i])));
            });
        }
        for (std::size_t k = 0; k < leaves; ++k) {
            const std::size_t i = leaves_[k];
            rows_[i] = Isa::row_in_leaf(at_unit(unit_of(found[i])), bits_from(keys_[i], positions[i]));
        }
        const std::size_t unsearched = waiting;
        Row* const rows = rows_;
        for (std::size_t k = 0; k < chunks; ++k) {
            const std::size_t i = chunks_[k];
            const std::uint16_t key = key_at(i, bits[i], positions[i]);
            const Value value = load_slot<Value>(at_[k] + Isa::value_offset(at_[k], key));
            rows[i] = row_of(value);
            waiting_[waiting] = static_cast<std::uint16_t>(i);
            waiting += value >> 31;
        }
        for (std::size_t k = unsearched; k < waiting; ++k)
            position_[waiting_[k]] = positions[waiting_[k]] + kWindowBits;
        descend(waiting);
    }

    // Of address `i`, in a chunk after `position` bits.
    [[gnu::always_inline]] std::uint16_t key_at(std::size_t i, Bits bits, std::uint32_t position) const noexcept {
        if constexpr (!kIpv4)
            if (position > kBits - kWindowBits) [[unlikely]]
                return chunk_key(bits_from(keys_[i], position));
        return chunk_key(static_cast<Bits>(bits << position % kBits));
    }

    // Goes on from values that were found with `position` bits used, one for each address.
    [[gnu::always_inline]] void settle_found(const Value* __restrict found, std::uint32_t position) noexcept {
        Row* __restrict rows = rows_;
        const std::size_t count = count_;
        for (std::size_t i = 0; i < count; ++i) rows[i] = row_of(found[i]);
        std::size_t waiting = 0;
        for (std::size_t from = 0; from < count; from += kSorted)
            for_each_bit(nodes_of<Isa>(found + from, count - from), from, [&](std::size_t i) {
                waiting_[waiting++] = static_cast<std::uint16_t>(i);
                position_[i] = position;
            });
        descend(waiting);
    }

    const std::byte* value_at_place(std::uint32_t place) const noexcept {
        return base_ + std::size_t{place} * sizeof(Value);
    }
    const std::byte* at_unit(std::uint32_t unit) const noexcept { return base_ + std::size_t{unit} * kUnitBytes; }

    // Takes a value: done if it is a row, else the address waits for its node.
    [[gnu::always_inline]] void settle(std::size_t i, Value value, std::size_t& waiting) noexcept {
        rows_[i] = row_of(value);  // of a node too: value_at() gives it back
        waiting_[waiting] = static_cast<std::uint16_t>(i);
        waiting += !is_row(value);
    }

    Value value_at(std::size_t waiting) const noexcept { return rows_[waiting] | 1U << 31; }

    // Until no address waits: few one by one; more round by round, in which chunks, leaves and direct nodes (with them,
    // rarely, cells) have loops of their own, which need no choice.
    [[gnu::always_inline]] void descend(std::size_t waiting) noexcept {
        if (waiting * kFewNodes < count_) {
            for (std::size_t k = 0; k < waiting; ++k) {
                const std::size_t i = waiting_[k];
                rows_[i] = row_below<Isa>(base_, value_at(i), position_[i], keys_[i]);
            }
            return;
        }
        while (waiting != 0) {
            std::size_t chunks = 0;
            std::size_t leaves = 0;
            std::size_t directs = 0;
            for (std::size_t k = 0; k < waiting; ++k) {
                const std::size_t i = waiting_[k];
                const Value value = value_at(i);
                chunks_[chunks] = static_cast<std::uint16_t>(i);
                chunks += is_chunk(value);
                leaves_[leaves] = static_cast<std::uint16_t>(i);
                leaves += is_leaf(value);
                const bool in_node = is_chunk(value) || is_leaf(value);
                directs_[directs] = static_cast<std::uint16_t>(i);
                directs += !in_node;
                // By arithmetic, so that it is no branch; the base for direct nodes, which are aimed at below.
                at_[i] = at_unit(unit_of(value) & -static_cast<Unit>(in_node));
                prefetch(at_[i]);
            }
            waiting = 0;
            for (std::size_t k = 0; k < directs; ++k) aim_at_direct(directs_[k]);
            for (std::size_t k = 0; k < chunks; ++k) {
                const std::size_t i = chunks_[k];
                const std::uint16_t key = chunk_key(bits_from(keys_[i], position_[i]));
                position_[i] += kWindowBits;
                settle(i, load_slot<Value>(at_[i] + Isa::value_offset(at_[i], key)), waiting);
            }
            for (std::size_t k = 0; k < leaves; ++k) {
                const std::size_t i = leaves_[k];
                rows_[i] = Isa::row_in_leaf(at_[i], bits_from(keys_[i], position_[i]));
            }
            for (std::size_t k = 0; k < directs; ++k) {
                const std::size_t i = directs_[k];
                const Value found = load_slot<Value>(at_[i]);
                if (is_cell(value_at(i))) [[unlikely]]
                    rows_[i] = found;
                else
                    settle(i, found, waiting);
            }
        }
    }

    [[gnu::always_inline]] void aim_at_direct(std::size_t i) noexcept {
        const Value value = value_at(i);
        if (is_cell(value)) [[unlikely]]
            return static_cast<void>(at_[i] = at_unit(unit_of(value)));
        const unsigned stride = stride_of(value);
        const std::uint64_t slot = bits_from(keys_[i], position_[i]) >> (64 - stride);
        at_[i] = at_unit(direct_unit(value)) + slot * sizeof(Value);
        position_[i] += stride;
        prefetch(at_[i]);
    }

    const std::byte* const base_;
    const Key* const keys_;
    Row* const rows_;
    const std::size_t count_;
    // If one in fewer has a direct node, all take the step through them; if one in more has any node after the steps of
    // all, those are followed one by one.
    static constexpr std::size_t kFewDirects = 8;
    static constexpr std::size_t kFewNodes = 8;

    List wide_;
    List waiting_;
    List chunks_;
    List leaves_;
    List directs_;
    const std::byte* at_[kMost];     // what is read next
    std::uint32_t position_[kMost];  // of the first bit not used yet
};

}  // namespace sekisho::lpm

// One batch on its way down a lookup structure, the same for all versions.
//
// Every step is a loop over the batch whose loads wait for none of its own, so that a batch waits for memory once a
// level and not once an address. Prefetches stand only where loads would be few: of a batch that is asked for at once
// most are forgotten (net/prefetch.hpp). There is no branch on what was found: addresses that are not done yet are
// gathered in queues. Included by lpm/kernel.hpp only; readers' threads; no allocation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "lpm/lookup.hpp"
#include "lpm/steps.hpp"
#include "net/prefetch.hpp"

namespace sekisho::lpm {

// The first 64 bits of an address; an IPv4 address fills the upper half.
[[gnu::always_inline]] inline std::uint64_t first_bits(Key4 key) noexcept {
    return std::uint64_t{key} << 32;
}
[[gnu::always_inline]] inline std::uint64_t first_bits(const Key6& key) noexcept {
    return key.high;
}

// 64 bits of the address from `position` on, zeros after its end.
[[gnu::always_inline]] inline std::uint64_t bits_from(Key4 key, unsigned position) noexcept {
    return first_bits(key) << position;
}
[[gnu::always_inline]] inline std::uint64_t bits_from(const Key6& key, unsigned position) noexcept {
    const std::uint64_t here = position < 64 ? key.high : key.low;
    const std::uint64_t after = position < 64 ? key.low : 0;
    const unsigned shift = position % 64;
    return here << shift | after >> 1 >> (63 - shift);
}

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
        for (std::size_t i = 0; i < count_; ++i) rows_[i] = row_in(head_of(i), keys_[i]);
    }

    // Each in a table of its own, whose head is `head_of(i)`. Without kAnyWide no root is wide.
    template <bool kAnyWide, class HeadOf>
    [[gnu::always_inline]] void through_many(const HeadOf& head_of) noexcept {
        std::uint64_t high[kMost];
        std::uint32_t places[kMost];
        std::uint32_t positions[kMost];
        WideWord words[kMost];  // of wide roots
        Value found[kMost];
        std::size_t wide = 0;
        for (std::size_t i = 0; i < count_; ++i) {
            const TableHead& head = head_of(i);
            const std::uint32_t values_of_slot = kAnyWide && head.wide != 0 ? kValuesOfWord : 1;
            high[i] = first_bits(keys_[i]);
            const std::uint64_t slot = std::min((high[i] - head.first) >> head.shift, std::uint64_t{1} << head.bits);
            places[i] = head.root * kValuesOfUnit + static_cast<std::uint32_t>(slot) * values_of_slot;
            positions[i] = head.position;
            if constexpr (kAnyWide) {
                prefetch(value_at_place(places[i]));
                chunks_[wide] = static_cast<std::uint16_t>(i);
                wide += head.wide != 0;
            }
        }
        if constexpr (!kIpv4)
            for (std::size_t k = 0; k < wide; ++k) {
                const std::size_t i = chunks_[k];
                const std::uint32_t place = place_in_top(load_slot<WideWord>(value_at_place(places[i])), high[i]);
                const std::uint32_t grouped = all_ones_if(place != 0);
                places[i] ^= (places[i] ^ place * kValuesOfWord) & grouped;
                positions[i] += (kGroupPosition - kTopPosition) & grouped;
                prefetch(value_at_place(places[i]));
            }
        for (std::size_t k = 0; k < wide; ++k) {
            const std::size_t i = chunks_[k];
            words[i] = load_slot<WideWord>(value_at_place(places[i]));
            places[i] = place_in_word(words[i], static_cast<std::uint32_t>(high[i] >> (64 - kSlotsEnd)));
        }
        fetch(base_, places, found, count_);
        for (std::size_t k = 0; k < wide; ++k) {
            const std::size_t i = chunks_[k];
            found[i] ^= (found[i] ^ static_cast<Value>(words[i] >> 32)) & all_ones_if(places[i] == 0);
        }
        settle_found(high, found, positions);
    }

    // All in one table, whose root is not wide.
    [[gnu::always_inline]] void through(const TableHead& head) noexcept {
        const std::byte* const root = at_unit(head.root);
        const Key* __restrict keys = keys_;
        const std::size_t count = count_;
        std::uint32_t slots[kMost];
        Value found[kMost];
        for (std::size_t i = 0; i < count; ++i)
            slots[i] = static_cast<std::uint32_t>(
                std::min((first_bits(keys[i]) - head.first) >> head.shift, std::uint64_t{1} << head.bits));
        for (std::size_t i = 0; i < count; ++i)
            found[i] = load_slot<Value>(root + std::size_t{slots[i]} * sizeof(Value));
        std::uint64_t high[kMost];
        std::uint32_t positions[kMost];
        for (std::size_t i = 0; i < count; ++i) high[i] = first_bits(keys[i]);
        for (std::size_t i = 0; i < count; ++i) positions[i] = head.position;
        settle_found(high, found, positions);
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
    static constexpr unsigned kSlotsEnd = kIpv4 ? kWidePosition : kGroupPosition;  // of the bits that choose a slot

    // One address, from its root to its row.
    [[gnu::always_inline]] Row row_in(const TableHead& head, const Key& key) const noexcept {
        const std::uint64_t high = first_bits(key);
        const std::uint64_t slot = std::min((high - head.first) >> head.shift, std::uint64_t{1} << head.bits);
        const std::uint32_t root = head.root * kValuesOfUnit;
        unsigned position = head.position;
        Value value;
        if (head.wide == 0) {
            value = load_slot<Value>(value_at_place(root + static_cast<std::uint32_t>(slot)));
        } else {
            auto word = load_slot<WideWord>(value_at_place(root + static_cast<std::uint32_t>(slot) * kValuesOfWord));
            if constexpr (!kIpv4)
                if (const std::uint32_t place = place_in_top(word, high); place != 0) {
                    word = load_slot<WideWord>(value_at_place(place * kValuesOfWord));
                    position = kGroupPosition;
                }
            const std::uint32_t place = place_in_word(word, static_cast<std::uint32_t>(high >> (64 - kSlotsEnd)));
            value = place == 0 ? static_cast<Value>(word >> 32) : load_slot<Value>(value_at_place(place));
        }
        while (!is_row(value)) {
            const std::uint64_t bits = bits_from(key, position);
            const std::byte* const node = at_unit(unit_of(value));
            if (is_leaf(value)) return Isa::row_in_leaf(node, bits);
            if (is_cell(value)) return load_slot<Row>(node);
            if (is_chunk(value)) {
                const auto window = static_cast<std::uint16_t>(bits >> (64 - kWindowBits));
                value = load_slot<Value>(node + Isa::value_offset(node, window));
                position += kWindowBits;
            } else {
                const unsigned stride = stride_of(value);
                value = load_slot<Value>(at_unit(direct_unit(value)) + (bits >> (64 - stride)) * sizeof(Value));
                position += stride;
            }
        }
        return row_of(value);
    }

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
        const std::uint64_t first = head.first;
        const std::uint64_t end = std::uint64_t{1} << head.bits;
        const unsigned shift = head.shift;
        std::uint64_t high[kMost];
        std::uint32_t slots[kMost];
        std::uint32_t places[kMost];
        std::uint32_t positions[kMost];
        WideWord words[kMost];
        WideWord in_groups[kMost];
        Value found[kMost];
        for (std::size_t i = 0; i < count; ++i) high[i] = keys[i].high;
        for (std::size_t i = 0; i < count; ++i)
            slots[i] = static_cast<std::uint32_t>(std::min((high[i] - first) >> shift, end));
        for (std::size_t i = 0; i < count; ++i)
            words[i] = load_slot<WideWord>(top + std::size_t{slots[i]} * sizeof(WideWord));
        for (std::size_t i = 0; i < count; ++i) {
            places[i] = place_in_top(words[i], high[i]);
            positions[i] = kTopPosition + ((kGroupPosition - kTopPosition) & all_ones_if(places[i] != 0));
            slots[i] = static_cast<std::uint32_t>(high[i] >> (64 - kGroupPosition));
        }
        fetch(base_, places, in_groups, count_);
        for (std::size_t i = 0; i < count; ++i) words[i] = places[i] == 0 ? words[i] : in_groups[i];
        find_in_words(base_, words, slots, found, count_);
        settle_found(high, found, positions);
    }

    // Goes on from values that were found with so many bits used: by a direct node, then a chunk or a leaf, and then
    // whatever is left. Where roots have all rows, none of that is gone through.
    [[gnu::always_inline]] void settle_found(const std::uint64_t* __restrict high, Value* __restrict found,
                                             std::uint32_t* __restrict positions) noexcept {
        std::uint32_t nodes = 0;
        for (std::size_t from = 0; from < count_; from += 32) nodes |= nodes_from(found, from);
        if (nodes != 0) {
            find_in_direct(base_, high, found, positions, count_);
            search_nodes(high, found, positions);
            return;
        }
        Row* __restrict rows = rows_;
        const std::size_t count = count_;
        for (std::size_t i = 0; i < count; ++i) rows[i] = row_of(found[i]);
    }

    // Searches the chunks and leaves among what was found, and goes on with all that is left.
    [[gnu::always_inline]] void search_nodes(const std::uint64_t* __restrict high, const Value* __restrict found,
                                             const std::uint32_t* __restrict positions) noexcept {
        Row* __restrict rows = rows_;
        const std::size_t count = count_;
        Value chunk_signs[kMost];  // the top bit says so
        Value leaf_signs[kMost];   // likewise
        std::uint16_t windows[kMost];
        for (std::size_t i = 0; i < count; ++i) rows[i] = row_of(found[i]);
        for (std::size_t i = 0; i < count; ++i) {
            chunk_signs[i] = is_chunk(found[i]) && positions[i] <= 64 - kWindowBits ? 1U << 31 : 0;
            leaf_signs[i] = is_leaf(found[i]) ? 1U << 31 : 0;
            windows[i] = static_cast<std::uint16_t>(high[i] << positions[i] % 64 >> (64 - kWindowBits));
        }
        std::size_t chunks = 0;
        std::size_t leaves = 0;
        std::size_t waiting = 0;
        for (std::size_t from = 0; from < count; from += 32) {
            const std::uint32_t nodes = nodes_from(found, from);
            const std::uint32_t in_chunks = nodes & Isa::nodes_among(chunk_signs + from);
            const std::uint32_t in_leaves = nodes & Isa::nodes_among(leaf_signs + from);
            for_each_bit(nodes & ~in_chunks & ~in_leaves, from, [&](std::size_t i) {
                waiting_[waiting++] = static_cast<std::uint16_t>(i);
                position_[i] = positions[i];
            });
            for_each_bit(in_chunks, from, [&](std::size_t i) {
                chunks_[chunks++] = static_cast<std::uint16_t>(i);
                prefetch(at_unit(unit_of(found[i])));
            });
            for_each_bit(in_leaves, from, [&](std::size_t i) {
                leaves_[leaves++] = static_cast<std::uint16_t>(i);
                prefetch(at_unit(unit_of(found[i])));
            });
        }
        for (std::size_t k = 0; k < leaves; ++k) {
            const std::size_t i = leaves_[k];
            rows[i] = Isa::row_in_leaf(at_unit(unit_of(found[i])), bits_from(keys_[i], positions[i]));
        }
        for (std::size_t k = 0; k < chunks; ++k) {
            const std::size_t i = chunks_[k];
            const std::byte* const chunk = at_unit(unit_of(found[i]));
            position_[i] = positions[i] + kWindowBits;
            settle(i, load_slot<Value>(chunk + Isa::value_offset(chunk, windows[i])), waiting);
        }
        descend(waiting);
    }

    // Bit k: value `from` + k names a node.
    [[gnu::always_inline]] std::uint32_t nodes_from(const Value* values, std::size_t from) const noexcept {
        const std::uint32_t nodes = Isa::nodes_among(values + from);
        return count_ - from < 32 ? nodes & ((1U << (count_ - from)) - 1) : nodes;
    }
    // Goes on from values that were found with `position` bits used, one for each address.
    [[gnu::always_inline]] void settle_found(const Value* __restrict found, std::uint32_t position) noexcept {
        Row* __restrict rows = rows_;
        const std::size_t count = count_;
        for (std::size_t i = 0; i < count; ++i) rows[i] = row_of(found[i]);
        std::size_t waiting = 0;
        for (std::size_t from = 0; from < count; from += 32)
            for_each_bit(nodes_from(found, from), from, [&](std::size_t i) {
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

    // Round by round, until no address waits. Chunks, leaves and direct nodes (with them, rarely, cells) have loops of
    // their own, which need no choice.
    [[gnu::always_inline]] void descend(std::size_t waiting) noexcept {
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
                const auto key = static_cast<std::uint16_t>(bits_from(keys_[i], position_[i]) >> (64 - kWindowBits));
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
    List waiting_;
    List chunks_;
    List leaves_;
    List directs_;
    const std::byte* at_[kMost];     // what is read next
    std::uint32_t position_[kMost];  // of the first bit not used yet
};

}  // namespace sekisho::lpm

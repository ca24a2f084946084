// The batch lookup, once for all versions: what differs is how a chunk is searched and how bits are counted.
//
// Every step is a loop over the batch that reads what the step before it prefetched, so that a batch waits for memory
// once a level and not once an address. There is no branch on what was found: addresses that are not done yet are
// gathered in queues. Included by the kernel_*.cpp files only; readers' threads; no allocation.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "lpm/lookup.hpp"
#include "net/prefetch.hpp"

namespace sekisho::lpm {

// The first 64 bits of an address; an IPv4 address fills the upper half.
inline std::uint64_t first_bits(Key4 key) noexcept {
    return std::uint64_t{key} << 32;
}
inline std::uint64_t first_bits(const Key6& key) noexcept {
    return key.high;
}

// 64 bits of the address from `position` on, zeros after its end.
inline std::uint64_t bits_from(Key4 key, unsigned position) noexcept {
    return first_bits(key) << position;
}
inline std::uint64_t bits_from(const Key6& key, unsigned position) noexcept {
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
    static constexpr std::size_t kMost = 256;

    Walk(const Lookup& lookup, const Key* keys, Row* rows, std::size_t count) noexcept
        : base_(lookup.base), keys_(keys), rows_(rows), count_(count) {}

    // `head_of(i)` is the head of the table that address i is looked up in; no root is wide.
    template <class HeadOf>
    [[gnu::always_inline]] void through_many(const HeadOf& head_of) noexcept {
        for (std::size_t i = 0; i < count_; ++i) aim_at_root(i, head_of(i), sizeof(Value));
        settle_all();
    }

    // The same where all are looked up in one table. Memory is read address by address, and what is between the reads
    // is written so that compilers make vectors of it.
    [[gnu::always_inline]] void through(const TableHead& head) noexcept {
        const std::byte* const root = at_unit(head.root);
        const Key* __restrict keys = keys_;
        const std::size_t count = count_;
        std::uint32_t slots[kMost];
        Value found[kMost];
        for (std::size_t i = 0; i < count; ++i)
            slots[i] = static_cast<std::uint32_t>(
                std::min((first_bits(keys[i]) - head.first) >> head.shift, std::uint64_t{1} << head.bits));
        for (std::size_t i = 0; i < count; ++i) prefetch(root + std::size_t{slots[i]} * sizeof(Value));
        for (std::size_t i = 0; i < count; ++i)
            found[i] = load_slot<Value>(root + std::size_t{slots[i]} * sizeof(Value));
        settle_found(found, head.position);
    }

    // The same where that table's root is wide.
    [[gnu::always_inline]] void through_wide(const TableHead& head) noexcept {
        if constexpr (kIpv4) {
            through_words(head);
        } else {
            for (std::size_t i = 0; i < count_; ++i) aim_at_root(i, head, sizeof(WideWord));
            aim_in_words([](std::size_t i) { return i; }, count_);
            settle_all();
        }
    }

    // The same with roots of both kinds.
    template <class HeadOf>
    [[gnu::always_inline]] void through_both(const HeadOf& head_of) noexcept {
        std::size_t wide = 0;
        for (std::size_t i = 0; i < count_; ++i) {
            const TableHead& head = head_of(i);
            aim_at_root(i, head, head.wide != 0 ? sizeof(WideWord) : sizeof(Value));
            chunks_[wide] = static_cast<std::uint16_t>(i);
            wide += head.wide != 0;
        }
        aim_in_words([this](std::size_t k) { return chunks_[k]; }, wide);
        settle_all();
    }

  private:
    // Addresses by index; room for one more than there are: a push that is not kept still writes.
    using List = std::uint16_t[kMost + 1];

    static constexpr bool kIpv4 = std::is_same_v<Key, Key4>;
    static constexpr unsigned kSlotsEnd = kIpv4 ? kWidePosition : kGroupPosition;  // of the bits that choose a slot

    [[gnu::always_inline]] void aim_at_root(std::size_t i, const TableHead& head, std::size_t slot_bytes) noexcept {
        const std::uint64_t slot =
            std::min((first_bits(keys_[i]) - head.first) >> head.shift, std::uint64_t{1} << head.bits);
        at_[i] = at_unit(head.root) + slot * slot_bytes;
        position_[i] = head.position;
        prefetch(at_[i]);
    }

    // Addresses address_of(0) up to count, aimed at words of wide roots: aims them at the values that these have.
    template <class AddressOf>
    [[gnu::always_inline]] void aim_in_words(const AddressOf& address_of, std::size_t count) noexcept {
        if constexpr (!kIpv4)
            for (std::size_t k = 0; k < count; ++k) aim_in_top(address_of(k));
        for (std::size_t k = 0; k < count; ++k) {
            const std::size_t i = address_of(k);
            const auto word = load_slot<WideWord>(at_[i]);
            const auto bitmap = static_cast<std::uint32_t>(word);
            const auto slot = static_cast<unsigned>(first_bits(keys_[i]) >> (64 - kSlotsEnd));
            const auto upper = whole_[i] = static_cast<std::uint32_t>(word >> 32);
            const std::size_t rank = Isa::bits_set(bitmap << (~slot % (1U << kWideGroupBits)));
            const std::byte* const in_run = at_unit(upper) + rank * sizeof(Value) - sizeof(Value);
            const std::byte* const in_word = reinterpret_cast<const std::byte*>(&whole_[i]);
            // By arithmetic: as a choice it may be compiled to a branch that cannot be predicted.
            at_[i] = in_word + ((in_run - in_word) & -static_cast<std::ptrdiff_t>(bitmap != 0));
            prefetch(at_[i]);
        }
    }

    // From the word of a top to the word of its group, if it has one.
    [[gnu::always_inline]] void aim_in_top(std::size_t i) noexcept {
        const auto word = load_slot<WideWord>(at_[i]);
        const auto grouped = static_cast<std::uint32_t>(word);  // 0 or 1
        const std::byte* const in_group =
            at_unit(static_cast<std::uint32_t>(word >> 32)) +
            (first_bits(keys_[i]) << kTopPosition >> (64 - kGroupBits)) * sizeof(WideWord);
        at_[i] += (in_group - at_[i]) & -static_cast<std::ptrdiff_t>(grouped);
        position_[i] += grouped * (kGroupPosition - kTopPosition);
        prefetch(at_[i]);
    }

    // As through(), from words.
    [[gnu::always_inline]] void through_words(const TableHead& head) noexcept {
        const std::byte* const base = base_;
        const std::byte* const root = at_unit(head.root);
        const Key* __restrict keys = keys_;
        const std::size_t count = count_;
        WideWord words[kMost];
        std::uint32_t places[kMost];  // of values, by number from the base; 0 where the word is the value
        Value found[kMost];
        constexpr std::uint32_t kValuesOfUnit = kUnitBytes / sizeof(Value);
        const auto word_of = [root](Key key) { return root + std::size_t{key >> (32 - kWideBits)} * sizeof(WideWord); };
        for (std::size_t i = 0; i < count; ++i) prefetch(word_of(keys[i]));
        for (std::size_t i = 0; i < count; ++i) words[i] = load_slot<WideWord>(word_of(keys[i]));
        for (std::size_t i = 0; i < count; ++i) {
            const auto bitmap = static_cast<std::uint32_t>(words[i]);
            const auto upper = static_cast<std::uint32_t>(words[i] >> 32);
            const std::uint32_t slot = keys[i] >> (32 - kWidePosition);
            const std::uint32_t rank = bits_set(bitmap << (~slot % (1U << kWideGroupBits)));
            places[i] = bitmap == 0 ? 0 : upper * kValuesOfUnit + rank - 1;
        }
        for (std::size_t i = 0; i < count; ++i) prefetch(base + std::size_t{places[i]} * sizeof(Value));
        for (std::size_t i = 0; i < count; ++i)
            found[i] = load_slot<Value>(base + std::size_t{places[i]} * sizeof(Value));
        for (std::size_t i = 0; i < count; ++i)
            found[i] = places[i] == 0 ? static_cast<Value>(words[i] >> 32) : found[i];
        settle_found(found, kWidePosition);
    }

    // Goes on from values that were found with `position` bits used, one for each address.
    [[gnu::always_inline]] void settle_found(const Value* __restrict found, std::uint32_t position) noexcept {
        Row* __restrict rows = rows_;
        const std::size_t count = count_;
        for (std::size_t i = 0; i < count; ++i) rows[i] = row_of(found[i]);
        std::size_t waiting = 0;
        for (std::size_t from = 0; from < count; from += 32) {
            std::uint32_t nodes = Isa::nodes_among(found + from);
            if (count - from < 32) nodes &= (1U << (count - from)) - 1;
            for (; nodes != 0; nodes &= nodes - 1) {
                const std::size_t i = from + static_cast<std::size_t>(std::countr_zero(nodes));
                waiting_[waiting++] = static_cast<std::uint16_t>(i);
                position_[i] = position;
            }
        }
        descend(waiting);
    }

    // By arithmetic that all processors have for many numbers at once.
    static std::uint32_t bits_set(std::uint32_t bits) noexcept {
        bits -= bits >> 1 & 0x5555'5555U;
        bits = (bits & 0x3333'3333U) + (bits >> 2 & 0x3333'3333U);
        bits = (bits + (bits >> 4)) & 0x0f0f'0f0fU;
        bits += bits >> 8;
        return (bits + (bits >> 16)) & 0x3fU;
    }

    // Takes the value that each address is aimed at, and goes on from there.
    [[gnu::always_inline]] void settle_all() noexcept {
        std::size_t waiting = 0;
        for (std::size_t i = 0; i < count_; ++i) settle(i, load_slot<Value>(at_[i]), waiting);
        descend(waiting);
    }

    const std::byte* at_unit(std::uint32_t unit) const noexcept { return base_ + std::size_t{unit} * kUnitBytes; }

    // Takes a value: done if it is a row, else the address waits for its node.
    [[gnu::always_inline]] void settle(std::size_t i, Value value, std::size_t& waiting) noexcept {
        rows_[i] = row_of(value);  // of a node too: value_at() gives it back
        waiting_[waiting] = static_cast<std::uint16_t>(i);
        waiting += !is_row(value);
    }

    Value value_at(std::size_t waiting) const noexcept { return rows_[waiting] | 1U << 31; }

    // Round by round, until no address waits. Chunks and direct nodes (with them, rarely, cells) have loops of their
    // own, which need no choice.
    [[gnu::always_inline]] void descend(std::size_t waiting) noexcept {
        while (waiting != 0) {
            std::size_t chunks = 0;
            std::size_t directs = 0;
            for (std::size_t k = 0; k < waiting; ++k) {
                const std::size_t i = waiting_[k];
                const Value value = value_at(i);
                chunks_[chunks] = static_cast<std::uint16_t>(i);
                chunks += is_chunk(value);
                directs_[directs] = static_cast<std::uint16_t>(i);
                directs += !is_chunk(value);
                // By arithmetic, so that it is no branch; the base for direct nodes, which are aimed at below.
                at_[i] = at_unit(unit_of(value) & -static_cast<Unit>(is_chunk(value)));
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
    List directs_;
    const std::byte* at_[kMost];     // what is read next
    std::uint32_t position_[kMost];  // of the first bit not used yet
    Value whole_[kMost];             // of words that have a value for all their slots
};

// The four entries of a version.
template <class Isa>
struct Lookups {
    template <class Key>
    static void one(const Lookup& lookup, TableId table, const Key* keys, Row* rows, std::size_t count) noexcept {
        const TableHead head = lookup.heads[std::min<std::uint32_t>(table, lookup.tables)];
        for (std::size_t done = 0; done < count; done += Walk<Isa, Key>::kMost) {
            const std::size_t now = std::min(count - done, Walk<Isa, Key>::kMost);
            Walk<Isa, Key> walk(lookup, keys + done, rows + done, now);
            if (head.wide != 0)
                walk.through_wide(head);
            else
                walk.through(head);
        }
    }

    template <class Key>
    static void many(const Lookup& lookup, const TableId* tables, const Key* keys, Row* rows,
                     std::size_t count) noexcept {
        for (std::size_t done = 0; done < count; done += Walk<Isa, Key>::kMost) {
            const std::size_t now = std::min(count - done, Walk<Isa, Key>::kMost);
            Walk<Isa, Key> walk(lookup, keys + done, rows + done, now);
            if (lookup.any_wide)
                walk.through_both(HeadOf{lookup, tables + done});
            else
                walk.through_many(HeadOf{lookup, tables + done});
        }
    }

  private:
    struct HeadOf {
        const Lookup& lookup;
        const TableId* tables;
        [[gnu::always_inline]] const TableHead& operator()(std::size_t i) const noexcept {
            return lookup.heads[std::min<std::uint32_t>(tables[i], lookup.tables)];
        }
    };
};

template <class Isa>
constexpr Kernel kernel_for() noexcept {
    using Version = Lookups<Isa>;
    return {&Version::template many<Key4>, &Version::template one<Key4>, &Version::template many<Key6>,
            &Version::template one<Key6>};
}

}  // namespace sekisho::lpm

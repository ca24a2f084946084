// The batch lookup, once for all versions: what differs is how a chunk is searched and how bits are counted.
//
// Every step is a loop over the batch that reads what the step before it prefetched, so that a batch waits for memory
// once a level and not once an address. There is no branch on what was found: addresses that are not done yet are
// gathered in queues. Included by the kernel_*.cpp files only; readers' threads; no allocation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

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

// One batch on its way down one lookup structure.
template <class Isa, class Key>
class Walk {
  public:
    static constexpr std::size_t kMost = 256;

    Walk(const Lookup& lookup, const Key* keys, Row* rows, std::size_t count) noexcept
        : lookup_(lookup), keys_(keys), rows_(rows), count_(count) {}

    void through(const TableId* tables) noexcept {
        for (std::size_t i = 0; i < count_; ++i) {
            const TableHead& head = lookup_.heads[std::min<std::uint32_t>(tables[i], lookup_.tables)];
            aim_at_root(i, head);
        }
        read_roots();
    }

    void through(const TableHead& head) noexcept {
        for (std::size_t i = 0; i < count_; ++i) aim_at_root(i, head);
        read_roots();
    }

    // Of tables with wide roots: of table[i] each, or all of one.
    void through_wide(const TableId* tables) noexcept {
        for (std::size_t i = 0; i < count_; ++i) aim_at_word(i, lookup_.heads[tables[i]]);
        read_words();
    }

    void through_wide(const TableHead& head) noexcept {
        for (std::size_t i = 0; i < count_; ++i) aim_at_word(i, head);
        read_words();
    }

  private:
    struct Queue {
        std::uint16_t index[kMost + 1];  // one more: a push that is not kept still writes
        std::size_t length = 0;

        void push(std::size_t i, bool kept) noexcept {
            index[length] = static_cast<std::uint16_t>(i);
            length += kept;
        }
    };

    const std::byte* at_unit(std::uint32_t unit) const noexcept {
        return lookup_.base + std::size_t{unit} * kUnitBytes;
    }

    void aim_at_root(std::size_t i, const TableHead& head) noexcept {
        const std::uint64_t slot =
            std::min((first_bits(keys_[i]) - head.first) >> head.shift, std::uint64_t{1} << head.bits);
        at_[i] = at_unit(head.root) + slot * sizeof(Value);
        position_[i] = head.position;
        prefetch(at_[i]);
    }

    void read_roots() noexcept {
        for (std::size_t i = 0; i < count_; ++i) settle(i, load_slot<Value>(at_[i]));
        descend();
    }

    void aim_at_word(std::size_t i, const TableHead& head) noexcept {
        at_[i] = at_unit(head.root) + (first_bits(keys_[i]) >> (64 - kWideBits)) * sizeof(WideWord);
        prefetch(at_[i]);
    }

    void read_words() noexcept {
        std::uint64_t words[kMost];
        for (std::size_t i = 0; i < count_; ++i) {
            const WideWord word = words[i] = load_slot<WideWord>(at_[i]);
            const auto bitmap = static_cast<std::uint32_t>(word);
            const auto slot = static_cast<std::uint32_t>(first_bits(keys_[i]) >> (64 - kWideBits - kWideGroupBits)) %
                              (1U << kWideGroupBits);
            const std::byte* const run = at_unit(static_cast<std::uint32_t>(word >> 32));
            const std::byte* const found = run + (Isa::bits_set(bitmap << (31 - slot)) - 1) * sizeof(Value);
            const std::byte* const here = reinterpret_cast<const std::byte*>(&words[i]) + kUpperHalf;
            at_[i] = bitmap != 0 ? found : here;
            position_[i] = kWidePosition;
            prefetch(at_[i]);
        }
        for (std::size_t i = 0; i < count_; ++i) {
            Value value;
            std::memcpy(&value, at_[i], sizeof value);
            settle(i, value);
        }
        descend();
    }

    // Takes a value: done if it is a row, else pending.
    void settle(std::size_t i, Value value) noexcept {
        rows_[i] = row_of(value);
        value_[i] = value;
        pending_.push(i, !is_row(value));
    }

    void descend() noexcept {
        while (pending_.length != 0) {
            for (std::size_t k = 0; k < pending_.length; ++k) enter(pending_.index[k]);
            pending_.length = 0;
            for (std::size_t k = 0; k < directs_.length; ++k) {
                const std::size_t i = directs_.index[k];
                const Value found = load_slot<Value>(at_[i]);
                if (is_cell(value_[i])) [[unlikely]]
                    rows_[i] = found;
                else
                    settle(i, found);
            }
            directs_.length = 0;
            for (std::size_t k = 0; k < chunks_.length; ++k) {
                const std::size_t i = chunks_.index[k];
                const auto key = static_cast<std::uint16_t>(bits_from(keys_[i], position_[i]) >> (64 - kWindowBits));
                position_[i] = static_cast<std::uint8_t>(position_[i] + kWindowBits);
                Value found;
                std::memcpy(&found, at_[i] + Isa::value_offset(at_[i], key), sizeof found);
                settle(i, found);
            }
            chunks_.length = 0;
        }
    }

    // Finds where the node of a pending address is to be read.
    void enter(std::size_t i) noexcept {
        const Value value = value_[i];
        const bool direct = is_direct(value);
        const unsigned stride = stride_of(value);
        const std::uint64_t slot = bits_from(keys_[i], position_[i]) >> (64 - stride);
        const std::byte* const in_direct = at_unit(direct_unit(value)) + slot * sizeof(Value);
        at_[i] = direct ? in_direct : at_unit(unit_of(value));
        position_[i] = static_cast<std::uint8_t>(position_[i] + (direct ? stride : 0));
        prefetch(at_[i]);
        directs_.push(i, !is_chunk(value));  // direct nodes, and cells with them
        chunks_.push(i, is_chunk(value));
    }

    static constexpr std::size_t kUpperHalf = std::endian::native == std::endian::little ? sizeof(Value) : 0;

    const Lookup& lookup_;
    const Key* const keys_;
    Row* const rows_;
    const std::size_t count_;
    Queue pending_;
    Queue directs_;
    Queue chunks_;
    const std::byte* at_[kMost];  // what is read next
    Value value_[kMost];
    std::uint8_t position_[kMost];  // of the first bit not used yet
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
            if (lookup.any_wide)
                split(lookup, tables + done, keys + done, rows + done, now);
            else
                Walk<Isa, Key>(lookup, keys + done, rows + done, now).through(tables + done);
        }
    }

  private:
    // What one kind of root gets of a batch.
    template <class Key>
    struct Share {
        std::uint16_t origin[Walk<Isa, Key>::kMost + 1];
        TableId tables[Walk<Isa, Key>::kMost + 1];
        Key keys[Walk<Isa, Key>::kMost + 1];
        Row rows[Walk<Isa, Key>::kMost];
        std::size_t length = 0;

        void push(std::size_t i, TableId table, const Key& key, bool kept) noexcept {
            origin[length] = static_cast<std::uint16_t>(i);
            tables[length] = table;
            keys[length] = key;
            length += kept;
        }
        void give(Row* to) const noexcept {
            for (std::size_t k = 0; k < length; ++k) to[origin[k]] = rows[k];
        }
    };

    template <class Key>
    static void split(const Lookup& lookup, const TableId* tables, const Key* keys, Row* rows,
                      std::size_t count) noexcept {
        Share<Key> wide;
        Share<Key> other;
        for (std::size_t i = 0; i < count; ++i) {
            const bool is_wide = lookup.heads[std::min<std::uint32_t>(tables[i], lookup.tables)].wide != 0;
            wide.push(i, tables[i], keys[i], is_wide);
            other.push(i, tables[i], keys[i], !is_wide);
        }
        Walk<Isa, Key>(lookup, other.keys, other.rows, other.length).through(other.tables);
        Walk<Isa, Key>(lookup, wide.keys, wide.rows, wide.length).through_wide(wide.tables);
        other.give(rows);
        wide.give(rows);
    }
};

template <class Isa>
constexpr Kernel kernel_for() noexcept {
    using Version = Lookups<Isa>;
    return {&Version::template many<Key4>, &Version::template one<Key4>, &Version::template many<Key6>,
            &Version::template one<Key6>};
}

}  // namespace sekisho::lpm

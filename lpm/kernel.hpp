// The batch lookup, once for all versions: what differs is how chunks and leaves are searched.
//
// Included by the kernel_*.cpp files only; readers' threads; no allocation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lpm/lookup.hpp"
#include "lpm/walk.hpp"

namespace sekisho::lpm {

// The four entries of a version.
template <class Isa>
struct Lookups {
    template <class Key>
    static void one(const Lookup& lookup, TableId table, const Key* keys, Row* rows, std::size_t count) noexcept {
        const TableHead head = lookup.heads[std::min<std::uint32_t>(table, lookup.tables)];
        for (std::size_t done = 0; done < count; done += Walk<Isa, Key>::kMost) {
            const std::size_t now = std::min(count - done, Walk<Isa, Key>::kMost);
            Walk<Isa, Key> walk(lookup, keys + done, rows + done, now);
            if (now < Walk<Isa, Key>::kFewest)
                walk.one_by_one([&head](std::size_t) { return head; });
            else if (head.wide != 0)
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
            if (now < Walk<Isa, Key>::kFewest)
                walk.one_by_one(HeadOf{lookup, tables + done});
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

// Longest-prefix match over many tables: a Fib is written by one thread, a FibView is read by many.
//
// The writer inserts, replaces and erases routes, or loads a whole table; view() gives a cheap immutable copy for a
// generation (copy-on-write: what did not change is shared); follow() gives one that changes show in. Readers look up
// batches, each address in a table of its own choice, and get 32-bit rows back; they never wait and never see half an
// update. A change of a prefix is in the next view() whole; in a view that follows, address by address. What a row
// means is not lpm/'s business. Limits: rows up to 0xfffffffe, of which those from 2^30 to 3 * 2^30 - 1 take more
// memory and time; tables 0 to tables() - 1. Not thread-safe but as said.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "lpm/types.hpp"

namespace sekisho::lpm {

template <class Address>
struct FibState;  // the structure itself; private to lpm/

// An immutable set of tables. Copies share; the last copy frees. Default-made: no tables, every lookup gives kNoRow.
template <class Address>
class FibView {
  public:
    using Key = typename KeyOf<Address>::type;

    FibView() noexcept = default;
    explicit FibView(std::shared_ptr<const FibState<Address>> state) noexcept : state_(std::move(state)) {}

    // rows[i] = the row of the longest prefix in table tables[i] that covers keys[i], or kNoRow. All `count` long; any
    // count, best in batches of 32 to 256. A table that does not exist has no rows. Reads nothing beyond the arrays.
    void find(const TableId* tables, const Key* keys, Row* rows, std::size_t count) const noexcept;

    // The same with one table for all.
    void find(TableId table, const Key* keys, Row* rows, std::size_t count) const noexcept;

    Row find(TableId table, const Address& address) const noexcept;

  private:
    std::shared_ptr<const FibState<Address>> state_;
};

template <class Address>
class Fib {
  public:
    // What readers may still hold is handed to this; see follow().
    using Retire = std::function<void(std::shared_ptr<const void>)>;
    static constexpr std::size_t kMemoryLimit = std::size_t{2} << 30;

    static constexpr std::size_t kMostTables = std::size_t{1} << (8 * sizeof(TableId));

    // `tables`: at most kMostTables, else std::length_error. `memory_limit`: bytes of address space for all tables, at
    // most 4 GiB; memory is taken as tables grow. Throws std::bad_alloc where the system refuses.
    explicit Fib(std::size_t tables, std::size_t memory_limit = kMemoryLimit);
    ~Fib();
    Fib(Fib&&) noexcept;
    Fib& operator=(Fib&&) noexcept;

    std::size_t tables() const noexcept;

    // Of each change, errors leave everything as it was: not_found, there is no such table; limit, there is no memory
    // left for it (words say how much all tables take). That may meet what takes routes away too: what a view shows
    // is copied to be changed.
    //
    // Adds the route, or replaces the row of a prefix that is there. Also invalid: the row is kNoRow.
    Expected<void> insert(TableId table, const Prefix<Address>& prefix, Row row);
    // Removes exactly this prefix; what it hid is visible again. Also not_found: it is not there.
    Expected<void> erase(TableId table, const Prefix<Address>& prefix);
    // Replaces all routes of the table, or none of them; for a moment there is memory for the old and the new. Also
    // invalid, naming it: a prefix given twice with different rows, or with kNoRow.
    Expected<void> load(TableId table, std::span<const Route<Address>> routes);
    // No routes are left; a table that does not exist has none. Throws std::bad_alloc at the limit of memory, with all
    // routes still there.
    void clear(TableId table);

    // What a CLI shows, from the writer's thread. A table that does not exist has no routes.
    //
    // The row of exactly this prefix; the longest route that contains a prefix (which may be a host's), itself
    // included.
    std::optional<Row> exact(TableId table, const Prefix<Address>& prefix) const;
    std::optional<Route<Address>> covering(TableId table, const Prefix<Address>& inside) const;
    // Calls with every route of the table, in ascending order of address, shorter prefixes first.
    void for_each(TableId table, const std::function<void(const Route<Address>&)>& call) const;
    // The same from `from` on, which need not be there, until `call` says false. A listing in pages begins each page at
    // the prefix before which the last one ended; changes in between do no harm. It costs what it calls with, and no
    // more for beginning late.
    void for_each_from(TableId table, const Prefix<Address>& from,
                       const std::function<bool(const Route<Address>&)>& call) const;
    std::size_t size(TableId table) const noexcept;  // routes in the table

    // The tables as they are now, for readers. Later changes to this Fib do not show in it. The writer's thread; any
    // thread may copy and drop the view.
    FibView<Address> view() const;

    // A view that is not a copy: every later change shows in it, for each address at once, while readers look up. An
    // address that a change covers has its old row or its new one, never another. What a change lets go is handed to
    // `retire` from the writer's thread; it must be kept until every reader has been quiescent since. A second call
    // gives the same view and keeps the first `retire`. What is let go is handed over some blocks at a time and with
    // each view(); any thread may drop it.
    FibView<Address> follow(Retire retire);

    // Bytes that lookups in a view taken now may touch, all tables together. What older views still show, the routes
    // as the CLI lists them, and bookkeeping (4 bytes for 16) come on top.
    std::size_t memory() const noexcept;

    // What a lookup meets first in a table: how many of its address's bits choose, and so what it costs. For tests and
    // measurements; the numbers are those of TableHead::wide.
    enum class Root : std::uint8_t {
        slots,  // as many bits as the routes are worth
        words,  // IPv4, very many routes: 19 bits, four MiB
        top,    // IPv6, many routes in few /16s: 16 bits, and more where routes are many
    };
    Root root(TableId table) const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

using Fib4 = Fib<Ipv4Address>;
using Fib6 = Fib<Ipv6Address>;
using FibView4 = FibView<Ipv4Address>;
using FibView6 = FibView<Ipv6Address>;

}  // namespace sekisho::lpm

// DPDK's tables behind lpm_peers.hpp.
#include "perf/lpm_peers.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include <fmt/format.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>

namespace sekisho::perf {

namespace {

template <class T, void (*free)(T*)>
struct FreeWith {
    void operator()(T* held) const noexcept { free(held); }
};
template <class T, void (*free)(T*)>
using Held = std::unique_ptr<T, FreeWith<T, free>>;
using HeldFib = Held<rte_fib, rte_fib_free>;
using HeldFib6 = Held<rte_fib6, rte_fib6_free>;

using Wire = std::array<std::uint8_t, 16>;

Wire wire_of(std::uint64_t high, std::uint64_t low) {
    Wire wire{};
    for (std::size_t i = 0; i < 8; ++i) {
        wire[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
        wire[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
    }
    return wire;
}

constexpr std::uint64_t kNothing = 0xffffff;     // the row of an address without a route
constexpr std::uint64_t kNothingOfTwo = 0x7fff;  // the same in 2 bytes, of which a bit is taken

// Whether all rows can be kept in 2 bytes.
template <class Address>
bool are_small(const Routes<Address>& routes) {
    return std::all_of(routes.begin(), routes.end(), [](const auto& route) { return route.row < kNothingOfTwo; });
}

// Slots that these routes need in any of the peers: one for each 24 bits, and 256 for each block of 24, 32, 40 … bits
// with longer routes in it.
template <class Address>
std::size_t slots_of(const Routes<Address>& routes) {
    std::set<Prefix<Address>> blocks;
    for (const auto& route : routes)
        for (int length = 24; length < route.prefix.length(); length += 8)
            blocks.emplace(route.prefix.address(), length);
    return (std::size_t{1} << 24) + 256 * blocks.size();
}

HeldFib new_fib(const char* name, rte_fib_dir24_8_nh_sz size) {
    const bool two = size == RTE_FIB_DIR24_8_2B;
    rte_fib_conf conf{};
    conf.type = RTE_FIB_DIR24_8;
    conf.default_nh = two ? kNothingOfTwo : kNothing;
    conf.max_routes = 1 << 20;
    conf.dir24_8.nh_sz = size;
    conf.dir24_8.num_tbl8 = two ? 32767 : 1 << 16;
    return HeldFib(rte_fib_create(name, 0, &conf));
}

HeldFib6 new_fib6(const char* name, rte_fib_trie_nh_sz size) {
    const bool two = size == RTE_FIB6_TRIE_2B;
    rte_fib6_conf conf{};
    conf.type = RTE_FIB6_TRIE;
    conf.default_nh = two ? kNothingOfTwo : kNothing;
    conf.max_routes = 1 << 19;
    conf.trie.nh_sz = size;
    conf.trie.num_tbl8 = two ? 32767 : 400'000;
    return HeldFib6(rte_fib6_create(name, 0, &conf));
}

bool add(rte_fib* table, const lpm::Route<Ipv4Address>& route) {
    const auto length = static_cast<std::uint8_t>(route.prefix.length());
    return rte_fib_add(table, route.prefix.address().value(), length, route.row) == 0;
}

bool add(rte_fib6* table, const lpm::Route<Ipv6Address>& route) {
    const Wire wire = wire_of(route.prefix.address().high(), route.prefix.address().low());
    return rte_fib6_add(table, wire.data(), static_cast<std::uint8_t>(route.prefix.length()), route.row) == 0;
}

// rte_lpm and rte_lpm6 have no /0: it is given as its halves, which routes of 1 bit after it replace.
bool add(rte_lpm* table, const lpm::Route<Ipv4Address>& route) {
    const auto length = static_cast<std::uint8_t>(route.prefix.length());
    if (length == 0)
        return rte_lpm_add(table, 0, 1, route.row) == 0 && rte_lpm_add(table, 0x8000'0000U, 1, route.row) == 0;
    return rte_lpm_add(table, route.prefix.address().value(), length, route.row) == 0;
}

bool add(rte_lpm6* table, const lpm::Route<Ipv6Address>& route) {
    const auto length = static_cast<std::uint8_t>(route.prefix.length());
    const Wire wire = wire_of(route.prefix.address().high(), route.prefix.address().low());
    const Wire upper_half = {0x80};
    if (length == 0)
        return rte_lpm6_add(table, wire.data(), 1, route.row) == 0 &&
               rte_lpm6_add(table, upper_half.data(), 1, route.row) == 0;
    return rte_lpm6_add(table, wire.data(), length, route.row) == 0;
}

// A route before those inside it. rte_fib of DPDK 22.11 wants it so: a route that ends at 255.255.255.255, added after
// neighbours inside it that fill its end, is written over the whole table.
template <class Address>
Routes<Address> in_order(Routes<Address> routes) {
    std::sort(routes.begin(), routes.end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    return routes;
}

// The table takes all routes in, in_order(), or is freed.
template <class AnyHeld, class Address>
void fill(const char* name, AnyHeld& table, const Routes<Address>& routes) {
    const auto taken = [&table](const auto& route) { return add(table.get(), route); };
    if (table && std::all_of(routes.begin(), routes.end(), taken)) return;
    std::fprintf(stderr, "%s cannot hold these routes and is left out\n", name);
    table.reset();
}

bool remove(rte_fib* table, const Prefix<Ipv4Address>& prefix) {
    return rte_fib_delete(table, prefix.address().value(), static_cast<std::uint8_t>(prefix.length())) == 0;
}

bool remove(rte_fib6* table, const Prefix<Ipv6Address>& prefix) {
    const Wire wire = wire_of(prefix.address().high(), prefix.address().low());
    return rte_fib6_delete(table, wire.data(), static_cast<std::uint8_t>(prefix.length())) == 0;
}

template <class AnyHeld, class Address>
std::optional<UpdateRates> rates_of(const char* name, AnyHeld table, const Routes<Address>& routes, Random& random) {
    constexpr std::size_t kUpdates = 100'000;
    const double begin = thread_seconds();
    fill(name, table, routes);
    if (!table) return std::nullopt;
    const double full = thread_seconds();
    for (std::size_t i = 0; i < kUpdates; i += 2) {
        const auto& route = routes[random() % routes.size()];
        if (!remove(table.get(), route.prefix) || !add(table.get(), route)) return std::nullopt;
    }
    const double end = thread_seconds();
    return UpdateRates{static_cast<double>(routes.size()) / (full - begin),
                       static_cast<double>(kUpdates) / (end - full)};
}

// Of a table whose slots take so many bytes each.
Lookups lookups_of(const char* name, std::size_t slots, std::size_t bytes, Subject subject,
                   std::function<lpm::Row(std::size_t)> row) {
    const double mebibytes = static_cast<double>(slots * bytes) / (1 << 20);
    subject.name = fmt::format("{} ({:.0f} MiB)", name, mebibytes);
    return {std::move(subject), std::move(row), mebibytes};
}

lpm::Row row_of(std::uint64_t hop, std::uint64_t nothing) {
    return hop == nothing ? lpm::kNoRow : static_cast<lpm::Row>(hop);
}

}  // namespace

template <>
struct Peers<Ipv4Address>::Members {
    HeldFib fib = new_fib("four", RTE_FIB_DIR24_8_4B);
    HeldFib small_fib = {};  // where all rows fit 2 bytes
    Held<rte_lpm, rte_lpm_free> lpm = {};
    std::size_t slots = 0;
    std::array<std::uint64_t, kBatch> hops{};
    std::array<std::uint32_t, kBatch> rows{};
};

template <>
Peers<Ipv4Address>::Peers(const Routes<Ipv4Address>& given) : members_(std::make_unique<Members>()) {
    const Routes<Ipv4Address> routes = in_order(given);
    members_->slots = slots_of(routes);
    fill("rte_fib with 4 bytes", members_->fib, routes);
    if (are_small(routes)) {
        members_->small_fib = new_fib("two", RTE_FIB_DIR24_8_2B);
        fill("rte_fib with 2 bytes", members_->small_fib, routes);
    }
    rte_lpm_config config{};
    config.max_rules = 1 << 20;
    config.number_tbl8s = 1 << 16;
    members_->lpm.reset(rte_lpm_create("peer", 0, &config));
    fill("rte_lpm", members_->lpm, routes);
}

template <>
std::vector<Lookups> Peers<Ipv4Address>::lookups(const Stream<Ipv4Address>& stream) {
    std::vector<Lookups> all;
    Members* const members = members_.get();
    auto* const keys = const_cast<std::uint32_t*>(stream.keys.data());
    const auto add_fib = [&](const char* name, rte_fib* fib, std::size_t bytes, rte_fib_lookup_type type) {
        if (fib == nullptr || rte_fib_select_lookup(fib, type) != 0) return;
        const auto work = [fib, keys, members, type](std::size_t first, std::size_t count) {
            if (first % 8192 == 0) rte_fib_select_lookup(fib, type);
            rte_fib_lookup_bulk(fib, keys + first, members->hops.data(), static_cast<int>(count));
        };
        const std::uint64_t nothing = bytes == 2 ? kNothingOfTwo : kNothing;
        all.push_back(lookups_of(name, members->slots, bytes, {name, work},
                                 [members, nothing](std::size_t k) { return row_of(members->hops[k], nothing); }));
    };
    add_fib("rte_fib 4 B", members->fib.get(), 4, RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO);
    add_fib("rte_fib 4 B AVX-512", members->fib.get(), 4, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512);
    add_fib("rte_fib 2 B", members->small_fib.get(), 2, RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO);
    add_fib("rte_fib 2 B AVX-512", members->small_fib.get(), 2, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512);
    if (auto* const table = members->lpm.get(); table != nullptr) {
        const auto work = [table, keys, members](std::size_t first, std::size_t count) {
            rte_lpm_lookup_bulk(table, keys + first, members->rows.data(), static_cast<unsigned>(count));
        };
        all.push_back(lookups_of("rte_lpm", members->slots, 4, {"", work}, [members](std::size_t k) {
            const std::uint32_t found = members->rows[k];
            return (found & RTE_LPM_LOOKUP_SUCCESS) == 0 ? lpm::kNoRow : found & 0xff'ffffU;
        }));
    }
    return all;
}

template <>
std::optional<UpdateRates> Peers<Ipv4Address>::update_rates(const Routes<Ipv4Address>& routes, Random& random) {
    return rates_of("rte_fib, to be changed,", new_fib("changed", RTE_FIB_DIR24_8_4B), routes, random);
}

template <>
struct Peers<Ipv6Address>::Members {
    HeldFib6 fib = new_fib6("four bytes", RTE_FIB6_TRIE_4B);
    HeldFib6 small_fib = {};  // where all rows fit 2 bytes
    Held<rte_lpm6, rte_lpm6_free> lpm = {};
    std::size_t slots = 0;
    std::array<std::uint64_t, kBatch> hops{};
    std::array<std::int32_t, kBatch> rows{};
    std::vector<Wire> wires = {};  // the stream as these peers read it
};

template <>
Peers<Ipv6Address>::Peers(const Routes<Ipv6Address>& given) : members_(std::make_unique<Members>()) {
    const Routes<Ipv6Address> routes = in_order(given);
    members_->slots = slots_of(routes);
    fill("rte_fib6 with 4 bytes", members_->fib, routes);
    if (are_small(routes)) {
        members_->small_fib = new_fib6("two bytes", RTE_FIB6_TRIE_2B);
        fill("rte_fib6 with 2 bytes", members_->small_fib, routes);
    }
    rte_lpm6_config config{};
    config.max_rules = 1 << 19;
    config.number_tbl8s = 400'000;
    members_->lpm.reset(rte_lpm6_create("peer6", 0, &config));
    fill("rte_lpm6", members_->lpm, routes);
}

template <>
std::vector<Lookups> Peers<Ipv6Address>::lookups(const Stream<Ipv6Address>& stream) {
    std::vector<Lookups> all;
    Members* const members = members_.get();
    members->wires.clear();
    for (const lpm::Key6& key : stream.keys) members->wires.push_back(wire_of(key.high, key.low));
    auto* const keys = reinterpret_cast<std::uint8_t(*)[16]>(members->wires.data());
    const auto add_fib = [&](const char* name, rte_fib6* fib, std::size_t bytes, rte_fib6_lookup_type type) {
        if (fib == nullptr || rte_fib6_select_lookup(fib, type) != 0) return;
        const auto work = [fib, keys, members, type](std::size_t first, std::size_t count) {
            if (first % 8192 == 0) rte_fib6_select_lookup(fib, type);
            rte_fib6_lookup_bulk(fib, keys + first, members->hops.data(), static_cast<int>(count));
        };
        const std::uint64_t nothing = bytes == 2 ? kNothingOfTwo : kNothing;
        all.push_back(lookups_of(name, members->slots, bytes, {name, work},
                                 [members, nothing](std::size_t k) { return row_of(members->hops[k], nothing); }));
    };
    add_fib("rte_fib6 4 B", members->fib.get(), 4, RTE_FIB6_LOOKUP_TRIE_SCALAR);
    add_fib("rte_fib6 4 B AVX-512", members->fib.get(), 4, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512);
    add_fib("rte_fib6 2 B", members->small_fib.get(), 2, RTE_FIB6_LOOKUP_TRIE_SCALAR);
    add_fib("rte_fib6 2 B AVX-512", members->small_fib.get(), 2, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512);
    if (auto* const table = members->lpm.get(); table != nullptr) {
        const auto work = [table, keys, members](std::size_t first, std::size_t count) {
            rte_lpm6_lookup_bulk_func(table, keys + first, members->rows.data(), static_cast<unsigned>(count));
        };
        all.push_back(lookups_of("rte_lpm6", members->slots, 4, {"", work}, [members](std::size_t k) {
            const std::int32_t found = members->rows[k];
            return found < 0 ? lpm::kNoRow : static_cast<lpm::Row>(found);
        }));
    }
    return all;
}

template <>
std::optional<UpdateRates> Peers<Ipv6Address>::update_rates(const Routes<Ipv6Address>& routes, Random& random) {
    return rates_of("rte_fib6, to be changed,", new_fib6("six changed", RTE_FIB6_TRIE_4B), routes, random);
}

template <class Address>
Peers<Address>::~Peers() = default;

template class Peers<Ipv4Address>;
template class Peers<Ipv6Address>;

}  // namespace sekisho::perf

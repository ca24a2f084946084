// DPDK's tables behind lpm_peers.hpp.
#include "perf/lpm_peers.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>

namespace sekisho::perf {

namespace {

template <class T, void (*free)(T*)>
struct FreeWith {
    void operator()(T* held) const noexcept { free(held); }
};
template <class T, void (*free)(T*)>
using Held = std::unique_ptr<T, FreeWith<T, free>>;

using Wire = std::array<std::uint8_t, 16>;

Wire wire_of(std::uint64_t high, std::uint64_t low) {
    Wire wire{};
    for (std::size_t i = 0; i < 8; ++i) {
        wire[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
        wire[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
    }
    return wire;
}

constexpr std::size_t kMostBatch = 256;
constexpr std::uint64_t kNothing = 0xffffff;     // the row of an address without a route
constexpr std::uint64_t kNothingOfTwo = 0x7fff;  // the same in 2 bytes, of which a bit is taken

// Whether all rows can be kept in 2 bytes.
template <class Address>
bool are_small(const Routes<Address>& routes) {
    return std::all_of(routes.begin(), routes.end(), [](const auto& route) { return route.row < kNothingOfTwo; });
}

}  // namespace

template <>
struct Peers<Ipv4Address>::Members {
    Held<rte_fib, rte_fib_free> fib;
    Held<rte_fib, rte_fib_free> small_fib;  // where all rows fit 2 bytes
    Held<rte_lpm, rte_lpm_free> lpm;
    std::array<std::uint64_t, kMostBatch> hops{};
    std::array<std::uint32_t, kMostBatch> rows{};
};

template <>
Peers<Ipv4Address>::Peers(const Routes<Ipv4Address>& routes) : members_(std::make_unique<Members>()) {
    const auto filled_fib = [&routes](const char* name, rte_fib_dir24_8_nh_sz size, std::uint32_t longer,
                                      std::uint64_t nothing) {
        rte_fib_conf conf{};
        conf.type = RTE_FIB_DIR24_8;
        conf.default_nh = nothing;
        conf.max_routes = 1 << 20;
        conf.dir24_8.nh_sz = size;
        conf.dir24_8.num_tbl8 = longer;
        Held<rte_fib, rte_fib_free> fib(rte_fib_create(name, 0, &conf));
        for (const auto& route : routes) {
            const auto length = static_cast<std::uint8_t>(route.prefix.length());
            if (fib && rte_fib_add(fib.get(), route.prefix.address().value(), length, route.row) != 0) fib.reset();
        }
        if (!fib) std::fprintf(stderr, "rte_fib cannot hold these routes and is left out (%s)\n", name);
        return fib;
    };
    const std::uint64_t before = cycles();
    members_->fib = filled_fib("four", RTE_FIB_DIR24_8_4B, 1 << 16, kNothing);
    add_cycles_ = static_cast<double>(cycles() - before) / static_cast<double>(routes.size());
    if (are_small(routes)) members_->small_fib = filled_fib("two", RTE_FIB_DIR24_8_2B, 32767, kNothingOfTwo);
    rte_lpm_config lpm{};
    lpm.max_rules = 1 << 20;
    lpm.number_tbl8s = 1 << 16;
    members_->lpm.reset(rte_lpm_create("peer", 0, &lpm));
    for (const auto& route : routes) {
        const auto length = static_cast<std::uint8_t>(route.prefix.length());
        if (members_->lpm && length != 0 &&
            rte_lpm_add(members_->lpm.get(), route.prefix.address().value(), length, route.row) != 0)
            members_->lpm.reset();
    }
    if (!members_->lpm) std::fprintf(stderr, "rte_lpm cannot hold these routes and is left out\n");
}

template <>
std::vector<Subject> Peers<Ipv4Address>::subjects(const Stream<Ipv4Address>& stream) {
    std::vector<Subject> all;
    auto* const keys = const_cast<std::uint32_t*>(stream.keys.data());
    std::uint64_t* const hops = members_->hops.data();
    std::uint32_t* const rows = members_->rows.data();
    const auto add = [&all, keys, hops](const std::string& name, rte_fib* fib, rte_fib_lookup_type type) {
        if (fib == nullptr || rte_fib_select_lookup(fib, type) != 0) return;
        all.push_back({name, [fib, keys, hops, type](std::size_t first, std::size_t count) {
                           if (first % 8192 == 0) rte_fib_select_lookup(fib, type);
                           rte_fib_lookup_bulk(fib, keys + first, hops, static_cast<int>(count));
                       }});
    };
    add("rte_fib 4 B (64 MiB)", members_->fib.get(), RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO);
    add("rte_fib 4 B AVX-512 (64 MiB)", members_->fib.get(), RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512);
    add("rte_fib 2 B (32 MiB)", members_->small_fib.get(), RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO);
    add("rte_fib 2 B AVX-512 (32 MiB)", members_->small_fib.get(), RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512);
    if (auto* const table = members_->lpm.get(); table != nullptr) {
        all.push_back({"rte_lpm (64 MiB)", [=](std::size_t first, std::size_t count) {
                           rte_lpm_lookup_bulk(table, keys + first, rows, static_cast<unsigned>(count));
                       }});
    }
    return all;
}

template <>
std::vector<lpm::Row> Peers<Ipv4Address>::rows(const Stream<Ipv4Address>& stream, std::size_t count) {
    std::vector<lpm::Row> found;
    const auto all = subjects(stream);
    for (std::size_t i = 0; !all.empty() && members_->fib && i < count; i += 64) {
        all[0].work(i, 64);
        for (std::size_t k = 0; k < 64; ++k)
            found.push_back(members_->hops[k] == kNothing ? lpm::kNoRow : static_cast<lpm::Row>(members_->hops[k]));
    }
    return found;
}

template <>
struct Peers<Ipv6Address>::Members {
    Held<rte_fib6, rte_fib6_free> fib;
    Held<rte_fib6, rte_fib6_free> small_fib;  // where all rows fit 2 bytes
    std::array<std::uint64_t, kMostBatch> hops{};
    std::vector<Wire> wires;  // the stream as these peers read it
};

template <>
Peers<Ipv6Address>::Peers(const Routes<Ipv6Address>& routes) : members_(std::make_unique<Members>()) {
    const auto filled_fib = [&routes](const char* name, rte_fib_trie_nh_sz size, std::uint32_t longer,
                                      std::uint64_t nothing) {
        rte_fib6_conf conf{};
        conf.type = RTE_FIB6_TRIE;
        conf.default_nh = nothing;
        conf.max_routes = 1 << 19;
        conf.trie.nh_sz = size;
        conf.trie.num_tbl8 = longer;
        Held<rte_fib6, rte_fib6_free> fib(rte_fib6_create(name, 0, &conf));
        for (const auto& route : routes) {
            Wire wire = wire_of(route.prefix.address().high(), route.prefix.address().low());
            const auto length = static_cast<std::uint8_t>(route.prefix.length());
            if (fib && rte_fib6_add(fib.get(), wire.data(), length, route.row) != 0) fib.reset();
        }
        if (!fib) std::fprintf(stderr, "rte_fib6 cannot hold these routes and is left out (%s)\n", name);
        return fib;
    };
    const std::uint64_t before = cycles();
    members_->fib = filled_fib("four bytes", RTE_FIB6_TRIE_4B, 400'000, kNothing);
    add_cycles_ = static_cast<double>(cycles() - before) / static_cast<double>(routes.size());
    if (are_small(routes)) members_->small_fib = filled_fib("two bytes", RTE_FIB6_TRIE_2B, 32767, kNothingOfTwo);
}

template <>
std::vector<Subject> Peers<Ipv6Address>::subjects(const Stream<Ipv6Address>& stream) {
    std::vector<Subject> all;
    members_->wires.clear();
    for (const lpm::Key6& key : stream.keys) members_->wires.push_back(wire_of(key.high, key.low));
    auto* const keys = reinterpret_cast<std::uint8_t(*)[16]>(members_->wires.data());
    std::uint64_t* const hops = members_->hops.data();
    const auto add = [&all, keys, hops](const std::string& name, rte_fib6* fib, rte_fib6_lookup_type type) {
        if (fib == nullptr || rte_fib6_select_lookup(fib, type) != 0) return;
        all.push_back({name, [fib, keys, hops, type](std::size_t first, std::size_t count) {
                           if (first % 8192 == 0) rte_fib6_select_lookup(fib, type);
                           rte_fib6_lookup_bulk(fib, keys + first, hops, static_cast<int>(count));
                       }});
    };
    add("rte_fib6 4 B (over 64 MiB)", members_->fib.get(), RTE_FIB6_LOOKUP_TRIE_SCALAR);
    add("rte_fib6 4 B AVX-512 (over 64 MiB)", members_->fib.get(), RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512);
    add("rte_fib6 2 B (over 32 MiB)", members_->small_fib.get(), RTE_FIB6_LOOKUP_TRIE_SCALAR);
    add("rte_fib6 2 B AVX-512 (over 32 MiB)", members_->small_fib.get(), RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512);
    return all;
}

template <>
std::vector<lpm::Row> Peers<Ipv6Address>::rows(const Stream<Ipv6Address>& stream, std::size_t count) {
    std::vector<lpm::Row> found;
    const auto all = subjects(stream);
    for (std::size_t i = 0; !all.empty() && members_->fib && i < count; i += 64) {
        all[0].work(i, 64);
        for (std::size_t k = 0; k < 64; ++k)
            found.push_back(members_->hops[k] == kNothing ? lpm::kNoRow : static_cast<lpm::Row>(members_->hops[k]));
    }
    return found;
}

template <class Address>
Peers<Address>::~Peers() = default;

template class Peers<Ipv4Address>;
template class Peers<Ipv6Address>;

}  // namespace sekisho::perf

// DPDK's tables behind lpm_peers.hpp.
#include "perf/lpm_peers.hpp"

#include <array>
#include <cstdio>

#include <rte_eal.h>
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
constexpr std::uint64_t kNothing = 0xffffff;  // the row of an address without a route

}  // namespace

bool start_dpdk(const char* program) {
    std::FILE* const file = std::fopen("/proc/sys/vm/nr_hugepages", "r");
    int pages = 0;
    if (file != nullptr) {
        if (std::fscanf(file, "%d", &pages) != 1) pages = 0;
        std::fclose(file);
    }
    std::vector<std::string> words = {program,          "--in-memory",   "--no-pci",
                                      "--no-telemetry", "--log-level=3", "--force-max-simd-bitwidth=512"};
    if (pages < 300) {
        std::fprintf(stderr, "fewer than 300 huge pages: the peers' tables lie in small pages\n");
        words.insert(words.end(), {"--no-huge", "-m", "1200"});
    }
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
        std::fprintf(stderr, "DPDK does not start\n");
        return false;
    }
    return true;
}

template <>
struct Peers<Ipv4Address>::Members {
    Held<rte_fib, rte_fib_free> fib;
    Held<rte_lpm, rte_lpm_free> lpm;
    std::array<std::uint64_t, kMostBatch> hops{};
    std::array<std::uint32_t, kMostBatch> rows{};
};

template <>
Peers<Ipv4Address>::Peers(const Routes<Ipv4Address>& routes) : members_(std::make_unique<Members>()) {
    rte_fib_conf fib{};
    fib.type = RTE_FIB_DIR24_8;
    fib.default_nh = kNothing;
    fib.max_routes = 1 << 21;
    fib.dir24_8.nh_sz = RTE_FIB_DIR24_8_4B;
    fib.dir24_8.num_tbl8 = 1 << 16;
    members_->fib.reset(rte_fib_create("peer", 0, &fib));
    rte_lpm_config lpm{};
    lpm.max_rules = 1 << 21;
    lpm.number_tbl8s = 1 << 16;
    members_->lpm.reset(rte_lpm_create("peer", 0, &lpm));
    if (!members_->fib || !members_->lpm) std::fprintf(stderr, "a peer has no memory and is left out\n");
    const std::uint64_t before = cycles();
    for (const auto& route : routes) {
        const auto length = static_cast<std::uint8_t>(route.prefix.length());
        if (members_->fib && rte_fib_add(members_->fib.get(), route.prefix.address().value(), length, route.row) != 0)
            members_->fib.reset();
    }
    add_cycles_ = static_cast<double>(cycles() - before) / static_cast<double>(routes.size());
    for (const auto& route : routes) {
        const auto length = static_cast<std::uint8_t>(route.prefix.length());
        if (members_->lpm && length != 0 &&
            rte_lpm_add(members_->lpm.get(), route.prefix.address().value(), length, route.row) != 0)
            members_->lpm.reset();
    }
}

template <>
std::vector<Subject> Peers<Ipv4Address>::subjects(const Stream<Ipv4Address>& stream) {
    std::vector<Subject> all;
    auto* const keys = const_cast<std::uint32_t*>(stream.keys.data());
    auto* const fib = members_->fib.get();
    std::uint64_t* const hops = members_->hops.data();
    std::uint32_t* const rows = members_->rows.data();
    const auto select = [fib, keys, hops](rte_fib_lookup_type type) {
        return [fib, keys, hops, type](std::size_t first, std::size_t count) {
            if (first % 8192 == 0) rte_fib_select_lookup(fib, type);
            rte_fib_lookup_bulk(fib, keys + first, hops, static_cast<int>(count));
        };
    };
    if (fib != nullptr) {
        all.push_back({"rte_fib scalar", select(RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO)});
        if (rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512) == 0)
            all.push_back({"rte_fib AVX-512", select(RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512)});
    }
    if (auto* const table = members_->lpm.get(); table != nullptr) {
        all.push_back({"rte_lpm bulk", [=](std::size_t first, std::size_t count) {
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
    Held<rte_lpm6, rte_lpm6_free> lpm;
    std::array<std::uint64_t, kMostBatch> hops{};
    std::array<std::int32_t, kMostBatch> rows{};
    std::vector<Wire> wires;  // the stream as these peers read it
};

template <>
Peers<Ipv6Address>::Peers(const Routes<Ipv6Address>& routes) : members_(std::make_unique<Members>()) {
    for (const std::uint32_t tables : {400'000U, 200'000U, 100'000U}) {
        rte_fib6_conf fib{};
        fib.type = RTE_FIB6_TRIE;
        fib.default_nh = kNothing;
        fib.max_routes = 1 << 20;
        fib.trie.nh_sz = RTE_FIB6_TRIE_4B;
        fib.trie.num_tbl8 = tables;
        members_->fib.reset(rte_fib6_create("peer6", 0, &fib));
        if (members_->fib) break;
    }
    if (!members_->fib) std::fprintf(stderr, "rte_fib6 has no memory and is left out\n");
    const std::uint64_t before = cycles();
    for (const auto& route : routes) {
        Wire wire = wire_of(route.prefix.address().high(), route.prefix.address().low());
        const auto length = static_cast<std::uint8_t>(route.prefix.length());
        if (members_->fib && rte_fib6_add(members_->fib.get(), wire.data(), length, route.row) != 0) {
            std::fprintf(stderr, "rte_fib6 cannot hold these routes and is left out\n");
            members_->fib.reset();
        }
    }
    add_cycles_ = static_cast<double>(cycles() - before) / static_cast<double>(routes.size());
}

template <>
std::vector<Subject> Peers<Ipv6Address>::subjects(const Stream<Ipv6Address>& stream) {
    std::vector<Subject> all;
    members_->wires.clear();
    for (const lpm::Key6& key : stream.keys) members_->wires.push_back(wire_of(key.high, key.low));
    auto* const keys = reinterpret_cast<std::uint8_t(*)[16]>(members_->wires.data());
    auto* const fib = members_->fib.get();
    std::uint64_t* const hops = members_->hops.data();
    const auto select = [fib, keys, hops](rte_fib6_lookup_type type) {
        return [fib, keys, hops, type](std::size_t first, std::size_t count) {
            if (first % 8192 == 0) rte_fib6_select_lookup(fib, type);
            rte_fib6_lookup_bulk(fib, keys + first, hops, static_cast<int>(count));
        };
    };
    if (fib == nullptr) return all;
    all.push_back({"rte_fib6 scalar", select(RTE_FIB6_LOOKUP_TRIE_SCALAR)});
    if (rte_fib6_select_lookup(fib, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512) == 0)
        all.push_back({"rte_fib6 AVX-512", select(RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512)});
    return all;
}

template <>
std::vector<lpm::Row> Peers<Ipv6Address>::rows(const Stream<Ipv6Address>& stream, std::size_t count) {
    std::vector<lpm::Row> found;
    const auto all = subjects(stream);
    for (std::size_t i = 0; !all.empty() && i < count; i += 64) {
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

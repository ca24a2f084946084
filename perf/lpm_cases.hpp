// The cases of lpm_bench: what is loaded, what is asked, what it is held against.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "lpm/fib.hpp"
#include "perf/lpm_data.hpp"
#include "perf/lpm_measure.hpp"
#include "perf/lpm_peers.hpp"
#include "perf/report.hpp"

namespace sekisho::perf {

inline constexpr std::size_t kMany = std::size_t{1} << 20;

struct Options {
    std::string data = {};    // a directory of ranges
    std::string routes = {};  // a file of "PREFIX NEXTHOP" lines
    int runs = 9;
    bool peers = true;
    std::string picture = {};  // a file for the SVG of sizes()
};

// One run of the program: what was asked of it, what it found, and what was not as it should be.
struct Bench {
    Options options = {};
    Report report = Report("lpm");
    std::vector<std::string> faults = {};

    void fault(std::string words) {
        fmt::print("!! {}\n", words);
        faults.push_back(std::move(words));
    }
};

using Routes4 = Routes<Ipv4Address>;
using Routes6 = Routes<Ipv6Address>;

// Cases of a family without routes are left out; so are those that need more than there are, with words.
void full_tables(Bench& bench, const FullTables& full);
void many_tables(Bench& bench, const FullTables& full);
void small_tables(Bench& bench, const FullTables& full);
void updates(Bench& bench, const FullTables& full);
// Lookup cost against table size, as figures and as a picture.
void sizes(Bench& bench);

// A Fib with these tables; ends the program with the error in words where a load is refused.
template <class Address>
lpm::Fib<Address> filled(const std::vector<Routes<Address>>& tables) {
    lpm::Fib<Address> fib(tables.size());
    for (std::size_t i = 0; i < tables.size(); ++i) {
        const auto loaded = fib.load(static_cast<lpm::TableId>(i), tables[i]);
        if (!loaded) {
            std::fprintf(stderr, "load: %s\n", loaded.error().words.c_str());
            std::exit(1);
        }
    }
    return fib;
}

inline double mebibytes(std::size_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}
inline Figure exact_figure(double value) {
    return {value, 0, 1};
}

// The Fib's lookups over the stream, in a view that must outlive them, with a table an address or with table 0 for all.
template <class Address>
Lookups asking(const lpm::FibView<Address>& view, const Stream<Address>& stream, bool many) {
    struct alignas(64) Found {
        std::array<lpm::Row, kBatch> rows{};
    };
    const auto found = std::make_shared<Found>();
    const auto work = [&view, &stream, many, found](std::size_t first, std::size_t count) {
        lpm::Row* const rows = found->rows.data();
        if (many)
            view.find(stream.tables.data() + first, stream.keys.data() + first, rows, count);
        else
            view.find(lpm::TableId{0}, stream.keys.data() + first, rows, count);
        asm volatile("" : : "r"(rows) : "memory");
    };
    return {{"ours", work}, [found](std::size_t k) { return found->rows[k]; }};
}

}  // namespace sekisho::perf

// The cases of lpm_bench: what is loaded, what is asked, what it is held against.
#pragma once

#include <string>

#include "lpm/fib.hpp"
#include "perf/lpm_data.hpp"
#include "perf/lpm_peers.hpp"
#include "perf/report.hpp"

namespace sekisho::perf {

inline constexpr std::size_t kBatch = 64;
inline constexpr std::size_t kMany = std::size_t{1} << 20;

struct Options {
    std::string data = ".";
    int runs = 9;
    bool peers = true;
    std::string picture = {};  // a file for the SVG of sizes()
};

using Routes4 = Routes<Ipv4Address>;
using Routes6 = Routes<Ipv6Address>;

void full_tables(Report& report, const Options& options, const Routes4& full4, const Routes6& full6);
void many_tables(Report& report, const Options& options, const Routes4& full4);
void small_tables(Report& report, const Options& options, const Routes4& full4);
void updates(Report& report, const Options& options, const Routes4& full4, const Routes6& full6);
// Lookup cost against table size, as figures and as a picture.
void sizes(Report& report, const Options& options);

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

// The view's lookups over the stream, with a table an address or with table 0 for all.
template <class Address>
Subject asking(const std::string& name, const lpm::FibView<Address>& view, const Stream<Address>& stream, bool many) {
    return {name, [&view, &stream, many](std::size_t first, std::size_t count) {
                lpm::Row rows[kBatch * 4];
                if (many)
                    view.find(stream.tables.data() + first, stream.keys.data() + first, rows, count);
                else
                    view.find(lpm::TableId{0}, stream.keys.data() + first, rows, count);
                asm volatile("" : : "r"(rows) : "memory");
            }};
}

inline double mebibytes(std::size_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}
inline Figure exact_figure(double value) {
    return {value, 0, 1};
}

}  // namespace sekisho::perf

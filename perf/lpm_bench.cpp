// lpm/ against DPDK's tables, in one process: full tables, 256 tables, 10,000 tables, updates, cost against size.
//
//   lpm_bench [--data DIR] [--routes FILE] [--json FILE] [--picture FILE] [--runs N] [--without-peers] [--only CASES]
// CASES: full, many, small, updates or sizes. DIR holds asn-ipv4.csv and asn-ipv6.csv (npm package
// @ip-location-db/asn); FILE of --routes holds "PREFIX NEXTHOP" lines (read_routes() says more). One of them is
// needed; with both, DIR gives the family that FILE has no routes of. FILE of --picture becomes an SVG of cost and
// memory against size. The addresses are drawn as the routes are: each route as often as any other. Everything is hot
// or as hot as its size lets it be; the core may be shared. Every answer that is looked at must be right, else the exit
// code is 1.
#include <algorithm>
#include <array>
#include <cstring>

#include "net/simd.hpp"
#include "perf/lpm_cases.hpp"
#include "perf/start_dpdk.hpp"

using namespace sekisho;
using namespace sekisho::perf;

namespace {

constexpr std::array<const char*, 5> kCases = {"full", "many", "small", "updates", "sizes"};

// The routes of the family, from the directory where none are there yet.
template <class Address>
Expected<void> complete(Routes<Address>& routes, const std::string& directory, const char* name) {
    if (!routes.empty() || directory.empty()) return {};
    auto ranges = read_ranges<Address>(directory + "/" + name);
    if (!ranges) return ranges.error();
    routes = std::move(*ranges);
    return {};
}

Expected<FullTables> read_tables(const Options& options) {
    FullTables full;
    if (!options.routes.empty()) {
        auto read = read_routes(options.routes);
        if (!read) return read.error();
        full = std::move(*read);
    }
    if (const auto done = complete(full.ipv4, options.data, "asn-ipv4.csv"); !done) return done.error();
    if (const auto done = complete(full.ipv6, options.data, "asn-ipv6.csv"); !done) return done.error();
    return full;
}

int usage(const char* program) {
    std::fprintf(stderr,
                 "usage: %s [--data DIR] [--routes FILE] [--json FILE] [--picture FILE] [--runs N] [--without-peers] "
                 "[--only CASES]\n"
                 "CASES: full, many, small, updates or sizes; one of --data and --routes is needed\n",
                 program);
    return 2;
}

}  // namespace

int main(int count, char** words) {
    Bench bench;
    Options& options = bench.options;
    std::string json;
    std::string only;
    for (int i = 1; i < count; ++i) {
        const bool has_value = i + 1 < count;
        if (std::strcmp(words[i], "--data") == 0 && has_value) {
            options.data = words[++i];
        } else if (std::strcmp(words[i], "--routes") == 0 && has_value) {
            options.routes = words[++i];
        } else if (std::strcmp(words[i], "--json") == 0 && has_value) {
            json = words[++i];
        } else if (std::strcmp(words[i], "--runs") == 0 && has_value) {
            options.runs = std::max(5, std::atoi(words[++i]));
        } else if (std::strcmp(words[i], "--only") == 0 && has_value) {
            only = words[++i];
        } else if (std::strcmp(words[i], "--picture") == 0 && has_value) {
            options.picture = words[++i];
        } else if (std::strcmp(words[i], "--without-peers") == 0) {
            options.peers = false;
        } else {
            return usage(words[0]);
        }
    }
    const bool known = only.empty() || std::find(kCases.begin(), kCases.end(), only) != kCases.end();
    if (!known || (options.data.empty() && options.routes.empty())) return usage(words[0]);
    const auto full = read_tables(options);
    if (!full) {
        std::fprintf(stderr, "%s\n", full.error().words.c_str());
        return 1;
    }
    if (options.peers && !start_dpdk(words[0])) return 1;
    fmt::print("{} IPv4 and {} IPv6 routes; lookups by {}; batch {}; medians of {} runs; TSC cycles a lookup\n",
               full->ipv4.size(), full->ipv6.size(), name_of(simd()), kBatch, options.runs);
    if (full->ipv4.empty()) fmt::print("no IPv4 routes: the cases of full, many and small IPv4 tables are left out\n");
    if (full->ipv6.empty()) fmt::print("no IPv6 routes: the cases of a full IPv6 table are left out\n");
    fmt::print("\n");
    if (only.empty() || only == "full") full_tables(bench, *full);
    if (only.empty() || only == "many") many_tables(bench, *full);
    if (only.empty() || only == "small") small_tables(bench, *full);
    if (only.empty() || only == "updates") updates(bench, *full);
    if (only.empty() || only == "sizes") sizes(bench);
    if (!json.empty() && !bench.report.write(json)) {
        std::fprintf(stderr, "%s cannot be written\n", json.c_str());
        return 1;
    }
    std::fflush(stdout);
    for (const std::string& fault : bench.faults) std::fprintf(stderr, "not as it should be: %s\n", fault.c_str());
    return bench.faults.empty() ? 0 : 1;
}

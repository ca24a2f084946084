// lpm/ against DPDK's tables, in one process: full tables, 256 tables, 10,000 tables, updates, cost against size.
//
//   lpm_bench --data DIR [--json FILE] [--picture FILE] [--runs N] [--without-peers] [--only CASES]
// CASES: full, many, small, updates or sizes. DIR holds asn-ipv4.csv and asn-ipv6.csv (npm package
// @ip-location-db/asn); FILE of --picture becomes an SVG of cost and memory against size. The addresses are drawn as
// the routes are: each route as often as any other. Everything is hot or as hot as its size lets it be; the core may
// be shared.
#include <algorithm>
#include <cstring>

#include "net/simd.hpp"
#include "perf/lpm_cases.hpp"
#include "perf/start_dpdk.hpp"

using namespace sekisho;
using namespace sekisho::perf;

int main(int count, char** words) {
    Options options;
    std::string json;
    std::string only;
    for (int i = 1; i < count; ++i) {
        const bool has_value = i + 1 < count;
        if (std::strcmp(words[i], "--data") == 0 && has_value) {
            options.data = words[++i];
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
            std::fprintf(stderr,
                         "usage: %s --data DIR [--json FILE] [--picture FILE] [--runs N] [--without-peers] "
                         "[--only CASES]\n",
                         words[0]);
            return 2;
        }
    }
    if (options.peers && !start_dpdk(words[0])) return 1;
    auto full4 = read_ranges<Ipv4Address>(options.data + "/asn-ipv4.csv");
    auto full6 = read_ranges<Ipv6Address>(options.data + "/asn-ipv6.csv");
    if (!full4 || !full6) {
        std::fprintf(stderr, "%s: no asn-ipv4.csv and asn-ipv6.csv that can be read\n", options.data.c_str());
        return 1;
    }
    fmt::print("{} IPv4 and {} IPv6 routes; lookups by {}; batch {}; medians of {} runs; TSC cycles a lookup\n\n",
               full4->size(), full6->size(), name_of(simd()), kBatch, options.runs);
    Report report("lpm");
    if (only.empty() || only == "full") full_tables(report, options, *full4, *full6);
    if (only.empty() || only == "many") many_tables(report, options, *full4);
    if (only.empty() || only == "small") small_tables(report, options, *full4);
    if (only.empty() || only == "updates") updates(report, options, *full4, *full6);
    if (only.empty() || only == "sizes") sizes(report, options);
    if (!json.empty() && !report.write(json)) {
        std::fprintf(stderr, "%s cannot be written\n", json.c_str());
        return 1;
    }
    return 0;
}

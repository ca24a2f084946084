// What esp_bench measures, a function for each of its cases.
#pragma once

#include <vector>

#include "perf/bench.hpp"
#include "perf/report.hpp"

namespace sekisho::perf {

inline constexpr int kWalks = 400;  // of a run

struct Size {
    const char* name;
    std::vector<std::size_t> sizes;  // of frames, in turn
    bool is(std::size_t size) const { return sizes.size() == 1 && sizes[0] == size; }
};
inline const std::vector<Size> kSizes = {
    {"64 B", {64}},
    {"512 B", {512}},
    {"1,400 B", {1400}},
    {"IMIX (7 of 64, 4 of 570, 1 of 1,400)", {64, 570, 64, 570, 64, 64, 1400, 64, 570, 64, 570, 64}},
};

void whole_path(Report& report, const Options& options);
void many_tunnels(Report& report, const Options& options);
void two_workers(Report& report, const Options& options);
void installs(Report& report, const Options& options);

}  // namespace sekisho::perf

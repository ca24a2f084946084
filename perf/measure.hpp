// How perf/ measures: subjects take turns, each run is cut into slices, and medians are kept.
//
// A machine that is shared takes the core away now and then: the median over slices of some ten microseconds does not
// see that, an average would. Cycles are those of the time stamp counter (constant rate, not the core's clock).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

namespace sekisho::perf {

inline std::uint64_t cycles() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

// Does items [first, first + count) of the work.
struct Subject {
    std::string name;
    std::function<void(std::size_t first, std::size_t count)> work;
};

struct Figure {
    double median = 0;
    double spread = 0;  // (slowest run - fastest run) / median
    int runs = 0;
};

inline double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

inline Figure figure_of(const std::vector<double>& runs) {
    const auto [least, most] = std::minmax_element(runs.begin(), runs.end());
    const double middle = median(runs);
    return {middle, middle > 0 ? (*most - *least) / middle : 0, static_cast<int>(runs.size())};
}

// Cycles an item for each subject: `runs` rounds in which every subject works through `slices` slices of the items,
// starting elsewhere each time; the first slices of a turn only warm up.
inline std::vector<Figure> race(const std::vector<Subject>& subjects, std::size_t items, std::size_t batch, int runs) {
    constexpr std::size_t kSlice = 8192;
    constexpr std::size_t kWarm = 8;
    const std::size_t slices = std::min<std::size_t>(72, items / kSlice);
    std::vector<std::vector<double>> costs(subjects.size());
    for (int run = 0; run < runs; ++run) {
        const std::size_t room = items / kSlice - slices + 1;
        const std::size_t start = (static_cast<std::size_t>(run) * 7919 % room) * kSlice;
        for (std::size_t s = 0; s < subjects.size(); ++s) {
            std::vector<double> slice_costs;
            for (std::size_t slice = 0; slice < slices; ++slice) {
                const std::size_t first = start + slice * kSlice;
                const std::uint64_t before = cycles();
                for (std::size_t i = first; i < first + kSlice; i += batch) subjects[s].work(i, batch);
                const std::uint64_t after = cycles();
                if (slice >= kWarm) slice_costs.push_back(static_cast<double>(after - before) / kSlice);
            }
            costs[s].push_back(median(slice_costs));
        }
    }
    std::vector<Figure> figures;
    for (const auto& cost : costs) figures.push_back(figure_of(cost));
    return figures;
}

}  // namespace sekisho::perf

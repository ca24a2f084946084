// What the cases of lpm_bench share in measuring: lookups whose answers can be looked at, processor time, memory.
#pragma once

#include <cstddef>
#include <ctime>
#include <fstream>
#include <functional>
#include <malloc.h>
#include <unistd.h>
#include <vector>

#include "lpm/types.hpp"
#include "perf/measure.hpp"

namespace sekisho::perf {

inline constexpr std::size_t kBatch = 64;

// Lookups over a stream, as they are timed, and what they found.
struct Lookups {
    Subject subject;                           // kBatch addresses a call
    std::function<lpm::Row(std::size_t)> row;  // of the k-th address of the last call, kNoRow where it has none
    double mebibytes = 0;                      // that lookups may touch, all tables together
};

inline std::vector<Subject> subjects_of(const std::vector<Lookups>& all) {
    std::vector<Subject> subjects;
    for (const Lookups& one : all) subjects.push_back(one.subject);
    return subjects;
}

// Processor time of this thread: what is left out is what others took of the core.
inline double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// MiB of this process that are in memory, without what the allocator keeps for later: that is given back first.
inline double resident_mebibytes() {
    malloc_trim(0);
    std::ifstream file("/proc/self/statm");  // pages: of address space, in memory, …
    double all = 0;
    double resident = 0;
    file >> all >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

}  // namespace sekisho::perf

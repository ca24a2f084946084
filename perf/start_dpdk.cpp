// Starting DPDK for a measurement.
#include "perf/start_dpdk.hpp"

#include <cstdio>
#include <string>
#include <vector>

#include <rte_eal.h>

namespace sekisho::perf {

bool start_dpdk(const char* program) {
    std::FILE* const file = std::fopen("/proc/sys/vm/nr_hugepages", "r");
    int pages = 0;
    if (file != nullptr) {
        if (std::fscanf(file, "%d", &pages) != 1) pages = 0;
        std::fclose(file);
    }
    std::vector<std::string> words = {program, "--no-pci", "--no-telemetry", "--log-level=3",
                                      "--force-max-simd-bitwidth=512"};
    if (pages < 1000) {
        std::fprintf(stderr,
                     "fewer than 1,000 huge pages of 2 MiB: the peers' tables lie in small pages, and are slower\n");
        words.insert(words.end(), {"--no-huge", "--no-shconf", "-m", "2000"});
    } else {
        words.emplace_back("--in-memory");
    }
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) {
        std::fprintf(stderr, "DPDK does not start\n");
        return false;
    }
    return true;
}

}  // namespace sekisho::perf

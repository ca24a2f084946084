// Starting and ending DPDK's environment abstraction layer.
#include "dataplane/environment.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <unistd.h>

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "dataplane/engine.hpp"

namespace sekisho::dataplane {
namespace {

// Where EAL keeps a directory for each file prefix.
std::filesystem::path runtime_directory() {
    if (geteuid() == 0) return "/run/dpdk";
    if (const char* const directory = std::getenv("XDG_RUNTIME_DIR")) return std::filesystem::path(directory) / "dpdk";
    return "/tmp/dpdk";
}

}  // namespace

unsigned free_hugepage_megabytes() {
    std::uint64_t bytes = 0;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", none)) {
        // hugepages-2048kB
        const std::string name = entry.path().filename().string();
        const std::size_t digits = name.find_first_of("0123456789");
        if (digits == std::string::npos) continue;
        std::uint64_t pages = 0;
        std::ifstream(entry.path() / "free_hugepages") >> pages;
        bytes += pages * std::strtoull(name.c_str() + digits, nullptr, 10) * 1024;
    }
    return static_cast<unsigned>(bytes >> 20);
}

std::vector<int> usable_processors() {
    std::vector<int> processors;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
    for (std::size_t processor = 0; processor < CPU_SETSIZE; ++processor)
        if (CPU_ISSET(processor, &set)) processors.push_back(static_cast<int>(processor));
    return processors;
}

std::string default_lcores(std::size_t workers) {
    const std::vector<int> processors = usable_processors();
    std::string lcores = fmt::format("0@{}", processors.front());
    for (std::size_t lcore = 1; lcore <= workers; ++lcore)
        lcores += fmt::format(",{}@{}", lcore, processors[lcore % processors.size()]);
    return lcores;
}

Expected<void> start_environment(const EngineConfig& config, bool hugepages) {
    std::vector<std::string> arguments = {
        "sekishod", "--lcores",
        config.lcores.empty() ? default_lcores(std::max<std::size_t>(1, config.workers)) : config.lcores, "--log-level",
        config.eal_log_level,
        // No device but those that the configuration names.
        "-a", "0000:00:00.0", "-m", std::to_string(config.memory_megabytes), "--file-prefix", config.file_prefix};
    if (hugepages) {
        arguments.emplace_back("--in-memory");
    } else {
        arguments.emplace_back("--no-huge");
    }
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0)
        return Error{ErrorCode::unavailable,
                     fmt::format("DPDK did not start ({} MB, {}): {}", config.memory_megabytes,
                                 hugepages ? "hugepages" : "no hugepages", rte_strerror(rte_errno))};
    return {};
}

void stop_environment(const std::string& file_prefix) {
    rte_eal_cleanup();
    std::error_code none;
    std::filesystem::remove_all(runtime_directory() / file_prefix, none);
    std::filesystem::remove(runtime_directory(), none);  // only if nobody else's is in it
}

}  // namespace sekisho::dataplane

#include "control/process_memory.hpp"

#include <fstream>
#include <sstream>
#include <string>

namespace sekisho::control {

ProcessMemory process_memory() {
    ProcessMemory memory;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        std::istringstream words(line);
        std::string name;
        std::uint64_t kilobytes = 0;
        words >> name >> kilobytes;
        if (name == "VmRSS:") memory.resident = kilobytes * 1024;
        if (name == "VmHWM:") memory.most_resident = kilobytes * 1024;
    }
    return memory;
}

}  // namespace sekisho::control

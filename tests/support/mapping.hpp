// What the kernel says of a piece of this process's memory.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace sekisho::test {

// The kernel's own flags of the mapping that holds `at`: "rd wr mr mw me lo ac dd".
inline std::string flags_of_mapping(const void* at) {
    std::ifstream maps("/proc/self/smaps");
    bool here = false;
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t from = 0, to = 0;
        char dash = 0;
        std::istringstream words(line);
        if (words >> std::hex >> from >> dash >> to && dash == '-')
            here = from <= reinterpret_cast<std::uintptr_t>(at) && reinterpret_cast<std::uintptr_t>(at) < to;
        if (here && line.starts_with("VmFlags:")) return line + " ";
    }
    return {};
}

}  // namespace sekisho::test

// How much memory this process has, as the kernel counts it: for people who plan a server, and for tests that bound it.
//
// Hugepages are not in it. Reads /proc; cold code, any thread.
#pragma once

#include <cstdint>

namespace sekisho::control {

struct ProcessMemory {                // bytes; 0 when the kernel does not say
    std::uint64_t resident = 0;       // now (VmRSS)
    std::uint64_t most_resident = 0;  // ever (VmHWM)
};
ProcessMemory process_memory();

}  // namespace sekisho::control

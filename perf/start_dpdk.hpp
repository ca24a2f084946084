// DPDK without devices, for the peers that are its libraries.
#pragma once

namespace sekisho::perf {

// False, with a line on stderr, where it does not start. Without huge pages peers run slower than they could: said on
// stderr too.
bool start_dpdk(const char* program);

}  // namespace sekisho::perf

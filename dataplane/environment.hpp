// DPDK's environment: its arguments from our configuration, its memory, its leftovers.
//
// Control thread, once a process. Knows nothing of ports or packets.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "net/expected.hpp"

namespace sekisho::dataplane {

struct EngineConfig;

// Free memory in hugepages, in megabytes; all sizes together.
unsigned free_hugepage_megabytes();

// The processors that this process may use.
std::vector<int> usable_processors();

// EAL's --lcores for a control thread and so many workers: on processors of their own while there are any, then
// beginning again with control's.
std::string default_lcores(std::size_t workers);

// Starts EAL. `hugepages`: whether its memory is to be in hugepages. The error carries what EAL said.
Expected<void> start_environment(const EngineConfig& config, bool hugepages);

// Ends EAL and removes what it leaves in its run-time directory.
void stop_environment(const std::string& file_prefix);

}  // namespace sekisho::dataplane

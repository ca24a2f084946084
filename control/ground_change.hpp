// Translations that changed, compiled one by one: whose institutions are cut again, and the pools of port blocks.
//
// Inner header of control/compile_change.cpp. Nothing is changed here but what the node remembers of pools. Compiler
// thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/compile_state.hpp"
#include "control/port_blocks.hpp"

namespace sekisho::control {

struct GroundChange {
    std::vector<std::uint32_t> institutions;       // to be cut again, by number; some of them twice
    std::optional<PortPools::OfGeneration> pools;  // if port blocks differ
    std::vector<Prefix4> gone;                     // addresses that were a pool's, or another one's
    std::vector<SharedAddresses> fresh;

    // Nothing: only the whole way tells what becomes of it.
    static std::optional<GroundChange> of(const Compiler::State::Basis& basis, const Policy& policy,
                                          const Numbers& numbers, PortPools& port_pools, std::uint32_t epoch);
};

}  // namespace sekisho::control

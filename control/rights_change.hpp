// What becomes of rights when agreements change: who must be cut again, and whose rights change without that.
//
// Inner header of control/compile_change.cpp. Grants keep their numbers from one generation to the next, so that only
// what a changed agreement names has another profile. An operator's unnamed leaves share one profile, which becomes
// another for all of them at once: their rows stay as they are. Changes nothing but the profiles. Compiler thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "control/compile_state.hpp"
#include "control/leaf_change.hpp"
#include "control/port_classes.hpp"

namespace sekisho::control {

struct RightsChange {
    Grants grants;
    Sides sides;
    Marks<Ipv4Address> marks4;
    Marks<Ipv6Address> marks6;
    PortClasses classes;
    bool tracks = false;
    Renamed renamed;
    std::vector<std::uint32_t> institutions;  // by number, ascending: those that the last generation has
};

// From the basis to the agreements that are in force now. Nothing: only the whole way tells.
std::optional<RightsChange> rights_change(Compiler::State::Basis& basis, const InForce& force, const Numbers& numbers);

// The terms of grants that are in use; of others, those that tell no ports apart.
std::vector<Terms> terms_in_use(const Grants& grants);

}  // namespace sekisho::control

// What a Compiler keeps from one generation to the next. Inner header of control/compile*.cpp.
//
// The numbers behind names and the lookup structures stay the same where they can. `basis` is what the last
// compilation was made of: a policy that differs from it in a few institutions or gates is compiled from there
// (control/compile_change.cpp). Compiler thread only, but for what the mutex guards.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/attachments.hpp"
#include "control/cells.hpp"
#include "control/compile.hpp"
#include "control/grants.hpp"
#include "control/in_force.hpp"
#include "control/interner.hpp"
#include "control/leaves.hpp"
#include "control/lookups.hpp"
#include "control/numbering.hpp"
#include "control/port_blocks.hpp"
#include "control/ways.hpp"

namespace sekisho::control {

// The document's gates, as a fold of those by hand begins with them: `gates` has owner_of and its numbers. The
// attachments of `tables` are placed by now.
void close_by_document(const InForce& in_force, const dataplane::TableParts& tables, GateTargets& gates);

// By VRF, how many leaves have each profile; none has 0.
using ProfileCounts = std::vector<std::unordered_map<std::uint32_t, std::int64_t>>;
// By VRF, the profiles that leaves have, ascending.
std::vector<std::vector<std::uint32_t>> profiles_in(const ProfileCounts& counts);

struct Compiler::State {
    using NamesPtr = std::shared_ptr<const NumberedNames>;

    // What the last compilation was made of, and the tables that it gave. Views and pointers are of its policy.
    struct Basis {
        Policy policy;
        std::vector<std::pair<std::string_view, const Agreement*>> agreements;  // in force
        Grants grants;
        Profiles profiles;
        Sides sides;
        Ground<Ipv4Address> ground4;
        Ground<Ipv6Address> ground6;
        ProfileCounts profile_counts;
        CellNumbers cell_numbers;
        SharedAttachments attachments;
        RoutesOfVrf<Ipv4Address> ways4;
        RoutesOfVrf<Ipv6Address> ways6;
        Numbers numbers;
        std::vector<std::uint32_t> owner_of;  // of GateTargets
        dataplane::TableParts tables;
        CompileReport report;
        std::set<std::string> closed_attachments;
    };

    State(NodePorts node_ports, const CompileLimits& node_limits);

    Expected<Numbers> plan_numbers(const Policy& policy) const;
    void adopt(const Numbers& numbers);
    void adopt(Numbering& numbering, const Numbering::Plan& plan, NamesPtr& names);
    NamesPtr read(const NamesPtr& names) const;
    std::string name(const NamesPtr& names, std::size_t number) const;

    Expected<Compiled> compile_whole(const Policy& policy, std::uint64_t generation, const InForce& force);
    // Nothing, where only the whole way tells what becomes of it; the lookup structures are then as they were, or
    // empty.
    std::optional<Compiled> compile_change(const Policy& policy, std::uint64_t generation, const InForce& force);
    void forget();  // of the lookup structures

    const NodePorts ports;
    const CompileLimits limits;
    Numbering operators;
    Numbering attachments;
    Numbering tunnels;
    Numbering institutions;
    Numbering port_blocks;
    Lookups<Ipv4Address> ipv4;
    Lookups<Ipv6Address> ipv6;
    std::vector<dataplane::Nexthop> nexthops;  // of the last generation
    TapNumbers taps;
    PortPools port_pools;
    std::optional<Basis> basis;

    // Written by the compiler thread, read by the control thread: only the pointers are guarded, what they point to
    // never changes.
    mutable std::mutex names_mutex;
    NamesPtr operator_names = std::make_shared<const NumberedNames>();
    NamesPtr attachment_names = operator_names;
    NamesPtr tunnel_names = operator_names;  // by TunnelId less one
    NamesPtr institution_names = operator_names;
};

}  // namespace sekisho::control

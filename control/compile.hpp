// From a validated Policy to the Tables that workers read.
//
// The Compiler keeps what must be the same from one generation to the next: the numbers behind the names (so that
// counters and neighbours survive a commit), the longest-prefix tables (changed in place, shared by copy-on-write), and
// what it compiled last, so that a few institutions or gates that differ cost what they are.
// One thread at a time: the compiler thread. Nothing here touches a worker; control/ publishes what compile() returns.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "control/gate_fold.hpp"
#include "control/policy.hpp"
#include "control/table_rows.hpp"
#include "dataplane/tables.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// What the compiler must know of the node that it compiles for.
struct NodePorts {
    // The number of the port with this name, or nullopt when the node has none.
    std::function<std::optional<PortId>(std::string_view name)> find;
    std::size_t count = 0;
    // The largest IP packet that a port carries, in bytes; empty when the node does not say.
    std::function<std::uint16_t(PortId port)> mtu = {};
    std::size_t workers = 1;  // each has a share of every pool of ports
};

// How many of each a generation may have; numbers of names that left count until they are given again.
struct CompileLimits {
    std::size_t operators = 256;                            // at most 65,535
    std::size_t attachments = dataplane::kMostAttachments;  // no more than that; as many tunnels
    std::size_t institutions = 524'288;
    std::size_t matrix_bytes = 8 << 20;  // matrices, their column maps and permissions together
};

struct CompileReport {  // sizes, for `apply` and `show generation`
    std::size_t who_rows = 0, hub_rows = 0, where_rows = 0;
    std::size_t port_classes = 0, permissions = 0, matrix_bytes = 0;
    std::size_t table_bytes = 0;  // of lookups
    std::size_t row_bytes = 0;    // of the rows that they lead to
    std::chrono::microseconds time{0};
    bool from_last = false;  // compiled from the last generation's tables: only what differs
    // When agreements or gates next come into or go out of force: compile again then.
    std::optional<std::chrono::system_clock::time_point> next_change;
};

using NamesByHand = std::set<std::string, std::less<>>;

struct Compiled {
    std::unique_ptr<dataplane::Tables> tables;
    CompileReport report;
    std::shared_ptr<const GateTargets> gates;  // valid while the policy is
};

class Compiler {
  public:
    struct State;  // control/compile_state.hpp

    explicit Compiler(NodePorts ports, const CompileLimits& limits = {});
    ~Compiler();

    // The tables of `policy` as of `now`, without the agreements that are closed by hand. On an error nothing is
    // changed: the next compile() starts from the last good one. Errors name the objects: overlap ("institutions \"a\"
    // and \"b\" both have ..."), no translation, matrix too large (with the agreements that cause it), a port that this
    // node does not have.
    Expected<Compiled> compile(const Policy& policy, std::uint64_t generation,
                               std::chrono::system_clock::time_point now, const NamesByHand& closed_agreements = {});

    // Rows of the generation with this number, which compile() gave of this policy last, or it is compiled again.
    // Errors: no such operator, no such prefix.
    Expected<TableRows> rows(const Policy& policy, std::uint64_t generation, std::chrono::system_clock::time_point now,
                             const NamesByHand& closed_agreements, const RowQuestion& question);

    // Names behind numbers, for the CLI; empty when there is none. Safe from the control thread at any time.
    std::string operator_name(OperatorId id) const;
    std::string attachment_name(AttachmentId id) const;
    std::string institution_name(InstitutionId id) const;
    std::string tunnel_name(TunnelId id) const;
    std::string vrf_name(VrfId id) const;
    std::optional<AttachmentId> attachment_id(std::string_view name) const;
    std::optional<VrfId> vrf_id(std::string_view name) const;

  private:
    std::unique_ptr<State> state_;
};

}  // namespace sekisho::control

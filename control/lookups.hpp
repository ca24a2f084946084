// The longest-prefix tables of one family and the rows behind them, from one generation to the next.
//
// plan() makes the rows of a generation and the routes that lead to them, and changes nothing; apply() changes the Fibs
// to those routes; show() gives readers their views. Fibs are shared with published generations by copy-on-write: what
// changes here does not show there. Compiler thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "control/cells.hpp"
#include "control/leaves.hpp"
#include "control/port_blocks.hpp"
#include "control/rows.hpp"
#include "control/ways.hpp"
#include "dataplane/tables.hpp"
#include "lpm/fib.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

template <class Address>
class Lookups {
  public:
    struct Plan {
        TableRoutes<Address> who_before, hub_before, where_before;  // what the Fibs have
        TableRoutes<Address> who, hub, where;                       // what they shall have
        std::vector<dataplane::WhoRow<Address>> who_rows;
        std::vector<dataplane::HubRow<Address>> hub_rows;
    };

    explicit Lookups(std::size_t vrfs) : who_(vrfs), hub_(1), where_(vrfs) {}

    // `nexthops` are those of the leaves, in their order; `attachment_sets` go by institution; `blocks` are IPv4's.
    Plan plan(const Leaves<Address>& leaves, const std::vector<NexthopId>& nexthops,
              const std::vector<std::uint16_t>& attachment_sets, const Cells& cells, RoutesOfVrf<Address> ways,
              const BlockLeaves& blocks = {}) const;
    // On an error the Fibs are somewhere between: only forget() makes them usable again.
    Expected<void> apply(const Plan& plan);
    // Empties the Fibs; the next plan() starts from nothing.
    void forget() { *this = Lookups(who_.tables()); }
    void show(dataplane::FamilyTables<Address>& tables) const;
    std::size_t memory() const noexcept { return who_.memory() + hub_.memory() + where_.memory(); }  // bytes

  private:
    lpm::Fib<Address> who_;
    lpm::Fib<Address> hub_;
    lpm::Fib<Address> where_;
};

}  // namespace sekisho::control

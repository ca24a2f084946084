// The longest-prefix tables of one family and the rows behind them, from one generation to the next.
//
// plan() makes the rows of a generation and the routes that lead to them, and changes nothing; apply() changes the Fibs
// to those routes; show() gives readers their views. Fibs are shared with published generations by copy-on-write: what
// changes here does not show there. Compiler thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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
        dataplane::SharedRows<dataplane::WhoRow<Address>> who_rows;
        dataplane::SharedRows<dataplane::HubRow<Address>> hub_rows;
    };
    struct NewLeaf {
        Leaf<Address> leaf;
        dataplane::WhoRow<Address> who;
        dataplane::HubRow<Address> hub;
    };

    explicit Lookups(std::size_t vrfs) : who_(vrfs), hub_(1), where_(vrfs) {}

    // `nexthops` are those of the leaves, in their order; `attachment_sets` go by institution; `blocks` are IPv4's.
    Plan plan(const Leaves<Address>& leaves, const std::vector<NexthopId>& nexthops,
              const std::vector<dataplane::AttachmentSets::Name>& attachment_sets, const Cells& cells,
              RoutesOfVrf<Address> ways, const BlockLeaves& blocks = {}) const;
    // On an error the Fibs are somewhere between: only forget() makes them usable again.
    Expected<void> apply(const Plan& plan);
    // These leaves instead of those; their rows are appended to those of `tables`, where there must be room. Errors,
    // and what to do then, as apply().
    Expected<void> change(const Leaves<Address>& gone, const std::vector<NewLeaf>& fresh,
                          dataplane::FamilyTables<Address>& tables);
    // A pool's addresses, for which there must be room in `tables`, and what was one's; errors as apply().
    Expected<void> add_pool(const Prefix<Address>& prefix, const SharedAddresses& shared,
                            dataplane::FamilyTables<Address>& tables);
    Expected<void> drop_pool(const Prefix<Address>& prefix) { return hub_.erase(0, prefix); }
    // A prefix of `where` leads to that nexthop, or is gone; errors as apply().
    Expected<void> change_way(VrfId vrf, const Prefix<Address>& prefix, std::optional<NexthopId> nexthop);
    // The nexthop of a leaf, of which `inside`, `hub` and `vrf` count, and which has that row of `who`. Where it is
    // another one, the row of `hub` is made anew; error limit, if there is no room for it.
    Expected<void> change_nexthop(const Leaf<Address>& leaf, lpm::Row who, NexthopId nexthop,
                                  dataplane::FamilyTables<Address>& tables);
    // Empties the Fibs; the next plan() starts from nothing.
    void forget() { *this = Lookups(who_.tables()); }
    void show(dataplane::FamilyTables<Address>& tables) const;
    const lpm::Fib<Address>& who() const noexcept { return who_; }
    const lpm::Fib<Address>& hub() const noexcept { return hub_; }
    const lpm::Fib<Address>& where() const noexcept { return where_; }
    std::size_t memory() const noexcept { return who_.memory() + hub_.memory() + where_.memory(); }  // bytes

    // A row of each table for one leaf; change() tells that of `who` where the other one is, if the leaf is behind a
    // pool.
    static dataplane::WhoRow<Address> who_row(const Leaf<Address>& leaf, dataplane::AttachmentSets::Name attachments,
                                              std::uint16_t matrix_row);
    static dataplane::HubRow<Address> hub_row(const Leaf<Address>& leaf, std::uint16_t group, NexthopId nexthop);
    static dataplane::HubRow<Address> pool_row(const SharedAddresses& shared);

  private:
    lpm::Fib<Address> who_;
    lpm::Fib<Address> hub_;
    lpm::Fib<Address> where_;
};

}  // namespace sekisho::control

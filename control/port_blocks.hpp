// Port blocks in a generation: the pools with what is lent of them, static maps, and the leaves that are behind them.
//
// Pools outlive generations: one that the next has too, by its translation's name, its addresses and whose its blocks
// are, is the same, and what is lent stays lent. The compiler remembers only those that tables still hold. Compiler
// thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/leaves.hpp"
#include "control/numbering.hpp"
#include "control/policy.hpp"
#include "dataplane/tables.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// What port blocks add to the rows of IPv4.
struct BlockLeaves {
    Leaves<Ipv4Address> leaves;                     // no lookup in hub space leads to them
    std::vector<NexthopId> nexthops;                // by leaf
    std::vector<std::pair<Prefix4, VrfId>> shared;  // by pool: its addresses, and whose institutions are behind them
};

// What is behind each pool, in the order of the tables' pools. Error: a translation of no operator.
using BehindPools = std::vector<std::pair<VrfId, Prefix4>>;
Expected<BehindPools> behind_pools(const Policy& policy, const Numbers& numbers);
// Finds the leaves' pools. Those whose operator has none here, which are another node's, are left out. Gives a leaf
// that none of its operator's pools is for, if there is one.
std::optional<Leaf<Ipv4Address>> find_pools(const BehindPools& pools, Leaves<Ipv4Address>& leaves);

class PortBlocks {
  public:
    explicit PortBlocks(std::size_t workers) : workers_(workers) {}

    // Fills the tables' pools and static maps; the nexthops of the leaves are still to be found. Errors name the
    // objects: a reference to nothing, an institution's prefix that no port block covers, static maps that contradict.
    Expected<BlockLeaves> place(const Policy& policy, const Numbers& numbers, const Sides& sides, Profiles& profiles,
                                dataplane::Tables& tables);

  private:
    using Identity = dataplane::PortShares::Identity;
    Expected<std::shared_ptr<dataplane::PortShares>> shares_of(const Identity& identity, std::uint32_t epoch);

    std::size_t workers_;
    std::map<Identity, std::weak_ptr<dataplane::PortShares>> known_;
};

}  // namespace sekisho::control

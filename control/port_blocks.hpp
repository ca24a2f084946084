// Port blocks in a generation: the pools with what is lent of them, static maps, and the leaves that are behind them.
//
// Pools outlive generations: one that the next has too, by its translation's name, its addresses and whose its blocks
// are, is the same, and what is lent stays lent. Only those that tables still hold are remembered. Compiler thread
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "control/leaves.hpp"
#include "control/numbering.hpp"
#include "control/policy.hpp"
#include "dataplane/tables.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

inline constexpr std::size_t kMostPortBlocks = std::numeric_limits<std::uint16_t>::max() - std::size_t{1};

// The names of the translations that are port blocks, ascending.
std::vector<std::string_view> names_of_blocks(const Policy& policy);

// The addresses that all behind a pool share.
struct SharedAddresses {
    Prefix4 prefix;
    VrfId vrf;             // whose institutions are behind them
    std::uint16_t number;  // of the pool
    friend bool operator==(const SharedAddresses&, const SharedAddresses&) = default;
};

// Nothing, where it has none: it is of no operator, or not of IPv4.
std::optional<SharedAddresses> shared_by(const Translation& block, const Numbers& numbers);

// What port blocks add to the rows of IPv4.
struct BlockLeaves {
    Leaves<Ipv4Address> leaves;       // no lookup in hub space leads to them
    std::vector<NexthopId> nexthops;  // by leaf
    std::vector<SharedAddresses> shared;
};

// What is behind each pool.
struct BehindPool {
    VrfId vrf;
    Prefix4 prefix;
    std::uint16_t number = 0;
};
using BehindPools = std::vector<BehindPool>;  // ascending by VRF and prefix, none of one VRF inside another
// Error: a translation of no operator.
Expected<BehindPools> behind_pools(const Policy& policy, const Numbers& numbers);
// Finds the leaves' pools. Those whose operator has none here, which are another node's, are left out. Gives a leaf
// that none of its operator's pools is for, if there is one.
std::optional<Leaf<Ipv4Address>> find_pools(const BehindPools& pools, Leaves<Ipv4Address>& leaves);
Error not_covered(const Policy& policy, const Leaf<Ipv4Address>& leaf);  // what is said of that one

class PortPools {
  public:
    struct OfGeneration {
        std::vector<dataplane::PortPoolRow> rows;  // by number; without shares where none is in use
        nat::StaticMaps static_maps;
        std::vector<SharedAddresses> shared;
    };

    explicit PortPools(std::size_t workers) : workers_(workers) {}

    // Those of a generation, whose low bits are `epoch`. Errors name the objects: a reference to nothing, static maps
    // that contradict.
    Expected<OfGeneration> of(const Policy& policy, const Numbers& numbers, std::uint32_t epoch);

  private:
    using Identity = dataplane::PortShares::Identity;
    Expected<std::shared_ptr<dataplane::PortShares>> shares_of(const Identity& identity, std::uint32_t epoch);

    std::size_t workers_;
    std::map<Identity, std::weak_ptr<dataplane::PortShares>> known_;
};

}  // namespace sekisho::control

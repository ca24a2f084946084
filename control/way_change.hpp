// What becomes of ways when routes and subnets of lines change: prefixes of `where`, and the nexthops of the leaves
// that lie there.
//
// Inner header of control/compile_change.cpp. A prefix that changes touches its own VRF: its row of `where`, the `hub`
// rows of the leaves that overlap it, and tunnels whose peer lies in it. Compiler thread only.
#pragma once

#include <optional>
#include <vector>

#include "control/compile_state.hpp"
#include "control/line_change.hpp"

namespace sekisho::control {

class WayChange {
  public:
    // From the basis to the routes of `policy`, which has these numbers, and connected routes that go and come.
    // Nothing: only the whole way tells.
    static std::optional<WayChange> of(const Compiler::State::Basis& basis, const Policy& policy,
                                       const Numbers& numbers, const std::vector<ConnectedMove>& connected);

    // Changes the basis, but for its policy, and what lookups lead to. False: the lookup structures are somewhere
    // between, as is the basis, and must be forgotten.
    bool apply(Compiler::State::Basis& basis, Lookups<Ipv4Address>& ipv4, Lookups<Ipv6Address>& ipv6) const;

  private:
    struct Moved {
        IpPrefix prefix = Prefix4();
        VrfId vrf;
        bool was = false;
        std::optional<NexthopId> now;  // none: it is gone
    };
    bool move(const Compiler::State::Basis& basis, const Moved& moved);
    NexthopId number_of(const dataplane::Nexthop& nexthop);
    std::optional<std::uint32_t> group_of(const std::vector<WayMember>& members);
    template <class Address>
    bool apply(const Moved& moved, RoutesOfVrf<Address>& ways, Lookups<Address>& lookups,
               dataplane::FamilyTables<Address>& tables) const;

    std::vector<Moved> moved_;
    std::vector<dataplane::Nexthop> nexthops_;
    std::vector<dataplane::NexthopGroup> groups_;
};

}  // namespace sekisho::control

// Routes to `where`: for each VRF the prefixes of its operator's space, each with a nexthop.
//
// A route of the policy names a gateway, an attachment's own link, a blackhole, or several of the first two; an
// attachment's subnets are connected routes that nobody has to write. What goes by an attachment that is a tunnel has
// no neighbour there. Link-local prefixes are never among them (RFC 4291 §2.5.6). Equal nexthops share a number and
// keep it from one generation to the next. Whether an attachment is open, or serves the family, is the packet path's
// business. Compiler thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "control/leaves.hpp"
#include "control/numbering.hpp"
#include "control/policy.hpp"
#include "dataplane/tables.hpp"
#include "lpm/types.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

template <class Address>
using RoutesOfVrf = std::vector<std::vector<lpm::Route<Address>>>;  // by VRF; ascending by prefix, all different

struct Ways {
    RoutesOfVrf<Ipv4Address> ipv4;  // the row is the NexthopId
    RoutesOfVrf<Ipv6Address> ipv6;
    std::vector<dataplane::Nexthop> nexthops;  // numbers that nothing uses are blackholes
    std::vector<dataplane::NexthopGroup> groups;
};

// The routes that an attachment brings by itself.
struct ConnectedWay {
    IpPrefix prefix;
    dataplane::Nexthop nexthop;
};
std::vector<ConnectedWay> connected_of(const Attachment& attachment, AttachmentId id);

// What one route says. Several members are a group, whose number is still to be given.
struct WayMember {
    dataplane::Nexthop nexthop;
    std::uint16_t weight = 1;
    bool backup = false;
};
struct RouteWay {
    dataplane::Nexthop nexthop;
    std::vector<WayMember> members;
};
Expected<RouteWay> way_of(const Policy& policy, const Numbers& numbers, const Route& route);
bool same_way(const dataplane::Nexthop& a, const dataplane::Nexthop& b) noexcept;  // of groups, with one number

// All ways of the policy. `last` are the nexthops of the last generation, whose numbers stay. Errors name the route or
// attachments: a reference to nothing, an attachment of another operator, two ways for one prefix, a gateway of the
// other family, the same nexthop twice, backups only.
Expected<Ways> ways_of(const Policy& policy, const Numbers& numbers, const std::vector<dataplane::Nexthop>& last);

// The row of the longest prefix of a VRF that covers the address, or kNoNexthop.
template <class Address>
NexthopId way_to(const RoutesOfVrf<Address>& routes, VrfId vrf, const Address& address);

// For each leaf the nexthop of its whole prefix in its operator's space: where one gateway, group or blackhole covers
// all of it and no finer route lies inside, otherwise kResolve.
template <class Address>
std::vector<NexthopId> nexthops_of(const Leaves<Address>& leaves, const RoutesOfVrf<Address>& routes,
                                   const std::vector<dataplane::Nexthop>& nexthops);

}  // namespace sekisho::control

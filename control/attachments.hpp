// Attachments as workers see them: by number, by (port, VLAN), and in the sets that institutions may use.
//
// It puts the policy's attachments onto the ports of this node. Connected routes are control/ways' business, and so is
// everything that an address leads to, but for tunnels' peers. Compiler thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "control/compile.hpp"
#include "control/in_force.hpp"
#include "control/interner.hpp"
#include "control/numbering.hpp"
#include "control/policy.hpp"
#include "control/ways.hpp"
#include "dataplane/tables.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// The number of a tunnel by its name; none for "". Error not_found.
Expected<TunnelId> tunnel_number(const Numbers& numbers, std::string_view name);

// One of them, as workers see it; what a tunnel over it asks of it is place_tunnel()'s. Errors as place_attachments().
Expected<dataplane::Attachment> place_attachment(const Policy& policy, const std::string& name, const Attachment& told,
                                                 const Numbers& numbers, const InForce& in_force,
                                                 const NodePorts& ports);

// Fills attachments and attachment_of; those of tunnels are on their underlay's port, and on no VLAN of it. Errors name
// the attachment: no such operator or port, a VLAN that is none or is taken, no address of a family that it serves,
// what this version cannot do.
Expected<void> place_attachments(const Policy& policy, const Numbers& numbers, const InForce& in_force,
                                 const NodePorts& ports, dataplane::Tables& tables);

// Fills tunnels; after place_attachments(), with the ways and nexthops that go with them. Errors name the tunnel: an
// underlay that is none, or has no address for the hub's end, no attachment or two, a way that leaves by something
// else.
Expected<void> place_tunnels(const Policy& policy, const Numbers& numbers, const Ways& ways, dataplane::Tables& tables);

// One of them, without its way and whose path it is; its underlay is placed, and is told of its port. Errors as
// place_tunnels().
Expected<dataplane::Tunnel> place_tunnel(const Policy& policy, const Tunnel& told, const Numbers& numbers,
                                         dataplane::TableParts& tables);

// The way to a tunnel's peer, as its row has it: by underlays only, which is an error otherwise.
Expected<NexthopId> way_of_tunnel(const dataplane::Tunnel& tunnel, const RoutesOfVrf<Ipv4Address>& ipv4,
                                  const RoutesOfVrf<Ipv6Address>& ipv6, const dataplane::TableParts& tables);

// The number of every TAP that was ever asked for: by attachment, network namespace and interface.
using TapNumbers = std::map<std::tuple<std::string, std::string, std::string>, TapId>;

// Fills taps, and who has which; after place_attachments(). `known` grows.
void place_taps(const Policy& policy, const Numbers& numbers, TapNumbers& known, dataplane::TableParts& tables);

// Sets of attachments that institutions may use, equal ones kept once, from one generation to the next.
class SharedAttachments {
  public:
    using Name = dataplane::AttachmentSets::Name;

    // The set of this institution. Errors name it: an attachment that does not exist or is not its operator's.
    Expected<Name> set_of(const Policy& policy, const std::string& name, const Institution& institution,
                          const Numbers& numbers);
    // The same of all, by institution.
    Expected<std::vector<Name>> sets_of(const Policy& policy, const Numbers& numbers);

    const dataplane::AttachmentSets& written() const noexcept { return written_; }

  private:
    Sets sets_;
    std::vector<Name> names_;  // by number in sets_
    dataplane::AttachmentSets written_;
};

}  // namespace sekisho::control

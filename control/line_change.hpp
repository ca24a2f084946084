// What becomes of lines when attachments and tunnels change: where frames of theirs come, the subnets that they bring,
// and the tunnels that are their paths.
//
// Inner header of control/compile_change.cpp. An attachment that changed touches itself, its subnets' rows of `where`,
// its tunnel, and those over it, if it is an underlay. Compiler thread only.
#pragma once

#include <optional>
#include <vector>

#include "control/compile_state.hpp"

namespace sekisho::control {

// A connected route that goes or comes.
struct ConnectedMove {
    IpPrefix prefix = Prefix4();
    VrfId vrf;
    std::optional<dataplane::Nexthop> now;  // none: it goes
};

class LineChange {
  public:
    // From the basis, whose attachments' names are told, to the lines of `policy`, which has these numbers. Nothing:
    // only the whole way tells.
    static std::optional<LineChange> of(const Compiler::State::Basis& basis, const Policy& policy,
                                        const Numbers& numbers, const NumberedNames& attachment_names,
                                        const InForce& force, const NodePorts& ports);

    const std::vector<ConnectedMove>& connected() const noexcept { return connected_; }
    bool moves_taps() const noexcept { return moves_taps_; }  // they are placed anew, once attachments are

    // Before the ways change.
    void place_attachments(dataplane::TableParts& tables) const;
    // Once they have. False: a tunnel that only the whole way can tell of; the tables are then half changed.
    bool place_tunnels(const Policy& policy, const Numbers& numbers, const RoutesOfVrf<Ipv4Address>& ipv4,
                       const RoutesOfVrf<Ipv6Address>& ipv6, dataplane::TableParts& tables) const;

  private:
    struct Placed {
        AttachmentId id;
        std::optional<dataplane::Attachment> is;  // none: it is gone
    };
    struct Sealed {
        TunnelId id;
        const Tunnel* is = nullptr;  // null: it is gone
        AttachmentId user;
    };
    class Taking;

    std::vector<Placed> placed_;
    std::vector<Sealed> sealed_;
    std::vector<ConnectedMove> connected_;
    bool moves_taps_ = false;
};

}  // namespace sekisho::control

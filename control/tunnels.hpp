// What tunnels mean for the rest of the policy: who uses one, what it leaves of an MTU, what its SAs rest on.
//
// For validation, warnings, the compiler, and whoever must know whether SAs outlive a commit. That the policy is valid
// is not taken for granted: what cannot be told is none. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/policy.hpp"

namespace sekisho::control {

// So many tunnels may change, or be over an underlay that does, and still be looked at one by one.
inline constexpr std::size_t kFewTunnels = 1024;

// The largest inner packet whose ESP, maybe in UDP, fits a packet of `mtu` bytes with an outer header of this family,
// whatever padding it takes; 0 when none does.
std::uint16_t mtu_inside(std::uint16_t mtu, Family outer, bool in_udp = false) noexcept;

// The attachment that a tunnel goes over; nullptr if there is none.
const Attachment* underlay_of(const Policy& policy, const Tunnel& tunnel);
// The hub's end of a tunnel: its own address on the underlay, of the peer's family.
std::optional<IpAddress> local_end_of(const Policy& policy, const Tunnel& tunnel);
// The MTU of an attachment: what the document says, or what the underlay of its tunnel leaves; 0 if that is not to be
// told.
std::uint16_t mtu_of(const Policy& policy, const Attachment& attachment);
// What its underlay leaves of an MTU, whatever the document says; 0 likewise.
std::uint16_t mtu_left(const Policy& policy, const Tunnel& tunnel);

// What says where a packet for a peer goes: the longest prefix of the underlay's operator that covers it.
class PeerWays {
  public:
    explicit PeerWays(const Policy& policy);
    PeerWays(const Policy& policy, const std::vector<const Tunnel*>& tunnels);  // to the peers of these only

    struct Way {
        const Route* route = nullptr;  // one of the two
        const Attachment* connected = nullptr;
    };
    // Nothing, when no prefix covers it.
    std::optional<Way> find(std::string_view operator_id, const IpAddress& peer) const;

  private:
    template <class Wanted>
    void fill(const Policy& policy, const Wanted& wanted);

    std::map<std::pair<std::string_view, IpPrefix>, Way> ways_;
};

// What of a tunnel its SAs were agreed upon. Marks, windows and lifetimes are not in it: a change of those holds from
// the next SA on.
std::string agreed_of(const Tunnel& tunnel);
// All that the SAs of a tunnel were agreed upon: while this text is the same, they may stay; when it differs, or there
// is none, they must go. "" when the tunnel is not whole.
std::string basis_of_sas(const Policy& policy, const Tunnel& tunnel, const Attachment& user);

}  // namespace sekisho::control

// The policy as the hub understands it: plain values, one struct for each object of the document.
//
// control/document reads them from JSON and refuses what is malformed; control/validate refuses what contradicts
// itself; control/compile turns a Policy into the tables that workers read. Names (ids) are the document's own; a
// reference is by name. The closed enums are the connection rules' own terms. What is only for the record
// (certificates, CPE, demarcations) stays in the document's text, for there are half a million of them. Values only; no
// thread of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "control/policy_map.hpp"
#include "crypto/lifetime.hpp"
#include "crypto/marks.hpp"
#include "crypto/selectors.hpp"
#include "crypto/suite.hpp"
#include "nat/port_block.hpp"
#include "nat/timeouts.hpp"
#include "net/address.hpp"
#include "net/ids.hpp"
#include "net/prefix.hpp"

namespace sekisho::control {

enum class ExpiryAction { warn, freeze, stop };
enum class AttachmentMethod { ip_vpn, leased_line, designated };
enum class Protection { none, esp };
enum class SessionManagement {
    hub,
    operator_,
    none
};  // whose task the VPN session records are; "operator" in the document
enum class FamilyChoice { ipv4, ipv6, dual };
enum class InstitutionKind { hospital, pharmacy, regional_network, care_provider, service_provider };
enum class LinkMethod { ip_vpn, internet_vpn, leased_line, other };
enum class TranslationKind { prefix_map, port_block, family };
enum class Protocol { tcp, udp, icmp_echo, any };
enum class AgreementState { tracked, stateless };
enum class TunnelKeys { manual, ike };  // who makes them: an engineer, or an IKE daemon
enum class GateReason { maintenance, emergency, arrears, violation, expiry, revocation };

struct Hub {
    std::string rules_version;    // of the connection rules that the document was written for
    std::vector<IpPrefix> pools;  // of hub-numbered addresses
    nat::Timeouts timers;         // of sessions
    std::uint32_t hold_down_days = 0;
};

struct Certification {
    std::string number;
    std::string valid_from;   // dates are "2026-04-01", Japan time
    std::string valid_until;  // the last day
    ExpiryAction expiry_action = ExpiryAction::warn;
};

struct Assessment {  // of the operator's security, by whom and by which standard; all empty when there is none
    std::string body;
    std::string standard;
    std::string valid_from;
    std::string valid_until;
};

struct Operator {
    std::string id;
    std::string name;  // for people
    Certification certification;
    Assessment assessment;
    std::string network_namespace;  // where its kernel ports are, its routing daemons too; "" if it has none
};

struct Attachment {
    std::string id;
    std::string operator_id;
    std::string tunnel;      // its path, instead of port and VLAN; "" if it is on a port
    std::string port;        // a port of this node, by its name in the node's configuration
    std::uint16_t vlan = 0;  // 0: untagged
    AttachmentMethod method = AttachmentMethod::ip_vpn;
    std::string designation;  // the document that a designated method refers to
    Protection protection = Protection::none;
    SessionManagement session_management = SessionManagement::none;
    FamilyChoice family = FamilyChoice::dual;
    MacAddress mac;  // the hub's own there: locally administered, unicast
    std::optional<Ipv4Address> ipv4;
    Prefix4 subnet4;
    std::optional<Ipv6Address> ipv6;
    Prefix6 subnet6;
    Ipv6Address link_local;             // from the document, or fe80:: and the MAC's EUI-64
    std::uint16_t mtu = 1500;           // 0, of a tunnel: what its underlay leaves (control/tunnels.hpp)
    std::uint16_t reachable_time = 30;  // seconds
    std::string kernel_interface;       // the TAP in its operator's namespace; "" if it asks for none
    bool underlay = false;              // carries tunnels only

    bool is_tunnel() const noexcept { return !tunnel.empty(); }

    bool serves(Family which) const noexcept {
        return family == FamilyChoice::dual || (family == FamilyChoice::ipv4) == (which == Family::ipv4);
    }
};

struct UdpEncapsulation {  // of ESP (RFC 3948)
    std::uint16_t peer_port = 4500;
    std::uint16_t local_port = 4500;
    std::uint16_t keepalive = 0;  // seconds; 0: none is sent
};

struct Tunnel {  // ESP to a peer, over an underlay; the path of one attachment
    std::string id;
    std::string underlay;  // an attachment that is one
    IpAddress peer = Ipv4Address();
    std::vector<crypto::Selector> selectors;  // of the inner packets, in the space of its attachment's operator
    crypto::Suite suite = crypto::Suite::aes_gcm_256;
    bool esn = true;
    std::uint32_t replay_window = 4096;  // packets
    crypto::OuterMarks marks;
    crypto::LifetimeLimits lifetimes;  // of each of its SAs
    TunnelKeys keys = TunnelKeys::manual;
    std::optional<UdpEncapsulation> udp;
};

struct Link {  // an institution's line to its operator
    LinkMethod method = LinkMethod::ip_vpn;
    std::string guideline;                 // the edition of the guideline that an other method follows
    std::vector<std::string> attachments;  // the first is the usual one, the others are backup lines
};

struct Institution {
    std::string id;
    std::string operator_id;
    InstitutionKind kind = InstitutionKind::hospital;
    std::vector<IpPrefix> prefixes;  // in hub space
    std::vector<Link> links;
    std::vector<IpPrefix> operator_prefixes;  // in its operator's space, behind a port block
};

struct StaticMap {  // of a port block: a server's own port
    Protocol protocol = Protocol::tcp;
    Ipv4Address hub_address;
    std::uint16_t hub_port = 0;
    Ipv4Address operator_address;
    std::uint16_t operator_port = 0;
};

struct PortBlock {
    bool by_institution = false;    // blocks are an institution's, otherwise a host's
    std::uint32_t subscribers = 0;  // hosts or institutions that are served at once
    std::uint32_t blocks = 4;       // that each may have, of nat::kBlockPorts ports
    std::uint32_t hold_down = 120;  // seconds for which ports rest
    bool parity = false;            // even ports for even ones (RFC 4787 REQ-4)
    nat::Filtering filtering = nat::Filtering::address_dependent;
    std::vector<StaticMap> static_maps;
};

struct Translation {
    std::string id;
    std::string operator_id;
    TranslationKind kind = TranslationKind::prefix_map;
    IpPrefix operator_prefix = Prefix4();  // in the operator's space
    IpPrefix hub_prefix = Prefix4();       // as long; equal for an operator that uses its hub numbers natively
    PortBlock port_block;                  // of that kind: hub_prefix is the addresses that all behind it share
};

struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 65535;
    friend auto operator<=>(const PortRange&, const PortRange&) = default;
};

struct Agreement {
    std::string id;
    std::vector<std::string> client_operators;  // all their institutions
    std::vector<std::string> client_institutions;
    std::vector<IpPrefix> client_prefixes;          // in hub space
    std::vector<std::string> service_institutions;  // all of theirs
    std::vector<IpPrefix> service_prefixes;         // in hub space
    Protocol protocol = Protocol::tcp;
    std::vector<PortRange> ports;  // of the service; empty for icmp_echo and any
    AgreementState state = AgreementState::tracked;
    std::string from;   // "" or a date or time in Japan time: "2026-04-01", "2026-04-01T09:00:00+09:00"
    std::string until;  // "" or likewise; exclusive
};

struct RouteNexthop {
    std::string attachment;
    std::optional<IpAddress> gateway;  // absent: the prefix is on the attachment's own link
    bool backup = false;               // used while the others are down
    std::uint16_t weight = 1;          // its share of the flows
};

struct Route {  // named by its operator and prefix
    std::string operator_id;
    IpPrefix prefix = Prefix4();  // in the operator's space
    bool blackhole = false;
    std::vector<RouteNexthop> nexthops;  // none if it is a blackhole
    std::string id() const { return operator_id + " " + prefix.text(); }
};

enum class GateTarget { node, operator_, attachment, institution, agreement };

struct Allocation {  // of hub numbers to an operator
    std::string id;
    std::string operator_id;
    IpPrefix prefix = Prefix4();  // in hub space
    std::string from;             // "" or a date in Japan time
    std::string released;         // "" or the date from which on it rests
};

struct Gate {  // closes its target while it stands
    std::string id;
    GateTarget target = GateTarget::operator_;
    std::string target_id;  // empty for the node
    GateReason reason = GateReason::maintenance;
    std::string clause;
    std::string notice;  // reference of the notice given before
    std::string from;    // as in Agreement
    std::string until;
};

// One object of the document, as it was written and as it was understood; never changed once made, so that documents
// and policies share it.
struct Object {
    using Value =
        std::variant<Hub, Operator, Allocation, Attachment, Tunnel, Institution, Translation, Agreement, Route, Gate>;

    std::string id;    // of a route: its operator and prefix, "kita 10.0.0.0/8"; of the hub: ""
    std::string text;  // canonical JSON: one line, no spaces, keys in byte order
    Value value;       // the alternative of its kind
};

using ObjectPtr = std::shared_ptr<const Object>;

// Copies share what does not change: a few pointers for each thousand objects.
struct Policy {
    std::string rules_version;
    std::vector<IpPrefix> hub_pools;
    nat::Timeouts timers;
    std::uint32_t hold_down_days = 0;  // for which released allocations rest
    // By id, so that every walk over them has one order.
    PolicyMap<Object, Operator> operators;
    PolicyMap<Object, Allocation> allocations;
    PolicyMap<Object, Attachment> attachments;
    PolicyMap<Object, Tunnel> tunnels;
    PolicyMap<Object, Institution> institutions;
    PolicyMap<Object, Translation> translations;
    PolicyMap<Object, Agreement> agreements;
    PolicyMap<Object, Route> routes;
    PolicyMap<Object, Gate> gates;
};

}  // namespace sekisho::control

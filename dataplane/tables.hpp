// What a generation of the policy is to the workers: one immutable snapshot of tables.
//
// control/ compiles it, publishes it by one pointer, and frees it when every worker has passed a quiescent point.
// Workers read it and nothing else of the policy. Three kinds of table by role: `who` (operator space to institution),
// `hub` (hub space to institution and way out), `where` (operator space to nexthop); a lookup gives the index of a row
// in the vectors below. The only words here that workers write are the nexthops' neighbour hints, which are a cache,
// and which nexthops are usable; the only ones that control changes once they are published are the gates, and the MTUs
// of tunnels.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/attachment_sets.hpp"
#include "dataplane/gate_word.hpp"
#include "dataplane/matrix.hpp"
#include "dataplane/nexthop_group.hpp"
#include "dataplane/port_shares.hpp"
#include "dataplane/shared_rows.hpp"
#include "lpm/fib.hpp"
#include "nat/prefix_map.hpp"
#include "nat/static_maps.hpp"
#include "nat/timeouts.hpp"
#include "net/ids.hpp"
#include "net/prefetch.hpp"
#include "net/prefix.hpp"

namespace sekisho::dataplane {

// The numbers of spaces in session keys and static maps: 0 is hub space, an operator's is that of its VRF and one.
constexpr std::uint16_t space_of(VrfId vrf) noexcept {
    return static_cast<std::uint16_t>(vrf.value() + 1);
}
constexpr VrfId vrf_of(std::uint16_t space) noexcept {
    return VrfId(static_cast<VrfId::Value>(space - 1));
}

inline constexpr std::uint16_t kEspUdpPort = 4500;  // RFC 3948 §2.1, RFC 7296 §3.1

inline constexpr NexthopId kNoNexthop{std::numeric_limits<std::uint32_t>::max()};

// Where an operator's line meets the hub: a port and a VLAN, or a tunnel, with the hub's own MAC and addresses there.
// All that every packet asks of it, but for the hub's own IPv6 address, lies in one cache line.
struct alignas(64) Attachment {
    static constexpr std::uint16_t kUntagged = 0;

    PortId port;
    VlanId vlan{kUntagged};
    VrfId vrf;
    OperatorId owner;
    GateWord<bool> open = false;  // false: a gate closes it, or it is a hole in the numbering
    bool serves_ipv4 = false;
    bool serves_ipv6 = false;
    GateWord<std::uint16_t> mtu = 1500;  // of an IP packet, in bytes; a tunnel's follows the path to its peer
    std::uint16_t reachable_time = 30;   // seconds for which a neighbour's answer counts
    MacAddress mac;
    TunnelId tunnel;        // its path, in place of a port and VLAN: what goes by it is sealed; its MAC means nothing
    bool underlay = false;  // carries tunnels: plain packets for others neither come nor leave by it
    Ipv4Address ipv4;       // the hub's own; unspecified when it does not serve IPv4
    Prefix4 subnet4;
    Ipv6Address ipv6;
    Prefix6 subnet6;
    Ipv6Address link_local;        // always there when it serves IPv6
    TapId tap;                     // the kernel's share of it; none unless it asks for one
    L4Port esp_port{kEspUdpPort};  // of an underlay: the hub's UDP port for ESP in UDP (RFC 3948)
};
static_assert(offsetof(Attachment, ipv4) < 64);

// A tunnel: the path of one attachment, by another one, its underlay. MTU, families and the hub's own addresses inside
// are the first one's: its MTU is what fits when sealed, the worst padding included.
struct Tunnel {
    bool exists = false;          // false: a hole in the numbering
    bool in_udp = false;          // its ESP is in UDP (RFC 3948), and its peer may move (peer_word.hpp)
    std::uint16_t keepalive = 0;  // in UDP: seconds between keepalives; 0: none are sent
    AttachmentId attachment;      // whose path it is
    AttachmentId underlay;        // by which sealed packets come
    // `where` of the underlay's VRF for the peer; kNoNexthop: there is no route. By underlays only.
    NexthopId way = kNoNexthop;
    IpAddress local = Ipv4Address();  // outer addresses, of one family: ours on the underlay, and the peer's
    IpAddress peer = Ipv4Address();
    L4Port local_port, peer_port;  // in UDP
};

// A TAP that an attachment asks for: an Ethernet interface of the kernel's, with the attachment's MAC address and MTU.
struct TapSpec {
    TapId tap;  // never given again to another name, namespace or attachment
    AttachmentId attachment;
    std::string network_namespace;  // as `ip netns` names it
    std::string interface;          // its name there
    MacAddress mac;
    std::uint16_t mtu = 1500;
    friend bool operator==(const TapSpec&, const TapSpec&) = default;
};

// A row lies in one cache line: a packet of a large table finds none of its rows in the cache, and one of 40 bytes
// after another would be two lines for most.
template <class Address>
inline constexpr std::size_t kRowAlignment = Address::kFamily == Family::ipv4 ? 32 : 64;

// A row of `who`: whose source this is.
template <class Address>
struct alignas(kRowAlignment<Address>) WhoRow {
    InstitutionId institution;
    AttachmentSets::Name attachments = AttachmentSets::kNone;  // that it may use
    nat::PrefixMap<Address> to_hub;
    // Behind a port block, so that no prefix map is: its row in hub_rows, to which no lookup leads.
    static constexpr std::uint32_t kNotBehind = 0xffff'ffffU;
    std::uint32_t behind = kNotBehind;
    std::uint16_t matrix_row = 0;  // its row in the matrix of its VRF
    bool is_behind() const noexcept { return behind != kNotBehind; }
};

// A row of `hub`: whose destination this is, and the way to it.
template <class Address>
struct alignas(kRowAlignment<Address>) HubRow {
    InstitutionId institution;
    VrfId vrf;                // the egress operator's space
    std::uint16_t group = 0;  // node-wide; each source VRF's matrix turns it into a column
    NexthopId nexthop;        // kResolve: look the translated destination up in `where` of the egress VRF
    nat::PrefixMap<Address> to_operator;
    // The number of the pool and one: of a row that a lookup leads to, these addresses are the pool's, and a session or
    // a static map says whose; of another, it is behind that pool.
    std::uint16_t pool = 0;
    bool is_pool() const noexcept { return pool != 0; }
};
inline constexpr NexthopId kResolve = kNoNexthop;
static_assert(sizeof(WhoRow<Ipv4Address>) == 32 && sizeof(WhoRow<Ipv6Address>) == 64);
static_assert(sizeof(HubRow<Ipv4Address>) == 32 && sizeof(HubRow<Ipv6Address>) == 64);

// A row of `where`, and what a hub row names when the whole prefix goes one way.
struct Nexthop {
    enum class Kind : std::uint8_t {
        gateway,    // to `gateway4` or `gateway6`, a neighbour on the attachment
        tunnel,     // into the attachment's tunnel: no neighbour there
        connected,  // the destination itself is a neighbour on the attachment
        blackhole,  // discard in silence
        group,      // one of several nexthops, by the flow: `group`
    };
    Kind kind = Kind::blackhole;
    Family family = Family::ipv4;
    AttachmentId attachment;
    Ipv4Address gateway4;
    Ipv6Address gateway6;
    std::uint32_t group = 0;
};

// The tables of one family.
template <class Address>
struct FamilyTables {
    lpm::FibView<Address> who;    // table number: the VRF
    lpm::FibView<Address> hub;    // table 0
    lpm::FibView<Address> where;  // table number: the VRF; the row is a NexthopId
    SharedRows<WhoRow<Address>> who_rows;
    SharedRows<HubRow<Address>> hub_rows;
    std::vector<Prefix<Address>> hub_space;  // the pools: a source in them that its operator does not own is a spoof
};

// All of a snapshot that control makes, and may begin the next one with: a copy shares the lookups and the rows.
struct TableParts {
    std::uint64_t generation = 0;

    std::vector<Attachment> attachments;  // by AttachmentId
    std::vector<Tunnel> tunnels;          // by TunnelId, the first of which is none
    std::vector<TapSpec> taps;
    // By PortId, then VLAN id (kUntagged for frames without a tag): the attachment, or kNoAttachment.
    static constexpr AttachmentId kNoAttachment{std::numeric_limits<AttachmentId::Value>::max()};
    std::vector<std::array<AttachmentId, 4096>> attachment_of;

    FamilyTables<Ipv4Address> ipv4;
    FamilyTables<Ipv6Address> ipv6;
    std::vector<Nexthop> nexthops;  // by NexthopId, both families
    std::vector<NexthopGroup> groups;

    AttachmentSets attachment_sets;

    PortClassMap tcp_classes;
    PortClassMap udp_classes;
    Permissions permissions;
    std::vector<Matrix> matrices;  // by source VRF
    bool tracks = false;           // some permission is tracked: sessions are looked for

    nat::Timeouts timeouts;               // of sessions
    std::vector<PortPoolRow> port_pools;  // by number
    nat::StaticMaps static_maps;          // of all pools

    std::vector<GateWord<std::uint64_t>> closed_institutions;  // one bit an InstitutionId: its effective gate
    GateWord<bool> any_institution_closed = false;             // false: there is no need to look
};

struct Tables : TableParts {
    Tables() = default;
    explicit Tables(const TableParts& parts) : TableParts(parts) {}

    // By NexthopId, for gateways: the NeighbourId once a worker has resolved it, before that kNoHint. Workers write and
    // read it relaxed.
    static constexpr std::uint32_t kNoHint = 0xffff'ffffU;
    // A hint goes back to kNoHint when its neighbour is forgotten.
    mutable std::unique_ptr<std::atomic<std::uint32_t>[]> neighbour_hints;
    // By group: which of its members may be used. The keeper writes, workers and control read, relaxed.
    mutable std::unique_ptr<std::atomic<NexthopGroup::Usable>[]> usable_members;

    std::vector<AttachmentId> lines;   // that have a port and a VLAN
    std::vector<TunnelId> kept_alive;  // by keepalives in UDP

    template <class Address>
    const FamilyTables<Address>& family() const noexcept {
        if constexpr (Address::kFamily == Family::ipv4)
            return ipv4;
        else
            return ipv6;
    }
    // Those on this port, by VLAN (kUntagged: none), or kNoAttachment; nullptr: none at all.
    const AttachmentId* attachments_on(PortId port) const noexcept {
        return port.index() < attachment_of.size() ? attachment_of[port.index()].data() : nullptr;
    }
    AttachmentId attachment_on(PortId port, std::size_t vlan) const noexcept {
        const AttachmentId* const by_vlan = attachments_on(port);
        return by_vlan == nullptr ? kNoAttachment : by_vlan[vlan];
    }
    // What a session was decided under: with another one it is decided again, at its next packet.
    std::uint32_t epoch() const noexcept { return static_cast<std::uint32_t>(generation); }
    bool is_closed(InstitutionId institution) const noexcept {
        return (closed_institutions[institution.index() / 64] >> (institution.index() % 64) & 1) != 0;
    }
    // Asks for what a tunnel's packets read of it, if these tables have it.
    void prefetch_tunnel(TunnelId tunnel) const noexcept {
        if (tunnel.index() < tunnels.size()) prefetch_to_l2(&tunnels[tunnel.index()]);
    }
    // What was found in these tables is worth asking again once this number is another. Who reads it before a word that
    // changes in place may see the old word under the old number, never under the new one.
    std::uint32_t revision() const noexcept { return revision_.load(std::memory_order_acquire); }
    // These change words in place, of a published snapshot too, and then the revision. Control: as many words as there
    // are in closed_institutions; of the first attachments, whether they are open; an MTU.
    void close_institutions(const std::vector<std::uint64_t>& closed) const noexcept;
    void open_attachments(const std::vector<bool>& open) const noexcept;
    void set_mtu(AttachmentId attachment, std::uint16_t mtu) const noexcept;
    // The keeper: which members of a group may be used.
    void set_usable(std::size_t group, NexthopGroup::Usable members) const noexcept;
    // Makes the hints for the nexthops that are there, every one usable, and the lists; the last step of filling the
    // tables.
    void seal();

  private:
    void changed() const noexcept { revision_.fetch_add(1, std::memory_order_release); }

    mutable std::atomic<std::uint32_t> revision_{0};
};

}  // namespace sekisho::dataplane

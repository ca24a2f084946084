// The stages of the path, in packet order. Each takes lanes of the walk in and puts what goes on into named lanes.
//
// A packet that a stage neither passes on nor keeps was dropped, with its reason counted; refused packets may get an
// ICMP error (icmp_error.hpp). One file a stage. Worker thread, or `explain` on a walk of its own.
#pragma once

#include <optional>

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

// 1. Ethernet, 802.1Q, IPv4 and IPv6 and L4 headers, lengths and checksums; (port, VLAN) gives the attachment.
struct ParseOut {
    Lane& outer_fragments;  // for the hub, on an underlay: of ESP, or of UDP, and so maybe of ESP
    Lane& esp;              // for the hub, on an underlay
    Lane& local;            // ARP, and IP for the hub itself
    Lane& ipv4;             // to be forwarded
    Lane& ipv6;
    Lane& errors4;  // ICMP errors to be forwarded
    Lane& errors6;
    Lane& fragments4;  // fragments to be forwarded
    Lane& fragments6;
};
void parse(Walk& walk, ParseOut out) noexcept;
// The same for `bytes`, an IP packet of `family` with at least its header, that came out of ESP and belongs to
// `attachment`.
void parse_inner(Walk& walk, std::size_t packet, AttachmentId attachment, std::span<std::uint8_t> bytes, Family family,
                 const ParseOut& out) noexcept;
// The same for what another worker has opened.
void parse_opened(Walk& walk, ParseOut out) noexcept;
// The same for one whole frame, which was put together from fragments.
void parse_whole(Walk& walk, std::size_t packet, ParseOut out) noexcept;

// 2. Fragments of ESP wait here for their others; what becomes whole is parsed and goes on (reassembly.hpp).
void reassemble(Walk& walk, const Lane& in, ParseOut out) noexcept;

// 2. ESP: the SA by the SPI, the replay window, the cipher, the SA's selectors; then the inner packet is parsed and
// goes on as its tunnel's attachment's.
void open(Walk& walk, const Lane& in, ParseOut out) noexcept;

// 2. What else is for the hub itself: ARP, neighbour discovery and echo are answered; the rest is for a kernel.
void local(Walk& walk, const Lane& in) noexcept;

// 3. A datagram's first fragment says what its later ones belong to; before it came, they wait.
template <class Address>
void follow(Walk& walk, const Lane& in, Lane& known) noexcept;

// 4. Packets of flows that were admitted lately (flow_cache.hpp) take the verdict, the way and the rewrite that stages
// 4 to 6 would find again. Only where there is a cache.
struct RecogniseOut {
    Lane& fitting;
    Lane& tunnelled;
    Lane& strangers;  // all others
};
template <class Address>
void recognise(Walk& walk, const Lane& in, RecogniseOut out) noexcept;
// Puts into the cache what admit let pass without a session and fit found a way for, before it is rewritten.
template <class Address>
void remember(Walk& walk, const Lane& in) noexcept;

// 4. Who is asking (`who`), where to (`hub`), may they (matrix and gates).
// What no stateless agreement lets pass may be of a session, where there are any: of these walk.reasons says what each
// is dropped for if it is of none. no_session: a tracked agreement lets it open one.
struct AdmitOut {
    Lane& admitted;
    Lane& unsettled;
};
template <class Address>
void admit(Walk& walk, const Lane& in, AdmitOut out) noexcept;
// Of which session is it: found, decided again where the tables changed, or opened, within budgets. A session of
// another worker's is that one's: the packet is handed over.
template <class Address>
void recall(Walk& walk, const Lane& in, Lane& admitted) noexcept;
template <class Address>
void admit_errors(Walk& walk, const Lane& in, Lane& admitted) noexcept;

// 5. TTL, the way out (`where`, if the hub row does not name it), MTU.
struct FitOut {
    Lane& fitting;
    Lane& too_long;   // leave in fragments (IPv4)
    Lane& tunnelled;  // leave sealed, those in fragments too
};
template <class Address>
void fit(Walk& walk, const Lane& in, FitOut out) noexcept;

// 6. Addresses by their rows' prefix maps, TTL, TCP's MSS option, and every checksum that covers them.
template <class Address>
void translate(Walk& walk, const Lane& in) noexcept;

// 7. The way back of what the hub made itself: `where` of its own attachment's VRF.
void route_back(Walk& walk, const Lane& in, Lane& routed, Lane& tunnelled) noexcept;

// 7. ESP for what leaves by a tunnel, cut first if it is too long for it: then it is the underlay's, and its way known.
// Nothing that comes in here leaves as plain text.
void seal(Walk& walk, const Lane& in, Lane& sealed) noexcept;
// The packet's nexthop and egress become the underlay's, by the tunnel's way; or why they do not. The way to
// `moved_to`, if the peer is not where the policy says.
std::optional<DropReason> take_tunnel_way(const Tables& tables, Packet& packet, TunnelId tunnel,
                                          const IpAddress* moved_to = nullptr) noexcept;

// 8. The next hop's Ethernet header. An unknown next hop holds a few packets and is asked.
void depart(Walk& walk, const Lane& in) noexcept;
// The same for those that are too long for their way.
void depart_in_fragments(Walk& walk, const Lane& in) noexcept;

// Sends questions again and gives up on neighbours that do not answer. About ten times a second, between walks: `walk`
// has no packets of its own.
void retry_neighbours(Walk& walk) noexcept;
// The rest of the keeper's work, as often: which nexthops of groups are usable, and what attachments' neighbours are to
// be told of the hub's addresses.
void judge_nexthops(Walk& walk) noexcept;
void announce_attachments(Walk& walk) noexcept;
// Gives up on first fragments that did not come, and forgets old datagrams; as often, in the same way.
void expire_fragments(Walk& walk) noexcept;
// Gives up on ESP whose fragments did not all come.
void expire_reassembly(Walk& walk) noexcept;
// Ends sessions whose time is over; as often, a tenth of the table each time.
void expire_sessions(Walk& walk) noexcept;

}  // namespace sekisho::dataplane

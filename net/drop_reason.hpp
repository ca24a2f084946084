// Every reason for which the hub drops a packet: one table that the path, the CLI, metrics, docs and tests read.
//
// A reason has a name (stable, for machines), a sentence (for people) and the rule that it enforces: a clause of the
// connection rules ("2-8"), an RFC section, or "hub" for what is the hub's own order. Add a row and all of them have
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sekisho {

// X(name, sentence, rule), in packet order.
#define SEKISHO_DROP_REASONS(X)                                                                                        \
    /* parse */                                                                                                        \
    X(frame_truncated, "the frame ends inside its Ethernet or 802.1Q header", "2-2(1)")                                \
    X(frame_segmented, "the frame came in several buffers, which this port was not set up for", "hub")                 \
    X(attachment_unknown, "no attachment has this port and VLAN", "2-1")                                               \
    X(attachment_closed, "a gate closes the attachment that the packet came by", "6-1")                                \
    X(mac_not_ours, "the frame is for another station's MAC address", "2-2(1)")                                        \
    X(ether_type_refused, "the frame is neither IPv4, IPv6 nor ARP: the hub is a layer 3 service", "2-2(1)")           \
    X(family_not_served, "the attachment does not carry this IP version", "2-3(3)")                                    \
    X(ipv4_truncated, "the frame ends inside the IPv4 header", "RFC 791 3.1")                                          \
    X(ipv4_version, "the version field of an IPv4 frame is not 4", "RFC 1812 5.2.2")                                   \
    X(ipv4_header_length, "the IPv4 header length is under 20 bytes or over the packet's length", "RFC 1812 5.2.2")    \
    X(ipv4_total_length, "the IPv4 total length exceeds what was received, or is under the header's",                  \
      "RFC 1812 5.2.2")                                                                                                \
    X(ipv4_checksum, "the IPv4 header checksum is wrong", "RFC 1812 5.2.2")                                            \
    X(ipv4_options_malformed, "an IPv4 option has a wrong length", "RFC 1812 5.2.4")                                   \
    X(source_route, "an IPv4 source route option", "2-8")                                                              \
    X(ipv6_truncated, "the frame ends inside the IPv6 header", "RFC 8200 3")                                           \
    X(ipv6_version, "the version field of an IPv6 frame is not 6", "RFC 8200 3")                                       \
    X(ipv6_payload_length, "the IPv6 payload length exceeds what was received", "RFC 8200 3")                          \
    X(ipv6_extension_chain, "the IPv6 extension headers are more, or longer, than the hub follows", "2-8")             \
    X(ipv6_extension_truncated, "the packet ends inside an IPv6 extension header", "RFC 8200 4")                       \
    X(routing_header, "an IPv6 routing header of type 0, or with segments left", "2-8")                                \
    X(fragment_to_hub, "a fragment for the hub's own address: the hub reassembles ESP alone", "hub")                   \
    X(fragment_length, "a fragment that is empty, ends inside a unit of 8 bytes, or beyond 65,535 bytes",              \
      "RFC 791 3.2")                                                                                                   \
    X(fragment_tiny, "a first fragment without all of its TCP, UDP or ICMP header", "RFC 1858 3")                      \
    X(fragment_in_header, "a fragment that begins inside a TCP header", "RFC 3128 2")                                  \
    X(l4_truncated, "the packet ends inside its TCP, UDP or ICMP header", "2-8")                                       \
    X(martian_source, "the source address is one that no host can have", "RFC 1812 5.3.7")                             \
    X(martian_destination, "the destination address is one that no router forwards to", "RFC 1812 5.3.7")              \
    X(multicast, "the destination is a multicast group that the hub does not serve", "2-2(1)")                         \
    X(directed_broadcast, "the destination is the broadcast address of an attachment's subnet", "RFC 2644")            \
    X(link_local, "a link-local address that would leave its link", "RFC 4291 2.5.6")                                  \
    X(underlay_plain, "a plain packet of others, come by or to leave by an attachment that carries tunnels", "2-2(2)") \
    /* local */                                                                                                        \
    X(arp_malformed, "an ARP packet that is not IPv4 over Ethernet, or contradicts itself", "RFC 826")                 \
    X(arp_not_ours, "an ARP packet that asks for, or tells of, none of the attachment's neighbours", "RFC 826")        \
    X(nd_malformed, "a neighbour discovery message that fails the validity checks", "RFC 4861 7.1")                    \
    X(nd_not_ours, "a neighbour discovery message about none of the attachment's addresses or neighbours",             \
      "RFC 4861 7.2")                                                                                                  \
    X(nd_refused, "a router solicitation or advertisement, or a redirect: the hub takes none", "2-6")                  \
    X(duplicate_address, "another station claims an address of the hub", "RFC 5227 2.4")                               \
    X(local_checksum, "an ICMP message to the hub, or ESP in UDP over IPv6, with a wrong checksum", "RFC 1122 3.2.2")  \
    X(local_rate, "more packets to the hub itself than the attachment's budget", "2-8")                                \
    X(no_kernel_port, "for the hub's own address, and only a kernel could answer it", "hub")                           \
    X(kernel_port_full, "the kernel's share comes faster than its TAPs take it", "hub")                                \
    X(kernel_frame_refused, "a frame of the kernel's that is not from the hub's own addresses there", "2-8")           \
    /* reassemble */                                                                                                   \
    X(reassembly_timeout, "fragments of ESP whose others did not come in time", "RFC 791 3.2")                         \
    X(reassembly_full, "fragments of ESP that made way for those of newer packets, or found no buffer", "2-8")         \
    X(reassembly_too_long, "fragments of ESP that would make a packet longer than a buffer", "hub")                    \
    /* open */                                                                                                         \
    X(esp_truncated, "the packet ends inside its ESP header, IV, trailer or ICV", "RFC 4303 2")                        \
    X(esp_length, "the ESP ciphertext is not a multiple of 4 bytes long", "RFC 4303 2.4")                              \
    X(sa_unknown, "no inbound SA has this SPI", "RFC 4303 3.4.2")                                                      \
    X(sa_elsewhere, "the packet came by another attachment, or from another peer, than its SA's tunnel has",           \
      "RFC 4301 4.4.2.1")                                                                                              \
    X(sa_expired, "the SA's hard lifetime is over", "RFC 4301 4.4.2.1")                                                \
    X(replay_stale, "the sequence number is 0, or left of the SA's replay window", "RFC 4303 3.4.3")                   \
    X(replay_duplicate, "the sequence number was accepted before", "RFC 4303 3.4.3")                                   \
    X(icv_wrong, "the ICV is wrong: forged, damaged, or sealed with another key", "RFC 4303 3.4.4.1")                  \
    X(esp_padding, "the padding of an ESP packet is longer than its payload, or not 1, 2, 3", "RFC 4303 2.4")          \
    X(esp_next_header, "an ESP packet carries neither IPv4 nor IPv6: the hub's SAs are tunnels", "RFC 4303 2.6")       \
    X(esp_inner_malformed, "the packet inside ESP is not the IP packet that its header says", "RFC 4303 3.4.4.1")      \
    X(ecn_refused, "congestion was marked on the way, and the packet inside cannot say so", "RFC 6040 4.2")            \
    X(selector_mismatch, "the packet inside ESP is none that its SA may carry", "RFC 4301 5.2")                        \
    /* fragments */                                                                                                    \
    X(fragment_duplicate, "a fragment whose bytes have been taken already", "RFC 8200 4.5")                            \
    X(fragment_overlap, "a fragment that contradicts another of its datagram, or came after one that did",             \
      "RFC 5722 4")                                                                                                    \
    X(fragment_scattered, "a datagram with more gaps between its fragments than the hub keeps track of", "hub")        \
    X(fragment_of_error, "a fragment of an ICMP error, which must be short enough for none", "RFC 1812 4.3.2.3")       \
    X(fragment_table_full, "the attachment has as many datagrams in fragments on their way as it may", "2-8")          \
    X(fragment_hold_full, "more fragments wait for their first one than may", "2-8")                                   \
    X(fragment_without_first, "the first fragment of its datagram did not come in time", "hub")                        \
    /* admit */                                                                                                        \
    X(source_unknown, "the source address belongs to no institution of this operator", "2-8")                          \
    X(source_spoofed, "the source is a hub-space address that its sender does not own", "2-8")                         \
    X(source_elsewhere, "the institution of this source may not use this attachment", "2-8")                           \
    X(institution_closed, "a gate closes the institution, or its operator, at one of the two ends", "6-2")             \
    X(no_agreement, "no agreement lets this source reach this destination with this protocol and port", "1-2")         \
    X(not_a_reply, "against the direction of an agreement, and not a reply", "1-2")                                    \
    X(no_session, "of a tracked agreement, but of no session, and not a packet that opens one", "1-2")                 \
    X(session_table_full, "one more session, and no place for it", "2-8")                                              \
    X(institution_sessions_full, "one more session of an institution that has as many as it may", "2-8")               \
    X(operator_sessions_full, "one more session of an operator that has as many as it may", "2-8")                     \
    X(port_protocol, "a protocol without ports, from or to behind a port block", "hub")                                \
    X(port_quota_full, "one more port of a host or institution that has as many blocks as it may", "2-8")              \
    X(port_pool_full, "one more block of ports, and the pool has none, or none that could be recorded", "2-8")         \
    X(port_filtered, "to a port that is lent, from one that its filtering lets open nothing there", "RFC 4787 5")      \
    X(icmp_refused, "an ICMP type that the hub does not forward", "2-8")                                               \
    X(icmp_error_malformed, "an ICMP error whose quote cannot be read", "RFC 5508 4.2")                                \
    X(icmp_error_unmatched, "an ICMP error about a packet that could not have been sent", "RFC 5508 4.2")              \
    /* fit */                                                                                                          \
    X(ttl_expired, "the TTL or hop limit ran out here", "RFC 1812 5.3.1")                                              \
    X(no_route, "the operator has no route to this address", "2-6")                                                    \
    X(no_nexthop, "no nexthop of the route is usable: each one's line is down or its gateway does not answer", "2-6")  \
    X(blackhole, "a route says to discard", "2-6")                                                                     \
    X(egress_closed, "a gate closes the attachment that the packet would leave by", "6-1")                             \
    X(egress_family, "the attachment that the packet would leave by does not carry this IP version", "2-3(3)")         \
    X(packet_too_big, "larger than the MTU of its way out, and not to be fragmented", "RFC 1191 4")                    \
    /* seal */                                                                                                         \
    X(sa_missing, "for a protected attachment, and there is no SA to seal it with", "2-2(2)")                          \
    X(sequence_exhausted, "the SA has used its last sequence number", "RFC 4303 3.3.3")                                \
    X(nonce_reserve_exhausted, "the SA has used the nonces that are on record for it", "RFC 4106 3.1")                 \
    X(engine_failed, "the cipher engine did not seal the packet", "hub")                                               \
    /* depart */                                                                                                       \
    X(neighbour_unresolved, "the next hop did not answer ARP or neighbour solicitation", "RFC 4861 7.2.2")             \
    X(neighbour_hold_full, "more packets wait for this next hop than may", "RFC 4861 7.2.2")                           \
    X(neighbour_table_full, "the attachment has as many neighbours as it may", "2-8")                                  \
    X(no_return_path, "a reply of the hub's own has no route back by the attachment it belongs to", "2-6")             \
    X(fragmentation_no_buffer, "larger than the MTU of its way out, and no room for all of its fragments",             \
      "RFC 791 3.2")                                                                                                   \
    X(no_room, "no room in the buffer for a longer header", "hub")                                                     \
    X(transmit_full, "the port did not take the packet", "hub")                                                        \
    /* from worker to worker */                                                                                        \
    X(handover_full, "the worker that the packet is for takes no more from this one", "hub")                           \
    X(handover_stale, "the tables changed while the packet, sealed or given to another worker, was on its way", "hub") \
    X(stopped, "the hub stopped while it held the packet", "hub")

enum class DropReason : std::uint8_t {
#define SEKISHO_DROP_NAME(name, sentence, rule) name,
    SEKISHO_DROP_REASONS(SEKISHO_DROP_NAME)
#undef SEKISHO_DROP_NAME
};

struct DropReasonText {
    std::string_view name;
    std::string_view sentence;
    std::string_view rule;
};

inline constexpr std::array kDropReasons = {
#define SEKISHO_DROP_ROW(name, sentence, rule) DropReasonText{#name, sentence, rule},
    SEKISHO_DROP_REASONS(SEKISHO_DROP_ROW)
#undef SEKISHO_DROP_ROW
};
inline constexpr std::size_t kDropReasonCount = kDropReasons.size();

constexpr const DropReasonText& text_of(DropReason reason) noexcept {
    return kDropReasons[static_cast<std::size_t>(reason)];
}
constexpr std::string_view name_of(DropReason reason) noexcept {
    return text_of(reason).name;
}

constexpr std::optional<DropReason> drop_reason_named(std::string_view name) noexcept {
    for (std::size_t i = 0; i < kDropReasonCount; ++i)
        if (kDropReasons[i].name == name) return static_cast<DropReason>(i);
    return std::nullopt;
}

}  // namespace sekisho

// The parts of stage 2, local: one file for each protocol in which the hub itself speaks.
//
// Each takes one packet of a walk that parse found to be for the hub, and ends it: consumed or dropped. What it
// answers, or asks, goes to the port's next walk.
#pragma once

#include "dataplane/walk.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

// RFC 826: answers for the attachment's own address with the attachment's own MAC, and learns from neighbours.
void take_arp(Walk& walk, std::size_t packet) noexcept;
// RFC 4861: solicitations are answered, advertisements learned from; nothing else is taken.
void take_neighbour_discovery(Walk& walk, std::size_t packet) noexcept;
// RFC 792, RFC 4443 §4: echo requests to the hub are answered.
template <class Address>
void take_echo_request(Walk& walk, std::size_t packet) noexcept;

// Sends the question "who has this address?" by ARP or neighbour solicitation, to everybody or to one station.
void ask_neighbour(Walk& walk, const Neighbours::Question& question) noexcept;

// The parts of ask_neighbour.
void send_arp_request(Walk& walk, AttachmentId attachment, Ipv4Address target, const MacAddress& to) noexcept;
void send_solicitation(Walk& walk, AttachmentId attachment, const Ipv6Address& target, const MacAddress& to) noexcept;

// Tells everybody on the attachment the hub's own addresses there.
void announce(Walk& walk, AttachmentId attachment) noexcept;
void send_arp_announcement(Walk& walk, AttachmentId attachment) noexcept;
void send_unsolicited_advertisement(Walk& walk, AttachmentId attachment, const Ipv6Address& own) noexcept;

// Another station claims an address of the hub: noted, and defended now and then.
void claimed(Walk& walk, AttachmentId attachment, Conflicts::Which which, const MacAddress& by) noexcept;

// Whether the address is a neighbour's on that attachment: in its subnet, or link-local for IPv6, and not the hub's
// own.
bool is_neighbour(const Attachment& attachment, Ipv4Address address) noexcept;
bool is_neighbour(const Attachment& attachment, const Ipv6Address& address) noexcept;

// Lets what waited for neighbours that are known by now go on.
void release_neighbours(Walk& walk) noexcept;

}  // namespace sekisho::dataplane

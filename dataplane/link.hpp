// The Ethernet header of a packet that leaves, with the attachment's tag if it has one.
//
// Worker threads, on packets of their own. IEEE 802.3, 802.1Q; the tag's priority is zero.
#pragma once

#include "dataplane/packet.hpp"
#include "dataplane/tables.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

// Writes the header before the packet's IP or ARP header, to the station `mac_bits` (MacAddress::bits()), and marks the
// packet ready to be sent by the attachment's port. False when the buffer has no room before it.
inline bool write_link(Packet& packet, const Attachment& attachment, std::uint64_t mac_bits, EtherType type) noexcept {
    const Be16 ether_type = Be16::from_host(static_cast<std::uint16_t>(type));
    const auto addresses = [&](std::size_t length) {
        auto* const ethernet = reinterpret_cast<EthernetHeader*>(packet.l3 - length);
        ethernet->destination.store(mac_bits);
        ethernet->source = attachment.mac;
        return &ethernet->ether_type;
    };
    if (attachment.vlan.value() == Attachment::kUntagged) {
        if (!packet.frame_from(sizeof(EthernetHeader))) return false;
        *addresses(sizeof(EthernetHeader)) = ether_type;
    } else {
        if (!packet.frame_from(sizeof(EthernetHeader) + sizeof(VlanTag))) return false;
        *addresses(sizeof(EthernetHeader) + sizeof(VlanTag)) =
            Be16::from_host(static_cast<std::uint16_t>(EtherType::vlan));
        auto* const tag = reinterpret_cast<VlanTag*>(packet.l3 - sizeof(VlanTag));
        tag->control = Be16::from_host(attachment.vlan.value());
        tag->ether_type = ether_type;
    }
    packet.mark(Packet::kLinkReady);
    return true;
}

}  // namespace sekisho::dataplane

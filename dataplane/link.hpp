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
    // In two stores, of which the second one overwrites what the first has too much.
    const auto write = [&](std::size_t length, EtherType of) {
        static_assert(std::endian::native == std::endian::little && offsetof(EthernetHeader, source) == 6);
        const std::uint64_t rest =
            attachment.mac.bits() | std::uint64_t{Be16::from_host(static_cast<std::uint16_t>(of)).network_bits()} << 48;
        std::memcpy(packet.l3 - length, &mac_bits, sizeof mac_bits);
        std::memcpy(packet.l3 - length + offsetof(EthernetHeader, source), &rest, sizeof rest);
    };
    if (attachment.vlan.value() == Attachment::kUntagged) {
        if (!packet.frame_from(sizeof(EthernetHeader))) return false;
        write(sizeof(EthernetHeader), type);
    } else {
        if (!packet.frame_from(sizeof(EthernetHeader) + sizeof(VlanTag))) return false;
        write(sizeof(EthernetHeader) + sizeof(VlanTag), EtherType::vlan);
        auto* const tag = reinterpret_cast<VlanTag*>(packet.l3 - sizeof(VlanTag));
        tag->control = Be16::from_host(attachment.vlan.value());
        tag->ether_type = Be16::from_host(static_cast<std::uint16_t>(type));
    }
    packet.mark(Packet::kLinkReady);
    return true;
}

}  // namespace sekisho::dataplane

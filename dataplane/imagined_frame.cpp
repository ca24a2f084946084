// A frame from what is asked of `explain`.
#include "dataplane/imagined_frame.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

namespace {

std::size_t l4_length(std::uint8_t protocol) noexcept {
    return protocol == kProtocolTcp ? sizeof(TcpHeader) : sizeof(UdpHeader);  // ICMP's and UDP's are as long
}

void write_l4(const ImaginedPacket& imagined, std::uint8_t* at, std::size_t length) noexcept {
    if (imagined.protocol == kProtocolTcp) {
        auto& tcp = *reinterpret_cast<TcpHeader*>(at);
        tcp.source_port = Be16::from_host(imagined.source_port);
        tcp.destination_port = Be16::from_host(imagined.destination_port);
        tcp.data_offset = 5 << 4;
        tcp.flags = imagined.tcp_flags;
    } else if (imagined.protocol == kProtocolUdp) {
        auto& udp = *reinterpret_cast<UdpHeader*>(at);
        udp.source_port = Be16::from_host(imagined.source_port);
        udp.destination_port = Be16::from_host(imagined.destination_port);
        udp.length = Be16::from_host(static_cast<std::uint16_t>(length));
    } else {
        *at = imagined.icmp_type;
    }
}

}  // namespace

std::size_t write_frame(const ImaginedPacket& imagined, const Attachment& attachment, std::uint8_t* frame,
                        std::size_t room) noexcept {
    const bool tagged = attachment.vlan.value() != Attachment::kUntagged;
    const bool ipv4 = imagined.source.is_ipv4();
    std::uint8_t* const l3 = frame + sizeof(EthernetHeader) + (tagged ? sizeof(VlanTag) : 0);
    const std::size_t header = ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
    const std::size_t shortest = header + l4_length(imagined.protocol);
    const std::size_t length =
        std::clamp<std::size_t>(imagined.length, shortest, room - static_cast<std::size_t>(l3 - frame));
    const Be16 type = Be16::from_host(static_cast<std::uint16_t>(ipv4 ? EtherType::ipv4 : EtherType::ipv6));
    std::memset(frame, 0, static_cast<std::size_t>(l3 - frame) + length);

    auto& ethernet = *reinterpret_cast<EthernetHeader*>(frame);
    ethernet.destination = attachment.mac;
    ethernet.ether_type = type;
    if (tagged) {
        ethernet.ether_type = Be16::from_host(static_cast<std::uint16_t>(EtherType::vlan));
        auto& tag = *reinterpret_cast<VlanTag*>(l3 - sizeof(VlanTag));
        tag.control = Be16::from_host(attachment.vlan.value());
        tag.ether_type = type;
    }
    if (ipv4) {
        auto& ip = *reinterpret_cast<Ipv4Header*>(l3);
        ip.version_ihl = 0x45;
        ip.total_length = Be16::from_host(static_cast<std::uint16_t>(length));
        ip.flags_offset = Be16::from_host(imagined.dont_fragment ? kIpv4DontFragment : 0);
        ip.ttl = imagined.ttl;
        ip.protocol = imagined.protocol;
        ip.source = imagined.source.ipv4().wire();
        ip.destination = imagined.destination.ipv4().wire();
        ip.checksum = checksum_of({l3, sizeof(Ipv4Header)});
    } else {
        auto& ip = *reinterpret_cast<Ipv6Header*>(l3);
        ip.version_class_flow = Be32::from_host(0x6000'0000);
        ip.payload_length = Be16::from_host(static_cast<std::uint16_t>(length - sizeof(Ipv6Header)));
        ip.next_header = imagined.protocol;
        ip.hop_limit = imagined.ttl;
        ip.source = Ipv6Wire::from(imagined.source.ipv6());
        ip.destination = Ipv6Wire::from(imagined.destination.ipv6());
    }
    // The hub looks at these checksums when it is asked itself; the others it only carries on.
    const std::span<std::uint8_t> l4(l3 + header, length - header);
    write_l4(imagined, l4.data(), l4.size());
    if (imagined.protocol == (ipv4 ? kProtocolIcmp : kProtocolIcmpv6)) {
        const auto& ip = *reinterpret_cast<const Ipv6Header*>(l3);
        const std::uint64_t pseudo =
            ipv4 ? 0 : pseudo_header_sum(ip.source, ip.destination, kProtocolIcmpv6, l4.size());
        reinterpret_cast<IcmpHeader*>(l4.data())->checksum = checksum_of(pseudo + sum_of(l4));
    } else if (imagined.protocol == kProtocolUdp && !ipv4) {
        const auto& ip = *reinterpret_cast<const Ipv6Header*>(l3);
        const std::uint64_t pseudo = pseudo_header_sum(ip.source, ip.destination, kProtocolUdp, l4.size());
        reinterpret_cast<UdpHeader*>(l4.data())->checksum = checksum_of(pseudo + sum_of(l4));
    }
    return static_cast<std::size_t>(l3 - frame) + length;
}

}  // namespace sekisho::dataplane

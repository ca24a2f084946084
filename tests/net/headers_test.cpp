// Headers: sizes and places of fields as the standards have them, and the one checked way to them.
//
// Every buffer is on the heap and exactly as long as its contents, so that the address sanitizer sees a read beyond.
#include "net/headers.hpp"

#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include <catch2/catch.hpp>

using namespace sekisho;

namespace {

// A heap block of exactly `size` bytes that count up from 0; a vector might own more than it shows.
struct ExactBytes {
    explicit ExactBytes(std::size_t count) : block(new std::uint8_t[count]), size(count) {
        for (std::size_t i = 0; i < count; ++i) block[i] = static_cast<std::uint8_t>(i);
    }
    std::span<const std::uint8_t> view() const { return {block.get(), size}; }
    std::span<std::uint8_t> writable() { return {block.get(), size}; }

    std::unique_ptr<std::uint8_t[]> block;
    std::size_t size;
};

template <class Header>
void check_every_offset() {
    const ExactBytes bytes(sizeof(Header) + 3);
    for (std::size_t offset = 0; offset <= bytes.size + 2; ++offset) {
        INFO("offset " << offset);
        const Header* const header = header_at<Header>(bytes.view(), offset);
        if (offset <= 3) {
            REQUIRE(header != nullptr);
            CHECK(reinterpret_cast<const std::uint8_t*>(header) == bytes.block.get() + offset);
            const Header copy = *header;  // reads all of it
            CHECK(reinterpret_cast<const std::uint8_t*>(&copy)[sizeof(Header) - 1] == sizeof(Header) - 1 + offset);
        } else {
            CHECK(header == nullptr);
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("headers: header_at gives a header only where all of it lies", "[net]", EthernetHeader, VlanTag,
                   ArpHeader, Ipv4Header, Ipv6Header, Ipv6ExtensionHeader, Ipv6FragmentHeader, TcpHeader, UdpHeader,
                   IcmpHeader, NeighbourMessage, LinkLayerOption) {
    check_every_offset<TestType>();
}

TEST_CASE("headers: header_at finds nothing in no bytes", "[net]") {
    CHECK(header_at<UdpHeader>(std::span<const std::uint8_t>(), 0) == nullptr);
    CHECK(header_at<UdpHeader>(std::span<std::uint8_t>(), 0) == nullptr);
}

TEST_CASE("headers: one byte short is no header", "[net]") {
    const ExactBytes bytes(sizeof(Ipv4Header) - 1);
    CHECK(header_at<Ipv4Header>(bytes.view(), 0) == nullptr);
}

TEST_CASE("headers: an offset near the largest number does not wrap into the buffer", "[net]") {
    const ExactBytes bytes(64);
    constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
    for (std::size_t back = 0; back < 64; ++back) CHECK(header_at<Ipv4Header>(bytes.view(), kMost - back) == nullptr);
}

TEST_CASE("headers: what is written through a header lies in the bytes", "[net]") {
    ExactBytes bytes(sizeof(UdpHeader) + 1);
    auto* const udp = header_at<UdpHeader>(bytes.writable(), 1);
    REQUIRE(udp != nullptr);
    udp->destination_port = Be16::from_host(443);
    CHECK(bytes.block[3] == 0x01);
    CHECK(bytes.block[4] == 0xbb);
}

TEST_CASE("headers: IPv4 fields lie where RFC 791 has them", "[net]") {
    // A packet as tcpdump showed it: 10.0.0.7 > 198.51.100.9, UDP, TTL 63, don't fragment.
    const std::uint8_t wire[] = {0x45, 0x00, 0x00, 0x1c, 0x12, 0x34, 0x40, 0x00, 0x3f, 0x11,
                                 0xf4, 0x57, 0x0a, 0x00, 0x00, 0x07, 0xc6, 0x33, 0x64, 0x09};
    const auto* const ipv4 = header_at<Ipv4Header>(std::span(wire), 0);
    REQUIRE(ipv4 != nullptr);
    CHECK(ipv4->version() == 4);
    CHECK(ipv4->header_length() == 20);
    CHECK(ipv4->total_length.to_host() == 28);
    CHECK(ipv4->identification.to_host() == 0x1234);
    CHECK((ipv4->flags_offset.to_host() & kIpv4DontFragment) != 0);
    CHECK((ipv4->flags_offset.to_host() & (kIpv4MoreFragments | kIpv4OffsetMask)) == 0);
    CHECK(ipv4->ttl == 63);
    CHECK(ipv4->protocol == kProtocolUdp);
    CHECK(ipv4->checksum.to_host() == 0xf457);
    CHECK(Ipv4Address(ipv4->source).text() == "10.0.0.7");
    CHECK(Ipv4Address(ipv4->destination).text() == "198.51.100.9");
}

TEST_CASE("headers: the IPv4 header length counts words of four bytes", "[net]") {
    Ipv4Header ipv4{};
    ipv4.version_ihl = 0x4f;
    CHECK(ipv4.header_length() == 60);
    ipv4.version_ihl = 0x40;
    CHECK(ipv4.header_length() == 0);
}

TEST_CASE("headers: IPv6 fields lie where RFC 8200 has them", "[net]") {
    std::vector<std::uint8_t> wire = {0x6a, 0xbc, 0xde, 0xf0, 0x00, 0x08, 0x3a, 0x40};
    for (std::uint8_t i = 0; i < 32; ++i) wire.push_back(i < 16 ? 0x20 : 0xfd);
    const auto* const ipv6 = header_at<Ipv6Header>(std::span<const std::uint8_t>(wire), 0);
    REQUIRE(ipv6 != nullptr);
    CHECK(ipv6->version() == 6);
    CHECK(ipv6->payload_length.to_host() == 8);
    CHECK(ipv6->next_header == kProtocolIcmpv6);
    CHECK(ipv6->hop_limit == 64);
    CHECK(ipv6->source.address() == Ipv6Address(0x2020202020202020, 0x2020202020202020));
    CHECK(ipv6->destination.address() == Ipv6Address(0xfdfdfdfdfdfdfdfd, 0xfdfdfdfdfdfdfdfd));
}

TEST_CASE("headers: an IPv6 extension header's length leaves its first eight bytes out", "[net]") {
    CHECK(Ipv6ExtensionHeader{.next_header = 6, .length = 0, .type = 0, .segments_left = 0}.bytes() == 8);
    CHECK(Ipv6ExtensionHeader{.next_header = 6, .length = 255, .type = 0, .segments_left = 0}.bytes() == 2048);
}

TEST_CASE("headers: a VLAN id is the low twelve bits of its tag", "[net]") {
    const VlanTag tag{Be16::from_host(0xf064), Be16::from_host(0x0800)};
    CHECK(tag.vlan() == VlanId(100));
}

TEST_CASE("headers: an ARP packet for IPv4 over Ethernet lies as RFC 826 has it", "[net]") {
    CHECK(offsetof(ArpHeader, operation) == 6);
    CHECK(offsetof(ArpHeader, sender_mac) == 8);
    CHECK(offsetof(ArpHeader, sender_address) == 14);
    CHECK(offsetof(ArpHeader, target_mac) == 18);
    CHECK(offsetof(ArpHeader, target_address) == 24);
}

TEST_CASE("headers: TCP, ICMP and neighbour discovery fields lie where their RFCs have them", "[net]") {
    CHECK(offsetof(TcpHeader, sequence) == 4);
    CHECK(offsetof(TcpHeader, flags) == 13);
    CHECK(offsetof(TcpHeader, checksum) == 16);
    CHECK(offsetof(UdpHeader, checksum) == 6);
    CHECK(offsetof(IcmpHeader, checksum) == 2);
    CHECK(offsetof(IcmpHeader, sequence) == 6);
    CHECK(offsetof(NeighbourMessage, target) == 8);
    CHECK(offsetof(Ipv6FragmentHeader, identification) == 4);
}

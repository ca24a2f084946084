// Stage 1: what is dropped for its form, and what is not.
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

Frame question4() {
    return udp("10.0.0.7:4000", "100.64.2.9:53");
}
Frame question6() {
    return udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::9]:53");
}
Frame to_archive6() {  // any protocol may pass
    return packet("fd00:0:0:1::7", "2001:db8:4000:301::8", 200, Bytes(16));
}

}  // namespace

TEST_CASE("parse: a frame that ends inside its Ethernet header or its tag is dropped", "[path]") {
    StandardHub hub;
    for (const std::size_t length : {0U, 1U, 6U, 12U, 13U})
        expect_drop(hub, "kita", question4().cut(length), DropReason::frame_truncated);
    for (const std::size_t length : {14U, 15U, 17U})
        expect_drop(hub, "minami", question4().cut(length), DropReason::frame_truncated);
}

TEST_CASE("parse: a frame in several buffers is dropped", "[path]") {
    StandardHub hub;
    rte_mbuf* const head = exact_buffer(Eal::frames(), question4().to(mac("02:5e:00:00:00:01")).bytes());
    rte_mbuf* const tail = exact_buffer(Eal::frames(), Bytes(10));
    REQUIRE(rte_pktmbuf_chain(head, tail) == 0);
    hub.send_buffer(0, head);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::frame_segmented, 1}});
}

TEST_CASE("parse: port and VLAN give the attachment", "[path]") {
    StandardHub hub;
    expect_to_pass(hub, "kita", question4());
    expect_to_pass(hub, "kita-backup", question4());
    expect_drop(hub, "kita", question4().vlan(7), DropReason::attachment_unknown);
    expect_drop(hub, "kita", question4().vlan(4095), DropReason::attachment_unknown);
    expect_drop(hub, "minami", question4().vlan(21), DropReason::attachment_unknown);
    Frame untagged = question4();
    hub.send_bytes(1, {untagged.to(hub.policy().line("minami").mac_address).bytes()}, kHeadroom);
    CHECK(hub.drops() == Drops{{DropReason::attachment_unknown, 1}});
}

TEST_CASE("parse: a tag with a priority only is no tag, and priorities do not matter", "[path]") {
    StandardHub hub;
    hub.send("kita", question4().vlan(0, 5));
    CHECK(hub.left() == Frames{hub.by("center", udp("100.64.0.7:4000", "192.168.9.9:53").ttl(63).to(kPortal))});
    expect_to_pass(hub, "kita-backup", question4().vlan(100, 7));
    expect_to_pass(hub, "minami", question4().tag(0x8100, 0x1000 | 20));  // drop eligible
}

TEST_CASE("parse: stacked tags and other EtherTypes are not of layer 3 and are dropped", "[path]") {
    StandardHub hub;
    expect_drop(hub, "kita", question4().tag(0x88a8, 100).vlan(100), DropReason::ether_type_refused);
    expect_drop(hub, "kita", question4().vlan(0).vlan(0), DropReason::ether_type_refused);
    expect_drop(hub, "kita-backup", question4().vlan(100).vlan(20), DropReason::ether_type_refused);
    expect_drop(hub, "minami", question4().tag(0x88a8, 20).vlan(20), DropReason::attachment_unknown);
    for (const unsigned type : {0x0026U, 0x88ccU, 0x8863U, 0x8847U, 0x9000U})
        expect_drop(hub, "kita", on_link(type, Bytes(46)), DropReason::ether_type_refused);
}

TEST_CASE("parse: a closed attachment takes nothing, not even ARP", "[path]") {
    Policy policy = standard_policy();
    policy.line("kita").close();
    StandardHub hub(policy);
    expect_drop(hub, "kita", question4(), DropReason::attachment_closed);
    expect_drop(hub, "kita", arp(1, {.sender_mac = kKitaGateway, .sender = "10.255.0.2", .target = "10.255.0.1"}),
                DropReason::attachment_closed);
    expect_to_pass(hub, "kita-backup", question4());
}

TEST_CASE("parse: a frame for another station's MAC address is dropped", "[path]") {
    StandardHub hub;
    expect_drop(hub, "kita", question4().to("02:00:00:00:00:77"), DropReason::mac_not_ours);
    expect_drop(hub, "kita", question4().to(hub.policy().line("kita-backup").mac_address), DropReason::mac_not_ours);
}

TEST_CASE("parse: a frame to a group is never forwarded", "[path]") {
    StandardHub hub;
    const MacAddress group({0x01, 0x00, 0x5e, 0, 0, 5});
    expect_drop(hub, "kita", question4().to(kBroadcastMac), DropReason::mac_not_ours);
    expect_drop(hub, "kita", question6().to(kBroadcastMac), DropReason::mac_not_ours);
    expect_drop(hub, "kita", udp("10.0.0.7:4000", "224.0.0.5:89").to(group), DropReason::multicast);
    expect_drop(hub, "kita", udp("[fd00:0:0:1::7]:4000", "[ff02::5]:89").to("33:33:00:00:00:05"),
                DropReason::multicast);
    expect_drop(hub, "kita", udp("10.255.0.2:68", "255.255.255.255:67").to(kBroadcastMac),
                DropReason::directed_broadcast);
    expect_drop(hub, "kita", udp("10.255.0.2:137", "10.255.0.7:137").to(kBroadcastMac), DropReason::directed_broadcast);
    expect_drop(hub, "kita", tcp("10.0.0.7:4000", "10.255.0.1:179").syn().to(kBroadcastMac),
                DropReason::no_kernel_port);
}

TEST_CASE("parse: an attachment carries only the IP versions that it serves", "[path]") {
    Policy policy = standard_policy();
    policy.line("kita", "v4", 3).ipv4("10.255.2.1/29");
    policy.line("kita", "v6", 4).ipv6("fd00:fffd::1/64");
    policy.house("kita-hospital").uses("v4").uses("v6");
    StandardHub hub(policy);
    expect_to_pass(hub, "v4", question4());
    expect_drop(hub, "v4", question6(), DropReason::family_not_served);
    expect_to_pass(hub, "v6", question6());
    expect_drop(hub, "v6", question4(), DropReason::family_not_served);
    expect_drop(hub, "v6", arp(1, {.sender_mac = kKitaGateway, .sender = "10.255.2.2", .target = "10.255.2.1"}),
                DropReason::family_not_served);
}

TEST_CASE("parse: an IPv4 header that is cut, of another version, too short or over its length is dropped by name",
          "[path][conformance-2]") {
    StandardHub hub;
    expect_drop(hub, "kita", question4().cut(14), DropReason::ipv4_truncated);
    expect_drop(hub, "kita", question4().cut(14 + 19), DropReason::ipv4_truncated);
    expect_drop(hub, "kita", question4().version(6), DropReason::ipv4_version);
    expect_drop(hub, "kita", question4().version(0), DropReason::ipv4_version);
    expect_drop(hub, "kita", question4().header_words(4), DropReason::ipv4_header_length);
    expect_drop(hub, "kita", question4().header_words(0), DropReason::ipv4_header_length);
    expect_drop(hub, "kita", question4().header_words(15), DropReason::ipv4_header_length);
    expect_drop(hub, "kita", question4().total_length(19), DropReason::ipv4_header_length);
    expect_drop(hub, "kita", question4().header_checksum(0x1234), DropReason::ipv4_checksum);
    expect_drop(hub, "kita", question4().header_checksum(0), DropReason::ipv4_checksum);
}

TEST_CASE("parse: a total length over what was received is dropped", "[path][conformance-1]") {
    StandardHub hub;
    expect_drop(hub, "kita", question4().total_length(34), DropReason::ipv4_total_length);
    expect_drop(hub, "kita", question4().total_length(65535), DropReason::ipv4_total_length);
    expect_drop(hub, "kita", question4().cut(14 + 32), DropReason::ipv4_total_length);
    expect_drop(hub, "kita", question6().payload_length(14), DropReason::ipv6_payload_length);
    expect_drop(hub, "kita", question6().payload_length(65535), DropReason::ipv6_payload_length);
    expect_drop(hub, "kita", question6().cut(14 + 52), DropReason::ipv6_payload_length);
}

TEST_CASE("parse: bytes behind the packet's own length are never forwarded", "[path][conformance-1]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const auto expected = udp(at(ends.client_hub, 4000), at(ends.portal, 53)).payload(Bytes{'x'}).ttl(63).to(kPortal);
    for (const std::size_t padding : {1U, 17U, 300U}) {
        hub.send("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(Bytes{'x'}).padded(padding));
        CHECK(hub.left() == Frames{hub.by("center", expected)});
        CHECK(hub.drops() == Drops{});
    }
}

TEST_CASE("parse: IPv4 options are passed on as they are", "[path]") {
    StandardHub hub;
    const Bytes router_alert = {148, 4, 0, 0};
    const Bytes record_route = {7, 7, 4, 0, 0, 0, 0};
    const Bytes padding_then_noise = {1, 1, 0, 131};  // nothing counts behind the end of the list
    for (const Bytes& options : {router_alert, record_route, padding_then_noise, Bytes(40, 1)}) {
        hub.send("kita", question4().options(options));
        CHECK(hub.left() ==
              Frames{hub.by("center", udp("100.64.0.7:4000", "192.168.9.9:53").options(options).ttl(63).to(kPortal))});
        CHECK(hub.drops() == Drops{});
    }
}

TEST_CASE("parse: IPv4 options with a wrong length, and source routes, are dropped", "[path]") {
    StandardHub hub;
    for (const Bytes& options : {Bytes{7, 1, 0, 0}, Bytes{7, 0, 0, 0}, Bytes{7, 5, 0, 0}, Bytes{1, 1, 1, 7}})
        expect_drop(hub, "kita", question4().options(options), DropReason::ipv4_options_malformed);
    for (const std::uint8_t type : Bytes{131, 137}) {
        expect_drop(hub, "kita", question4().options({type, 7, 4, 10, 0, 0, 1}), DropReason::source_route);
        expect_drop(hub, "kita", question4().options({1, 148, 4, 0, 0, type, 3}), DropReason::source_route);
    }
}

TEST_CASE("parse: an IPv6 header that is cut or of another version is dropped by name", "[path]") {
    StandardHub hub;
    expect_drop(hub, "kita", question6().cut(14), DropReason::ipv6_truncated);
    expect_drop(hub, "kita", question6().cut(14 + 39), DropReason::ipv6_truncated);
    expect_drop(hub, "kita", question6().version(4), DropReason::ipv6_version);
}

TEST_CASE("parse: the chain of IPv6 extension headers is bounded in number and in bytes", "[path][conformance-14]") {
    StandardHub hub;
    Frame eight = question6();
    for (int i = 0; i < 8; ++i) eight.destination_options();
    expect_to_pass(hub, "kita", eight);
    Frame nine = eight;
    expect_drop(hub, "kita", nine.destination_options(), DropReason::ipv6_extension_chain);
    expect_to_pass(hub, "kita", question6().destination_options(63));  // 512 bytes
    expect_drop(hub, "kita", question6().destination_options(63).hop_by_hop(), DropReason::ipv6_extension_chain);
    expect_drop(hub, "kita", question6().destination_options(200), DropReason::ipv6_extension_chain);
}

TEST_CASE("parse: known extension headers are passed on as they are, before ports that are found",
          "[path][conformance-14]") {
    StandardHub hub;
    const Frame sent = question6().hop_by_hop().destination_options(1).routing(4, 0).flow(0xabcde).dscp_ecn(0x2e);
    hub.send("kita", sent);
    CHECK(hub.left() == Frames{hub.by("center", udp("[2001:db8:4000:1::7]:4000", "[fd99::9]:53")
                                                    .hop_by_hop()
                                                    .destination_options(1)
                                                    .routing(4, 0)
                                                    .flow(0xabcde)
                                                    .dscp_ecn(0x2e)
                                                    .ttl(63)
                                                    .to(kPortal))});
}

TEST_CASE("parse: a header that the hub does not know is no reason to drop, but no agreement by port matches it",
          "[path][conformance-14]") {
    StandardHub hub;
    for (const unsigned protocol : {135U, 139U, 51U, 50U, 59U, 132U, 253U}) {
        hub.send("kita", to_archive6().protocol(protocol));
        CHECK(
            hub.left() ==
            Frames{hub.by(
                "center",
                packet("2001:db8:4000:1::7", "2001:db8:4000:301::8", protocol, Bytes(16)).ttl(63).to(kCenterGateway))});
        hub.send("kita", packet("fd00:0:0:1::7", "2001:db8:4000:201::9", protocol, Bytes(16)));
        CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    }
    // A UDP header behind a mobility header is not looked for.
    hub.send("kita", question6().extension(135, {0, 0, 0, 0, 0, 0, 0}));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
}

TEST_CASE("parse: a packet that ends inside an extension header is dropped", "[path]") {
    StandardHub hub;
    Bytes too_long = {9, 1, 4, 0, 0, 0, 0};  // says 80 bytes
    expect_drop(hub, "kita", packet("fd00:0:0:1::7", "2001:db8:4000:201::9", 17, {}).extension(0, too_long),
                DropReason::ipv6_extension_truncated);
    for (const std::size_t length : {0U, 1U, 3U, 7U}) {
        Frame cut = packet("fd00:0:0:1::7", "2001:db8:4000:201::9", kProtocolHopByHop, Bytes(length));
        expect_drop(hub, "kita", cut, DropReason::ipv6_extension_truncated);
    }
}

TEST_CASE("parse: routing headers of type 0, or with segments left, are dropped", "[path]") {
    StandardHub hub;
    expect_drop(hub, "kita", question6().routing(0, 0), DropReason::routing_header);
    expect_drop(hub, "kita", question6().routing(0, 1), DropReason::routing_header);
    expect_drop(hub, "kita", question6().routing(2, 1), DropReason::routing_header);
    expect_drop(hub, "kita", question6().hop_by_hop().routing(4, 2), DropReason::routing_header);
}

TEST_CASE("parse: a packet that ends inside its TCP, UDP or ICMP header is dropped", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const unsigned icmp_protocol = ends.family == Family::ipv4 ? kProtocolIcmp : kProtocolIcmpv6;
    for (std::size_t length = 0; length < 20; ++length) {
        expect_drop(hub, "kita", packet(ends.client, ends.archive, kProtocolTcp, Bytes(length)),
                    DropReason::l4_truncated);
        if (length >= 8) continue;
        expect_drop(hub, "kita", packet(ends.client, ends.archive, kProtocolUdp, Bytes(length)),
                    DropReason::l4_truncated);
        expect_drop(hub, "kita", packet(ends.client, ends.archive, icmp_protocol, Bytes(length)),
                    DropReason::l4_truncated);
    }
    const Frame segment = tcp(at(ends.client, 4000), at(ends.archive, 443)).syn();
    for (const unsigned words : {0U, 4U, 6U, 15U}) {
        Frame wrong = segment;
        expect_drop(hub, "kita", wrong.data_offset(words), DropReason::l4_truncated);
    }
    expect_to_pass(hub, "kita", Frame(segment).data_offset(15).payload(40));
}

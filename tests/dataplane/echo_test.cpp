// Stage 2, the hub's own addresses: echo is answered, anything else is for a kernel (RFC 792, RFC 1122, RFC 4443).
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// The hub's answer is made, and dropped.
void expect_lost_answer(TestHub& hub, std::string_view line, const Frame& request) {
    hub.send(line, request);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::no_return_path, 1}});
    CHECK(hub.made() == 1);
}

}  // namespace

TEST_CASE("echo: the hub answers by the line that the request came by, with a TTL of its own", "[path][local]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", echo_request(ends.kita_gateway, ends.kita_hub).ttl(3).dscp_ecn(0x28));
    CHECK(hub.left() ==
          Frames{hub.by("kita", echo_reply(ends.kita_hub, ends.kita_gateway).ttl(64).dscp_ecn(0x28).to(kKitaGateway))});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == 1);
    CHECK(hub.made() == 1);
    // From behind the gateway, with a TTL that is spent: it is not forwarded.
    hub.send("kita", echo_request(ends.client, ends.kita_hub).ttl(1).padded(6));
    CHECK(hub.left() == Frames{hub.by("kita", echo_reply(ends.kita_hub, ends.client).to(kKitaGateway))});
    // The same address on another operator's line.
    hub.send("minami", echo_request(ends.client, ends.kita_hub));
    CHECK(hub.left() == Frames{hub.by("minami", echo_reply(ends.kita_hub, ends.client).to(kMinamiGateway))});
}

TEST_CASE("echo: a large request, and one with options or extension headers, is answered whole", "[path][local]") {
    StandardHub hub;
    const Bytes options = {7, 7, 4, 0, 0, 0, 0};
    hub.send("kita", echo_request("10.255.0.2", "10.255.0.1").options(options).payload(1401));
    CHECK(
        hub.left() ==
        Frames{hub.by("kita", echo_reply("10.255.0.1", "10.255.0.2").options(options).payload(1401).to(kKitaGateway))});
    hub.send("kita", echo_request("fd00:ffff::2", "fd00:ffff::1").hop_by_hop().payload(1401));
    CHECK(
        hub.left() ==
        Frames{hub.by("kita", echo_reply("fd00:ffff::1", "fd00:ffff::2").hop_by_hop().payload(1401).to(kKitaGateway))});
}

TEST_CASE("echo: link-local addresses are answered on their own link", "[path][local][conformance-13]") {
    StandardHub hub;
    hub.know("kita", "fe80::33", kStation);
    hub.know("center", "fe80::33", kPortal);
    hub.send("kita", echo_request("fe80::33", "fe80::1"));
    CHECK(hub.left() == Frames{hub.by("kita", echo_reply("fe80::1", "fe80::33").to(kStation))});
    hub.send("kita", echo_request("fe80::33", "fd00:ffff::1"));
    CHECK(hub.left() == Frames{hub.by("kita", echo_reply("fd00:ffff::1", "fe80::33").to(kStation))});
    hub.send("center", echo_request("fe80::33", "fe80::1"));
    CHECK(hub.left() == Frames{hub.by("center", echo_reply("fe80::1", "fe80::33").to(kPortal))});
}

TEST_CASE("echo: a wrong checksum is not answered", "[path][local]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    expect_drop(hub, "kita", echo_request(ends.kita_gateway, ends.kita_hub).checksum(0x1234),
                DropReason::local_checksum);
}

TEST_CASE("echo: what comes from no single host, or to a group, is not answered", "[path][local]") {
    StandardHub hub;
    for (const std::string_view source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255"})
        expect_drop(hub, "kita", echo_request(source, "10.255.0.1"), DropReason::martian_source);
    for (const std::string_view source : {"::", "::1", "ff02::1", "::ffff:10.0.0.7"})
        expect_drop(hub, "kita", echo_request(source, "fd00:ffff::1"), DropReason::martian_source);
    expect_drop(hub, "kita", echo_request("10.255.0.2", "10.255.0.1").to(kBroadcastMac), DropReason::multicast);
    expect_drop(hub, "kita", echo_request("fd00:ffff::2", "ff02::1").to("33:33:00:00:00:01"), DropReason::multicast);
    expect_drop(hub, "kita", echo_request("fd00:ffff::2", "ff02::1:ff00:1").to("33:33:ff:00:00:01"),
                DropReason::multicast);
}

TEST_CASE("echo: a group address is not answered from, whatever MAC address the frame was for", "[path][local]") {
    StandardHub hub;
    for (const std::string_view group : {"ff02::1", "ff02::2", "ff02::1:ff00:1"})
        expect_drop(hub, "kita", echo_request("fd00:ffff::2", group), DropReason::multicast);
}

TEST_CASE("echo: a request in the hub's own name is not answered", "[path][local]") {
    StandardHub hub;
    expect_drop(hub, "kita", echo_request("10.255.0.1", "10.255.0.1"), DropReason::duplicate_address);
    expect_drop(hub, "kita", echo_request("fd00:ffff::1", "fd00:ffff::1"), DropReason::duplicate_address);
    expect_drop(hub, "kita", echo_request("fe80::1", "fd00:ffff::1"), DropReason::duplicate_address);
    CHECK(hub.held() == 0);
}

TEST_CASE("echo: an answer that has no route back by its own line is dropped, never sent by another",
          "[path][local][conformance-8]") {
    StandardHub hub;
    expect_lost_answer(hub, "kita", echo_request("203.0.113.5", "10.255.0.1"));
    expect_lost_answer(hub, "kita", echo_request("169.254.1.1", "10.255.0.1"));
    expect_lost_answer(hub, "kita", echo_request("2001:db8::5", "fd00:ffff::1"));
    expect_lost_answer(hub, "kita-backup", echo_request("10.0.0.7", "10.255.1.1"));
    // Broadcast addresses are nobody's.
    expect_lost_answer(hub, "kita", echo_request("10.255.0.7", "10.255.0.1"));
    expect_lost_answer(hub, "kita", echo_request("10.255.0.0", "10.255.0.1"));
    Policy policy = standard_policy();
    policy.way("kita", "203.0.113.0/24");  // to be discarded
    hub.commit(policy);
    expect_lost_answer(hub, "kita", echo_request("203.0.113.5", "10.255.0.1"));
}

TEST_CASE("local: what only a kernel could answer is dropped by that name", "[path][local]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    expect_drop(hub, "kita", tcp(at(ends.kita_gateway, 4000), at(ends.kita_hub, 179)).syn(),
                DropReason::no_kernel_port);
    expect_drop(hub, "kita", udp(at(ends.kita_gateway, 500), at(ends.kita_hub, 500)), DropReason::no_kernel_port);
    expect_drop(hub, "kita", packet(ends.kita_gateway, ends.kita_hub, 50, Bytes(40)), DropReason::no_kernel_port);
    expect_drop(hub, "kita", echo_reply(ends.kita_gateway, ends.kita_hub), DropReason::no_kernel_port);
    expect_drop(hub, "kita", icmp(ends.kita_gateway, ends.kita_hub, ipv4 ? 13 : 143), DropReason::no_kernel_port);
    const Frame about = icmp_error(ends.kita_gateway, ends.kita_hub, ipv4 ? 3 : 1, 1,
                                   udp(at(ends.kita_hub, 500), at(ends.kita_gateway, 500)).ip());
    expect_drop(hub, "kita", about, DropReason::no_kernel_port);
}

TEST_CASE("local: echo has a budget for each attachment", "[path][local]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::vector<Frame> fifty(50, echo_request(ends.kita_gateway, ends.kita_hub));
    hub.send("kita", fifty);
    hub.send("kita", fifty);
    CHECK(hub.left().size() == 50);
    hub.send("kita", fifty);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 50}});
    hub.send("minami", echo_request(ends.client, ends.kita_hub));
    CHECK(hub.left().size() == 1);
    hub.wait(0.1);  // 1,000 a second
    hub.send("kita", fifty);
    CHECK(hub.left().size() == 50);
}

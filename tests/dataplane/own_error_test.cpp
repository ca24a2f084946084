// Stage 5 and the errors that the hub makes itself: when, about what, from where, how many and how long.
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/dataplane/support/tracked.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

struct Kind {
    unsigned type4, code4, type6, code6;
};
constexpr Kind kProhibited{3, 13, 1, 1};
constexpr Kind kTimeExceeded{11, 0, 3, 0};
constexpr Kind kTooBig{3, 4, 2, 0};

// The error that the hub sends by `line` about `frame`, quoting at most what fits into 576 or 1,280 bytes.
Sent error_about(TestHub& hub, std::string_view line, std::string_view hub_address, std::string_view gateway_mac,
                 const Frame& frame, const Kind& kind, unsigned mtu = 0) {
    const bool ipv4 = frame.source().is_ipv4();
    const Bytes quote = first(frame.ip(), ipv4 ? 548 : 1232);
    Frame error = icmp_error(hub_address, frame.source().text(), ipv4 ? kind.type4 : kind.type6,
                             ipv4 ? kind.code4 : kind.code6, quote)
                      .rest_of_header(mtu)
                      .to(gateway_mac);
    if (ipv4) error.dscp_ecn(0xc0).dont_fragment(false).id(hub.worker().identification);
    return hub.by(line, error);
}

void expect_error(TestHub& hub, const Ends& ends, const Frame& frame, DropReason reason, const Kind& kind,
                  unsigned mtu = 0) {
    hub.send("kita", frame);
    CHECK(hub.drops() == Drops{{reason, 1}});
    CHECK(hub.left() == Frames{error_about(hub, "kita", ends.kita_hub, kKitaGateway, frame, kind, mtu)});
}

}  // namespace

TEST_CASE("ttl: 0 and 1 give Time Exceeded, quoting the packet as its sender sent it; 2 leaves with 1",
          "[path][fit][conformance-3][conformance-15][conformance-74]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    expect_error(hub, ends, ask(ends).ttl(0), DropReason::ttl_expired, kTimeExceeded);
    expect_error(hub, ends, ask(ends).ttl(1), DropReason::ttl_expired, kTimeExceeded);
    hub.send("kita", ask(ends).ttl(2));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ttl(1).to(kPortal))});
    // On a tagged line, to a sender with the same address: from the hub's address there.
    const Frame other = ask(ends).ttl(1);
    hub.send("minami", other);
    CHECK(hub.left() == Frames{error_about(hub, "minami", ends.kita_hub, kMinamiGateway, other, kTimeExceeded)});
}

TEST_CASE("mtu: IPv4 with DF and IPv6 get the next hop's MTU, quoting the packet as its sender sent it",
          "[path][fit][conformance-6][conformance-11][conformance-74]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const unsigned mtu = GENERATE(1280U, 1400U, 1499U);
    Policy policy = standard_policy();
    policy.line("center").mtu(mtu);
    StandardHub hub(policy);
    const std::size_t headers = ends.family == Family::ipv4 ? 28 : 48;
    Frame fits = ask(ends).payload(mtu - headers);
    hub.send("kita", fits);
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 1);
    const Frame too_big = ask(ends).payload(mtu - headers + 1);
    expect_error(hub, ends, too_big, DropReason::packet_too_big, kTooBig, mtu);
    expect_error(hub, ends, ask(ends).payload(1500 - headers), DropReason::packet_too_big, kTooBig, mtu);
    hub.send("kita", fits.padded(200));  // padding does not count
    CHECK(hub.left().size() == 1);
}

TEST_CASE("error: the whole is at most 576 bytes for IPv4 and 1,280 for IPv6",
          "[path][fit][conformance-5][conformance-12]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::size_t headers = ends.family == Family::ipv4 ? 28 : 48;
    const std::size_t most = ends.family == Family::ipv4 ? 548 : 1232;
    for (const std::size_t length : {headers, most - 1, most, most + 1, std::size_t{1500}}) {
        const Frame frame = ask(ends).ttl(1).payload(length - headers);
        expect_error(hub, ends, frame, DropReason::ttl_expired, kTimeExceeded);
        CHECK(hub.left().front().frame.size() == 14 + headers + std::min(length, most));
    }
}

TEST_CASE("error: options and extension headers are quoted as they came", "[path][fit][conformance-74]") {
    StandardHub hub;
    const Frame with_options = ask(kEnds4).options({7, 7, 4, 0, 0, 0, 0}).ttl(1).padded(9);
    expect_error(hub, kEnds4, with_options, DropReason::ttl_expired, kTimeExceeded);
    const Frame with_extensions = ask(kEnds6).hop_by_hop().routing(4, 0).hop_by_hop(2).ttl(1).padded(9);
    expect_error(hub, kEnds6, with_extensions, DropReason::ttl_expired, kTimeExceeded);
}

TEST_CASE("error: none about an ICMP error, a group, or a source that is no single host",
          "[path][fit][conformance-4][conformance-12]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    // An error whose TTL ends here.
    const Bytes delivered = udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(3).ip();
    expect_drop(hub, "kita", icmp_error(ends.client, ends.portal_hub, ipv4 ? 3 : 1, ipv4 ? 3 : 4, delivered).ttl(1),
                DropReason::ttl_expired);
    // An error about nothing that was sent, to nobody.
    expect_drop(hub, "kita", icmp_error(ends.client, ends.unused_hub, ipv4 ? 3 : 1, 1, delivered),
                DropReason::icmp_error_unmatched);
    // A frame to a group, and a packet to one.
    expect_drop(hub, "kita", ask(ends).ttl(1).to(kBroadcastMac), DropReason::mac_not_ours);
    expect_drop(hub, "kita", udp(at(ends.client, 4000), ipv4 ? "224.0.0.9:520" : "[ff02::9]:521").ttl(1),
                DropReason::multicast);
    for (const std::string_view source :
         ipv4 ? std::vector<std::string_view>{"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"}
              : std::vector<std::string_view>{"::", "::1", "ff02::1"})
        expect_drop(hub, "kita", udp(at(source, 4000), at(ends.unused_hub, 53)), DropReason::martian_source);
}

TEST_CASE("error: none about an ICMPv6 redirect", "[path][fit][conformance-12]") {
    StandardHub hub;
    expect_drop(hub, "kita", icmp(kEnds6.client, kEnds6.unused_hub, 137).payload(32), DropReason::no_agreement);
    expect_drop(hub, "kita", icmp(kEnds6.client, kEnds6.portal_hub, 137).payload(32), DropReason::icmp_refused);
}

TEST_CASE("error: they are limited per operator space, and what was not made is counted",
          "[path][fit][conformance-5]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::vector<Frame> fifty(50, ask(ends).ttl(1));
    hub.send("kita", fifty);
    CHECK(hub.left().size() == 50);
    hub.send("kita-backup", std::vector<Frame>(10, ask(ends).ttl(1)));  // the same space, 100 in all
    hub.send("kita", fifty);
    CHECK(hub.left().size() == 40);
    CHECK(hub.not_made_rate() == 10);
    CHECK(hub.drops() == Drops{{DropReason::ttl_expired, 50}});
    hub.send("minami", ask(ends).ttl(1));
    CHECK(hub.left().size() == 1);
    hub.wait(0.1);  // 1,000 a second
    hub.send("kita", fifty);
    CHECK(hub.left().size() == 50);
}

TEST_CASE("error: without a buffer it is not made, and the packet is dropped all the same", "[path][fit]") {
    StandardHub hub;
    const NoBuffers none;
    expect_drop(hub, "kita", ask(kEnds4).ttl(1), DropReason::ttl_expired);
    CHECK(hub.not_made_buffer() == 1);
}

TEST_CASE("error: it goes back by the line that the packet came by, in its own space, or not at all",
          "[path][fit][conformance-8]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    // kita's route to the client is by its first line only.
    hub.send("kita-backup", ask(ends).ttl(1));
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::ttl_expired, 1}, {DropReason::no_return_path, 1}});
}

TEST_CASE("way out: no route is told like no agreement, a blackhole is silent", "[path][fit][conformance-9]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool direct = GENERATE(true, false);
    const bool ipv4 = ends.family == Family::ipv4;
    const std::string_view archive = ipv4 ? "100.64.3.0/24" : "2001:db8:4000:301::/64";
    Policy policy = standard_policy();
    policy.direct_nexthops(direct);
    std::erase_if(policy.ways, [&](const Way& way) { return way.prefix.text() == archive; });
    StandardHub hub(policy);
    const Frame frame = udp(at(ends.client, 4000), at(ends.archive, 9));
    expect_error(hub, ends, frame, DropReason::no_route, kProhibited);
    policy.way("center", archive);
    hub.commit(policy);
    expect_drop(hub, "kita", frame, DropReason::blackhole);
}

TEST_CASE("way out: a closed attachment, or one without the family, is told", "[path][fit]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = standard_policy();
    policy.line("center").close();
    StandardHub hub(policy);
    expect_error(hub, ends, ask(ends), DropReason::egress_closed, kProhibited);
    policy = standard_policy();
    (ends.family == Family::ipv4 ? policy.line("center").address4 : policy.line("center").address6).clear();
    hub.commit(policy);
    expect_error(hub, ends, udp(at(ends.client, 4000), at(ends.archive, 53)), DropReason::egress_family, kProhibited);
}

TEST_CASE("way out: nothing becomes a broadcast on the last link, and the hub's own address there is a kernel's",
          "[path][fit][conformance-10]") {
    StandardHub hub;
    expect_drop(hub, "kita", udp("10.0.0.7:4000", "100.64.2.255:53"), DropReason::directed_broadcast);
    expect_drop(hub, "kita", udp("10.0.0.7:4000", "100.64.2.0:53"), DropReason::directed_broadcast);
    expect_drop(hub, "kita", udp("10.0.0.7:4000", "100.64.2.1:53"), DropReason::no_kernel_port);
    expect_drop(hub, "kita", udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::1]:53"), DropReason::no_kernel_port);
}

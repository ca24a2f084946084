// Stage 2, neighbour discovery: what is answered, learned, refused and malformed (RFC 4861, RFC 4862).
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::string_view kHub = "fd00:ffff::1";
constexpr std::string_view kHubGroup = "ff02::1:ff00:1";  // of its link-local address too
constexpr std::string_view kGateway = "fd00:ffff::2";
constexpr std::uint32_t kAnswer = kNdFlagRouter | kNdFlagSolicited | kNdFlagOverride;

}  // namespace

TEST_CASE("nd: a solicitation is answered from the address that it asks for, and its sender learned", "[path][local]") {
    StandardHub hub;
    for (const std::string_view asked : {kHub, std::string_view("fe80::1")})
        for (const std::string_view asker : {"fd00:ffff::3", "fe80::33"})
            for (const std::string_view to : {kHubGroup, asked}) {
                hub.send("kita", neighbour_solicitation(asker, to, asked, kStation).from(kStation));
                CHECK(hub.left() ==
                      Frames{hub.by(
                          "kita",
                          neighbour_advertisement(asked, asker, asked, mac_of(hub, "kita"), kAnswer).to(kStation))});
                CHECK(hub.drops() == Drops{});
                CHECK(where(hub, asker) == kStation);
            }
    hub.send("minami", neighbour_solicitation("fd00:ffff::3", kHubGroup, kHub, kOther).from(kOther));
    CHECK(
        hub.left() ==
        Frames{hub.by("minami",
                      neighbour_advertisement(kHub, "fd00:ffff::3", kHub, mac_of(hub, "minami"), kAnswer).to(kOther))});
    CHECK(where(hub, "fd00:ffff::3") == kStation);
}

TEST_CASE("nd: a solicitation without a link-layer option is answered to the frame's sender", "[path][local]") {
    StandardHub hub;
    hub.send("kita", neighbour_solicitation("fd00:ffff::3", kHub, kHub, "").from(kStation));
    CHECK(hub.left() ==
          Frames{hub.by(
              "kita", neighbour_advertisement(kHub, "fd00:ffff::3", kHub, mac_of(hub, "kita"), kAnswer).to(kStation))});
}

TEST_CASE("nd: someone about to take the hub's address is told before all nodes that it is taken", "[path][local]") {
    StandardHub hub;
    hub.send("kita", neighbour_solicitation("::", kHubGroup, kHub, "").from(kStation));
    CHECK(hub.left() == Frames{hub.by("kita", neighbour_advertisement(kHub, "ff02::1", kHub, mac_of(hub, "kita"),
                                                                      kNdFlagRouter | kNdFlagOverride))});
    CHECK(hub.consumed() == 1);
    // RFC 4861 §7.1.1: never with a link-layer option, and only to the solicited-node group.
    expect_drop(hub, "kita", neighbour_solicitation("::", kHubGroup, kHub, kStation), DropReason::nd_malformed);
    expect_drop(hub, "kita", neighbour_solicitation("::", kHub, kHub, ""), DropReason::nd_malformed);
}

TEST_CASE("nd: an advertisement of a neighbour that was asked for is learned, of any other not", "[path][local]") {
    StandardHub hub;
    expect_taken(hub, "kita",
                 neighbour_advertisement(kGateway, kHub, kGateway, kOther, kNdFlagSolicited | kNdFlagOverride));
    CHECK(where(hub, kGateway) == kOther);
    // RFC 4861 §7.2.5: without the override flag a known address stays.
    expect_taken(hub, "kita", neighbour_advertisement(kGateway, kHub, kGateway, kStation, kNdFlagSolicited));
    CHECK(where(hub, kGateway) == kOther);
    // Unsolicited, to all nodes.
    expect_taken(hub, "kita", neighbour_advertisement(kGateway, "ff02::1", kGateway, kStation, kNdFlagOverride));
    CHECK(where(hub, kGateway) == kStation);
    expect_drop(hub, "kita", neighbour_advertisement("fd00:ffff::4", kHub, "fd00:ffff::4", kOther, kNdFlagSolicited),
                DropReason::nd_not_ours);
    CHECK(where(hub, "fd00:ffff::4").empty());
}

TEST_CASE("nd: an advertisement without a link-layer address changes nothing", "[path][local]") {
    StandardHub hub;
    expect_taken(
        hub, "kita",
        neighbour_advertisement(kGateway, kHub, kGateway, "", kNdFlagSolicited | kNdFlagOverride).from(kOther));
    CHECK(where(hub, kGateway) == kKitaGateway);
}

TEST_CASE("nd: a solicited advertisement to a group contradicts itself", "[path][local]") {
    StandardHub hub;
    expect_drop(hub, "kita",
                neighbour_advertisement(kGateway, "ff02::1", kGateway, kOther, kNdFlagSolicited | kNdFlagOverride),
                DropReason::nd_malformed);
    CHECK(where(hub, kGateway) == kKitaGateway);
}

TEST_CASE("nd: a station that claims an address of the hub is counted as a duplicate", "[path][local]") {
    StandardHub hub;
    // The first is answered by an advertisement to all, which defends the address; the next come too soon.
    const Frame defence =
        neighbour_advertisement(kHub, "ff02::1", kHub, mac_of(hub, "kita"), kNdFlagRouter | kNdFlagOverride);
    expect_drop(hub, "kita", neighbour_advertisement(kHub, "ff02::1", kHub, kOther, kNdFlagOverride),
                DropReason::duplicate_address, {hub.by("kita", defence)});
    expect_drop(hub, "kita", neighbour_advertisement("fe80::1", "ff02::1", "fe80::1", kOther, kNdFlagOverride),
                DropReason::duplicate_address);
    expect_drop(hub, "kita", neighbour_solicitation(kHub, kHubGroup, kHub, kOther), DropReason::duplicate_address);
    expect_drop(hub, "kita", neighbour_solicitation("fe80::1", kHubGroup, kHub, kOther), DropReason::duplicate_address);
}

TEST_CASE("nd: what asks for no address of the hub, or comes from no neighbour, is not ours", "[path][local]") {
    StandardHub hub;
    expect_drop(hub, "kita", neighbour_solicitation("fd00:ffff::3", "ff02::1", "fd00:ffff::9", kStation),
                DropReason::nd_not_ours);
    expect_drop(hub, "kita", neighbour_solicitation("fd00:0:0:1::7", kHubGroup, kHub, kStation),
                DropReason::nd_not_ours);
}

TEST_CASE("nd: messages that fail RFC 4861's validity checks are malformed", "[path][local]") {
    StandardHub hub;
    const Frame good = neighbour_solicitation("fd00:ffff::3", kHubGroup, kHub, kStation);
    expect_drop(hub, "kita", Frame(good).ttl(254), DropReason::nd_malformed);
    expect_drop(hub, "kita", Frame(good).ttl(1), DropReason::nd_malformed);
    expect_drop(hub, "kita", Frame(good).checksum(0x1234), DropReason::nd_malformed);
    expect_drop(hub, "kita", Frame(good).code(1), DropReason::nd_malformed);
    const Bytes whole = good.ip();
    const Bytes target(whole.begin() + 48, whole.begin() + 64);
    for (const std::size_t length : {0U, 8U, 15U})
        expect_drop(hub, "kita", Frame(good).payload(first(target, length)), DropReason::nd_malformed);
    for (const Bytes& options : {Bytes{1, 0, 0, 0, 0, 0, 0, 0}, Bytes{1}, Bytes{1, 1, 2, 0, 0, 0, 0},
                                 Bytes{1, 2, 2, 0, 0, 0, 0, 3}, Bytes{14, 1, 0, 0, 0, 0, 0, 0, 5}}) {
        Bytes body = target;
        put(body, options);
        expect_drop(hub, "kita", Frame(good).payload(body), DropReason::nd_malformed);
    }
    const auto solicit = [](std::string_view asked, std::string_view station) {
        return neighbour_solicitation("fd00:ffff::3", kHubGroup, asked, station);
    };
    expect_drop(hub, "kita", solicit("ff02::1", kStation), DropReason::nd_malformed);
    expect_drop(hub, "kita", solicit(kHub, "01:00:5e:00:00:01"), DropReason::nd_malformed);
    expect_drop(hub, "kita", solicit(kHub, "00:00:00:00:00:00"), DropReason::nd_malformed);
    const auto advertise = [](std::string_view told, std::string_view station) {
        return neighbour_advertisement(kGateway, kHub, told, station, kNdFlagSolicited | kNdFlagOverride);
    };
    expect_drop(hub, "kita", advertise("ff02::1", kStation), DropReason::nd_malformed);
    expect_drop(hub, "kita", advertise(kGateway, "ff:ff:ff:ff:ff:ff"), DropReason::nd_malformed);
    expect_drop(hub, "kita", advertise(kGateway, kOther).checksum(1), DropReason::nd_malformed);
    expect_drop(hub, "kita", advertise(kGateway, kOther).ttl(64), DropReason::nd_malformed);
    CHECK(where(hub, kGateway) == kKitaGateway);
}

TEST_CASE("nd: router solicitations, router advertisements and redirects are refused", "[path][local]") {
    StandardHub hub;
    expect_drop(hub, "kita", icmp("fe80::33", "ff02::2", 133).ttl(255).to("33:33:00:00:00:02"), DropReason::nd_refused);
    expect_drop(hub, "kita", icmp("fe80::33", "ff02::1", 134).ttl(255).payload(8).to("33:33:00:00:00:01"),
                DropReason::nd_refused);
    expect_drop(hub, "kita", icmp("fe80::33", kHub, 137).ttl(255).payload(32), DropReason::nd_refused);
    expect_drop(hub, "kita", icmp("fe80::33", kHub, 137).ttl(64).payload(32), DropReason::nd_malformed);
}

TEST_CASE("nd: more than the attachment's budget is dropped", "[path][local]") {
    StandardHub hub;
    const Frame good = neighbour_solicitation("fd00:ffff::3", kHubGroup, kHub, kStation);
    for (int i = 0; i < 10; ++i) hub.send("kita", std::vector<Frame>(60, good));
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 60}});
    hub.send("minami", good);
    CHECK(hub.drops() == Drops{});
}

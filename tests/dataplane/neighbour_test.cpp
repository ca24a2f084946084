// Stage 8 towards a neighbour that is not known: hold, ask, ask again, give up, release (RFC 1122, RFC 4861 §7.2.2).
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::string_view kCenterStation = "02:00:00:00:0c:33";

// Stations of the portal that nobody knows yet: .100 and up, ::100 and up.
std::string portal(const Ends& ends, unsigned i) {
    return ends.family == Family::ipv4 ? "192.168.9." + std::to_string(100 + i) : "fd99::" + std::to_string(100 + i);
}
std::string portal_in_hub(const Ends& ends, unsigned i) {
    return ends.family == Family::ipv4 ? "100.64.2." + std::to_string(100 + i)
                                       : "2001:db8:4000:201::" + std::to_string(100 + i);
}
Frame question_for(const Ends& ends, unsigned i, unsigned port = 4000) {
    return udp(at(ends.client, port), at(portal_in_hub(ends, i), 53));
}
Sent delivered_to_portal(const TestHub& hub, const Ends& ends, unsigned i, unsigned port = 4000) {
    return hub.by("center", udp(at(ends.client_hub, port), at(portal(ends, i), 53)).ttl(63).to(kCenterStation));
}
// The hub asks center's line for the station.
Sent asked(const TestHub& hub, const Ends& ends, unsigned i) {
    const std::string own = hub.policy().line("center").mac_address.text();
    const std::string target = portal(ends, i);
    if (ends.family == Family::ipv4)
        return hub.by("center", arp(1, {.sender_mac = own, .sender = ends.center_hub, .target = target}));
    const Ipv6Address group = address(target).ipv6().solicited_node();
    return hub.by("center", neighbour_solicitation(ends.center_hub, group.text(), target, own));
}
// The station answers.
void portal_answers(TestHub& hub, const Ends& ends, unsigned i) {
    const std::string own = hub.policy().line("center").mac_address.text();
    const std::string station = portal(ends, i);
    if (ends.family == Family::ipv4)
        hub.send(
            "center",
            arp(2, {.sender_mac = kCenterStation, .sender = station, .target_mac = own, .target = ends.center_hub}));
    else
        hub.send("center", neighbour_advertisement(station, ends.center_hub, station, kCenterStation,
                                                   kNdFlagSolicited | kNdFlagOverride));
}

}  // namespace

TEST_CASE("neighbour: a packet to an unknown neighbour waits while it is asked, and goes when it answers",
          "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", question_for(ends, 0));
    CHECK(hub.left() == Frames{asked(hub, ends, 0)});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == 1);
    portal_answers(hub, ends, 0);
    CHECK(hub.left() == Frames{delivered_to_portal(hub, ends, 0)});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == 0);
    hub.send("kita", question_for(ends, 0));  // known from now on
    CHECK(hub.left() == Frames{delivered_to_portal(hub, ends, 0)});
    hub.wait(10);
    CHECK(hub.left() == Frames{});
}

TEST_CASE("neighbour: packets that waited leave in the order of their arrival, and before those that come later",
          "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    std::vector<Frame> burst;
    Frames expected;
    for (unsigned i = 0; i < dataplane::Neighbours::kHold; ++i) {
        burst.push_back(question_for(ends, 0, 4000 + i));
        expected.push_back(delivered_to_portal(hub, ends, 0, 4000 + i));
    }
    hub.send("kita", burst);
    CHECK(hub.left() == Frames{asked(hub, ends, 0)});  // once
    CHECK(hub.held() == dataplane::Neighbours::kHold);
    hub.pause(true);
    portal_answers(hub, ends, 0);
    hub.pause(false);
    hub.send("kita", question_for(ends, 0, 5000));
    expected.push_back(delivered_to_portal(hub, ends, 0, 5000));
    CHECK(hub.left() == expected);
    CHECK(hub.held() == 0);
}

TEST_CASE("neighbour: what whoever asks the hub says of itself releases what waits for it", "[path][neighbour]") {
    StandardHub hub;
    hub.send("kita", question_for(kEnds4, 0));
    hub.send("center", arp(1, {.sender_mac = kCenterStation, .sender = "192.168.9.100", .target = "192.168.9.1"}));
    REQUIRE(hub.left().size() == 2);
    CHECK(hub.left().front() == delivered_to_portal(hub, kEnds4, 0));
    hub.send("kita", question_for(kEnds6, 0));
    hub.send("center", neighbour_solicitation("fd99::100", "ff02::1:ff00:1", "fd99::1", kCenterStation));
    REQUIRE(hub.left().size() == 2);
    CHECK(hub.left().front() == delivered_to_portal(hub, kEnds6, 0));
}

TEST_CASE("neighbour: it is asked three times, a second apart, then what waited is dropped", "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", {question_for(ends, 0), question_for(ends, 0)});
    hub.wait(0.9);
    CHECK(hub.left() == Frames{});
    hub.wait(0.1);
    CHECK(hub.left() == Frames{asked(hub, ends, 0)});
    hub.wait(1.0);
    CHECK(hub.left() == Frames{asked(hub, ends, 0)});
    hub.wait(0.9);
    CHECK(hub.held() == 2);
    hub.wait(0.1);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 2}});
    CHECK(hub.held() == 0);
}

TEST_CASE("neighbour: one that did not answer rests for a second before a packet asks again", "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", question_for(ends, 0));
    hub.wait(3.0);
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 1}});
    hub.send("kita", question_for(ends, 0));
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 1}});
    hub.wait(0.9);
    hub.send("kita", question_for(ends, 0));
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 1}});
    hub.wait(0.1);
    hub.send("kita", question_for(ends, 0));
    CHECK(hub.left() == Frames{asked(hub, ends, 0)});
    portal_answers(hub, ends, 0);
    CHECK(hub.left() == Frames{delivered_to_portal(hub, ends, 0)});
    // It may also come back by itself.
    hub.send("kita", question_for(ends, 1));
    hub.wait(3.0);
    portal_answers(hub, ends, 1);
    hub.send("kita", question_for(ends, 1));
    CHECK(hub.left() == Frames{delivered_to_portal(hub, ends, 1)});
}

TEST_CASE("neighbour: more packets than may wait for it are dropped", "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", std::vector<Frame>(11, question_for(ends, 0)));
    CHECK(hub.drops() == Drops{{DropReason::neighbour_hold_full, 11 - dataplane::Neighbours::kHold}});
    CHECK(hub.held() == dataplane::Neighbours::kHold);
}

TEST_CASE("neighbour: more neighbours than may be asked at once, or be known, are counted by name",
          "[path][neighbour]") {
    // A wide line: everyone in 172.16.0.0/16 is a neighbour.
    Policy policy = standard_policy();
    policy.vrf("wide");
    policy.line("wide", "wide", 3).ipv4("172.16.0.1/16");
    policy.house("wide", "wide-service").map("172.16.0.0/16", "100.80.0.0/16").uses("wide");
    policy.way("wide", "172.16.0.0/16").connected("wide");
    policy.agreement("kita-hospital", "wide-service").udp(53);
    StandardHub hub(policy);
    constexpr std::size_t kPerAttachment = 4096;
    constexpr std::size_t kMost = dataplane::Neighbours::kPendingPerAttachment;
    Drops drops;
    std::size_t asked = 0;
    for (unsigned first = 0; first < kPerAttachment + 64; first += 64) {
        std::vector<Frame> burst;
        for (unsigned i = first; i < first + 64; ++i)
            burst.push_back(
                udp("10.0.0.7:4000", "100.80." + std::to_string(2 + i / 256) + "." + std::to_string(i % 256) + ":53"));
        hub.send("kita", burst);
        for (const auto& [reason, count] : hub.drops()) drops[reason] += count;
        asked += hub.left().size();
    }
    CHECK(asked == kMost);
    CHECK(hub.held() == kMost);
    CHECK(drops ==
          Drops{{DropReason::neighbour_hold_full, kPerAttachment - kMost}, {DropReason::neighbour_table_full, 64}});
    // Another attachment has room of its own, and is asked.
    hub.send("kita", question_for(kEnds4, 0));
    CHECK(hub.held() == kMost + 1);
    hub.wait(3.5);  // the last of so many is asked a tenth of a second later each time: there is no room to ask all
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, kMost + 1}});
}

TEST_CASE("neighbour: link-local stations take room in the table too", "[path][neighbour]") {
    StandardHub hub;
    auto& neighbours = hub.worker().neighbours;
    for (std::uint64_t i = 0; neighbours.find_or_add(AttachmentId(0), Ipv6Address(0xfe80ULL << 48, 0x1000 + i)) !=
                              dataplane::Neighbours::kNone;)
        ++i;
    hub.send("kita", echo_request("fe80::99", "fe80::1"));
    CHECK(hub.drops() == Drops{{DropReason::neighbour_table_full, 1}});
    CHECK(hub.left() == Frames{});
}

TEST_CASE("neighbour: two operators' gateways with one address are two neighbours",
          "[path][neighbour][conformance-78]") {
    TestHub hub(standard_policy());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("center", {udp(at(ends.portal, 53), at(ends.client_hub, 4000)),
                        udp(at(ends.portal, 53), at(ends.minami_hub, 4000))});
    CHECK(hub.left().size() == 2);  // both are asked
    CHECK(hub.held() == 2);
    const std::string own = hub.policy().line("minami").mac_address.text();
    if (ends.family == Family::ipv4)
        hub.send("minami", arp(2, {.sender_mac = kMinamiGateway,
                                   .sender = ends.kita_gateway,
                                   .target_mac = own,
                                   .target = ends.kita_hub}));
    else
        hub.send("minami", neighbour_advertisement(ends.kita_gateway, ends.kita_hub, ends.kita_gateway, kMinamiGateway,
                                                   kNdFlagSolicited | kNdFlagOverride));
    CHECK(hub.left() ==
          Frames{hub.by("minami", udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(kMinamiGateway))});
    CHECK(hub.held() == 1);
}

TEST_CASE("neighbour: a packet that waited does not leave by an attachment that was closed meanwhile",
          "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", {question_for(ends, 0), question_for(ends, 0)});
    Policy policy = standard_policy();
    policy.line("center").close();
    hub.commit(policy);
    hub.wait(3.0);  // the questions stay at home, too
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 2}});
}

TEST_CASE("neighbour: a packet that waited leaves only if its institutions are still open", "[path][neighbour]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::string closed = GENERATE("kita-hospital", "portal");
    StandardHub hub;
    hub.send("kita", question_for(ends, 0));
    Policy policy = standard_policy();
    policy.house(closed).close();
    hub.commit(policy);
    portal_answers(hub, ends, 0);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
}

TEST_CASE("neighbour: a packet that waited never reaches the operator that has the attachment now",
          "[path][neighbour][conformance-78]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    StandardHub hub;
    hub.send("kita", question_for(ends, 0));
    Policy policy = standard_policy();
    policy.line("center").vrf = policy.vrf_index("minami");
    hub.commit(policy);
    portal_answers(hub, ends, 0);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::egress_closed, 1}});
}

TEST_CASE("neighbour: a packet that waited over a commit that does not concern it leaves", "[path][neighbour]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    StandardHub hub;
    hub.send("kita", question_for(ends, 0));
    Policy policy = standard_policy();
    policy.house("kita-clinic").close();
    policy.line("minami").close();
    hub.commit(policy);
    portal_answers(hub, ends, 0);
    CHECK(hub.left() == Frames{delivered_to_portal(hub, ends, 0)});
}

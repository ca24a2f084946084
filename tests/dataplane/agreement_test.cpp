// Stage 4: who may reach whom with what, and what the others are told.
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// Dropped for this reason, and its sender told: 3/13 or 1/1 from the hub's address on kita's line.
void expect_refusal(TestHub& hub, const Ends& ends, const Frame& frame, DropReason reason) {
    const bool ipv4 = ends.family == Family::ipv4;
    hub.send("kita", frame);
    CHECK(hub.drops() == Drops{{reason, 1}});
    Frame error = icmp_error(ends.kita_hub, frame.source().text(), ipv4 ? 3 : 1, ipv4 ? 13 : 1, frame.ip());
    if (ipv4) error.dscp_ecn(0xc0).dont_fragment(false).id(hub.worker().identification);
    CHECK(hub.left() == Frames{hub.by("kita", error.to(kKitaGateway))});
}

}  // namespace

TEST_CASE("agreement: TCP opens forward by destination port only", "[path][admit]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const unsigned flags : {0x02U, 0x12U, 0x10U, 0x04U, 0x01U, 0x00U, 0xffU})
        for (const unsigned port : {443U, 8000U, 8050U, 8099U})
            expect_to_pass(hub, "kita", tcp(at(ends.client, 4000), at(ends.portal_hub, port)).flags(flags));
    for (const unsigned port : {442U, 444U, 53U, 7999U, 8100U, 0U, 65535U})
        expect_refusal(hub, ends, tcp(at(ends.client, 443), at(ends.portal_hub, port)).syn(), DropReason::no_agreement);
}

TEST_CASE("agreement: against its direction TCP needs ACK or RST, so a SYN is refused",
          "[path][admit][conformance-73]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const auto answer = [&](unsigned from) { return tcp(at(ends.portal, from), at(ends.client_hub, 4000)); };
    expect_to_pass(hub, "center", answer(443).syn().ack());
    expect_to_pass(hub, "center", answer(443).ack());
    expect_to_pass(hub, "center", answer(443).rst());
    expect_to_pass(hub, "center", answer(8099).fin().ack());
    for (const Frame& opening : {answer(443).syn(), answer(443).fin(), answer(443), answer(8000).flags(0xeb)}) {
        hub.send("center", opening);
        CHECK(hub.drops() == Drops{{DropReason::not_a_reply, 1}});
        CHECK(hub.left().size() == 1);  // center is told
    }
    for (const unsigned port : {442U, 8100U, 53U}) {
        hub.send("center", answer(port).ack());
        CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    }
}

TEST_CASE("agreement: against its direction an echo request is refused and a reply passes",
          "[path][admit][conformance-73]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    expect_to_pass(hub, "kita", echo_request(ends.client, ends.portal_hub));
    expect_to_pass(hub, "center", echo_reply(ends.portal, ends.client_hub));
    hub.send("center", echo_request(ends.portal, ends.client_hub));
    CHECK(hub.drops() == Drops{{DropReason::not_a_reply, 1}});
    expect_refusal(hub, ends, echo_reply(ends.client, ends.portal_hub), DropReason::no_agreement);
    hub.send("minami", echo_request(ends.client, ends.portal_hub));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
}

TEST_CASE("agreement: UDP passes forward by destination port and back by source port", "[path][admit]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    expect_to_pass(hub, "kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    expect_to_pass(hub, "center", udp(at(ends.portal, 53), at(ends.client_hub, 4000)));
    expect_refusal(hub, ends, udp(at(ends.client, 53), at(ends.portal_hub, 54)), DropReason::no_agreement);
    expect_refusal(hub, ends, udp(at(ends.client, 4000), at(ends.portal_hub, 443)), DropReason::no_agreement);
    hub.send("center", udp(at(ends.portal, 4000), at(ends.client_hub, 53)));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
}

TEST_CASE("agreement: \"any\" lets every protocol and port pass, but no other ICMP than echo", "[path][admit]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    expect_to_pass(hub, "kita", tcp(at(ends.client, 1), at(ends.archive, 2)).syn());
    expect_to_pass(hub, "kita", udp(at(ends.client, 1), at(ends.archive, 2)));
    expect_to_pass(hub, "kita", packet(ends.client, ends.archive, 50, Bytes(24)));
    expect_to_pass(hub, "kita", packet(ends.client, ends.archive, ipv4 ? 58 : 1, Bytes(24)));  // the other family's
    expect_to_pass(hub, "kita", echo_request(ends.client, ends.archive));
    expect_to_pass(hub, "center", echo_reply(ends.archive, ends.client_hub));
    expect_to_pass(hub, "center", tcp(at(ends.archive, 2), at(ends.client_hub, 1)).ack());
    expect_to_pass(hub, "center", packet(ends.archive, ends.client_hub, 50, Bytes(24)));
    hub.send("center", tcp(at(ends.archive, 2), at(ends.client_hub, 1)).syn());
    CHECK(hub.drops() == Drops{{DropReason::not_a_reply, 1}});
    for (const unsigned type : ipv4 ? std::vector<unsigned>{9, 10, 13, 14, 15, 17, 30, 255}
                                    : std::vector<unsigned>{130, 131, 133, 135, 137, 139, 143, 255})
        expect_drop(hub, "kita", icmp(ends.client, ends.archive, type).payload(8), DropReason::icmp_refused);
}

TEST_CASE("agreement: without one the sender is told so, the same whether or not the destination exists",
          "[path][admit][conformance-9]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const std::string_view to : {ends.minami_hub, ends.clinic_hub, ends.unused_hub})
        for (const unsigned port : {53U, 443U})
            expect_refusal(hub, ends, udp(at(ends.client, 4000), at(to, port)), DropReason::no_agreement);
    expect_refusal(hub, ends, udp(at(ends.clinic, 4000), at(ends.portal_hub, 53)), DropReason::no_agreement);
    expect_refusal(hub, ends, packet(ends.client, ends.portal_hub, 50, Bytes(24)), DropReason::no_agreement);
}

TEST_CASE("source: one of no institution dies silently", "[path][admit]") {
    StandardHub hub;
    expect_drop(hub, "kita", udp("10.0.9.7:4000", "100.64.2.9:53"), DropReason::source_unknown);
    expect_drop(hub, "kita", udp("203.0.113.5:4000", "100.64.2.9:53"), DropReason::source_unknown);
    expect_drop(hub, "kita", udp("[fd00:0:0:9::7]:4000", "[2001:db8:4000:201::9]:53"), DropReason::source_unknown);
    expect_drop(hub, "kita", udp("10.0.9.7:4000", "100.65.0.1:53"), DropReason::source_unknown);
}

TEST_CASE("source: a hub-space address that its operator does not own is a spoof and dies silently",
          "[path][admit][conformance-77]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    // Its own numbers by translation, another operator's, a native one of another operator, an unused one.
    for (const std::string_view source : {ends.client_hub, ends.minami_hub, ends.archive, ends.unused_hub}) {
        expect_drop(hub, "kita", udp(at(source, 4000), at(ends.portal_hub, 53)), DropReason::source_spoofed);
        expect_drop(hub, "minami", udp(at(source, 4000), at(ends.portal_hub, 53)), DropReason::source_spoofed);
    }
    expect_to_pass(hub, "center", udp(at(ends.archive, 53), at(ends.client_hub, 4000)));
}

TEST_CASE("source: addresses that no host can have are martian and die silently", "[path][admit][conformance-10]") {
    StandardHub hub;
    for (const std::string_view source : {"0.0.0.0", "0.0.0.9", "127.0.0.1", "127.255.255.255", "224.0.0.1",
                                          "239.1.2.3", "240.0.0.1", "255.255.255.255"})
        expect_drop(hub, "kita", udp(at(source, 4000), "100.64.2.9:53"), DropReason::martian_source);
    for (const std::string_view source : {"::", "::1", "ff02::1", "ff0e::1", "::ffff:10.0.0.7"})
        expect_drop(hub, "kita", udp(at(source, 4000), "[2001:db8:4000:201::9]:53"), DropReason::martian_source);
}

TEST_CASE("destination: what no router forwards to dies silently by name", "[path][admit][conformance-10]") {
    StandardHub hub;
    for (const std::string_view to : {"0.0.0.0", "0.1.1.1", "127.0.0.1", "240.0.0.1", "255.255.255.255"})
        expect_drop(hub, "kita", udp("10.0.0.7:4000", at(to, 53)), DropReason::martian_destination);
    for (const std::string_view to : {"::", "::1", "::ffff:10.0.0.7"})
        expect_drop(hub, "kita", udp("[fd00:0:0:1::7]:4000", at(to, 53)), DropReason::martian_destination);
    for (const std::string_view to : {"224.0.0.1", "239.255.255.255"})  // in a frame to the hub's MAC
        expect_drop(hub, "kita", udp("10.0.0.7:4000", at(to, 53)), DropReason::multicast);
    for (const std::string_view to : {"ff02::5", "ff05::1", "ff0e::1"})
        expect_drop(hub, "kita", udp("[fd00:0:0:1::7]:4000", at(to, 53)), DropReason::multicast);
    expect_drop(hub, "kita", udp("10.0.0.7:4000", "10.255.0.7:53"), DropReason::directed_broadcast);
}

TEST_CASE("link-local: neither such a source nor such a destination leaves its link", "[path][admit][conformance-13]") {
    StandardHub hub;
    expect_drop(hub, "kita", udp("[fe80::33]:4000", "[2001:db8:4000:201::9]:53"), DropReason::link_local);
    expect_drop(hub, "kita", udp("[fd00:0:0:1::7]:4000", "[fe80::99]:53"), DropReason::link_local);
    expect_drop(hub, "kita", udp("[fe80::33]:4000", "[fe80::99]:53"), DropReason::link_local);
    expect_drop(hub, "kita", udp("169.254.1.1:4000", "100.64.2.9:53"), DropReason::link_local);
    expect_drop(hub, "kita", udp("10.0.0.7:4000", "169.254.1.1:53"), DropReason::link_local);
}

TEST_CASE("source: an institution comes only by the attachments that it may use", "[path][admit]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = standard_policy();
    policy.agreement("kita-clinic", "portal").udp(53);
    hub.commit(policy);
    expect_to_pass(hub, "kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    expect_to_pass(hub, "kita-backup", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    expect_to_pass(hub, "kita", udp(at(ends.clinic, 4000), at(ends.portal_hub, 53)));
    expect_drop(hub, "kita-backup", udp(at(ends.clinic, 4000), at(ends.portal_hub, 53)), DropReason::source_elsewhere);
}

TEST_CASE("gate: a closed institution neither sends nor receives, and the sender is told", "[path][admit]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const std::string_view closed : {"kita-hospital", "portal"}) {
        StandardHub hub;
        Policy policy = standard_policy();
        policy.house(closed).close();
        hub.commit(policy);
        expect_refusal(hub, ends, udp(at(ends.client, 4000), at(ends.portal_hub, 53)), DropReason::institution_closed);
        hub.send("center", udp(at(ends.portal, 53), at(ends.client_hub, 4000)));
        CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
        hub.commit(standard_policy());  // reversible
        expect_to_pass(hub, "kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    }
}

TEST_CASE("gate: others of the same operator, and operators with the same addresses, are not touched",
          "[path][admit][conformance-78]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = standard_policy();
    policy.house("kita-hospital").close();
    policy.agreement("kita-clinic", "portal").udp(53);
    hub.commit(policy);
    expect_to_pass(hub, "kita", udp(at(ends.clinic, 4000), at(ends.portal_hub, 53)));
    expect_to_pass(hub, "minami", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    hub.send("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
}

TEST_CASE("hairpin: two institutions of one operator meet only by agreement, each under its hub numbers",
          "[path][admit]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Frame to_clinic = tcp(at(ends.client, 4000), at(ends.clinic_hub, 443)).syn();
    expect_refusal(hub, ends, to_clinic, DropReason::no_agreement);
    Policy policy = standard_policy();
    policy.agreement("kita-hospital", "kita-clinic").tcp(443);
    hub.commit(policy);
    hub.send("kita", to_clinic);
    CHECK(hub.left() ==
          Frames{hub.by("kita", tcp(at(ends.client_hub, 4000), at(ends.clinic, 443)).syn().ttl(63).to(kKitaGateway))});
    hub.send("kita", tcp(at(ends.clinic, 443), at(ends.client_hub, 4000)).syn().ack());
    CHECK(hub.left() ==
          Frames{hub.by("kita",
                        tcp(at(ends.clinic_hub, 443), at(ends.client, 4000)).syn().ack().ttl(63).to(kKitaGateway))});
}

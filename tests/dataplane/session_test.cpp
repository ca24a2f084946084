// Tracked agreements: who opens, what comes back, and that nothing else does.
#include "tests/dataplane/support/datagrams.hpp"
#include "tests/dataplane/support/tracked.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("session: a UDP question opens one, and its answer comes back by it, both translated whole",
          "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("center", answer_to(ends));  // unasked
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    CHECK(hub.sessions() == 0);
    hub.send("kita", ask(ends));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ttl(63).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.sessions() == 1);
    hub.send("center", answer_to(ends));
    CHECK(hub.left() ==
          Frames{hub.by("kita", udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(kKitaGateway))});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.sessions() == 1);
    // Its answer and no other.
    hub.refuses("center", answer_to(ends, 4001), DropReason::no_agreement);
    hub.refuses("center", udp(at(ends.portal, 54), at(ends.client_hub, 4000)), DropReason::no_agreement);
    hub.refuses("center", tcp(at(ends.portal, 53), at(ends.client_hub, 4000)).ack(), DropReason::no_agreement);
    hub.refuses("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 54)), DropReason::no_agreement);
}

TEST_CASE("session: TCP is opened by a SYN in the agreement's direction only", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const unsigned flags : {0x10U, 0x12U, 0x04U, 0x11U, 0x00U, 0x03U, 0x06U, 0xffU})
        hub.refuses("kita", forth(ends).flags(flags), DropReason::no_session);
    for (const unsigned flags : {0x02U, 0x12U, 0x10U, 0x04U})
        hub.refuses("center", back(ends).flags(flags), DropReason::no_agreement);
    CHECK(hub.sessions() == 0);
    shake_hands(hub, ends);
    CHECK(hub.sessions() == 1);
    hub.passes("kita", forth(ends).ack().payload(100));
    hub.passes("center", back(ends).ack().payload(100));
    hub.passes("center", back(ends).fin().ack());
    hub.passes("kita", forth(ends).fin().ack());
    hub.passes("center", back(ends).ack());
}

TEST_CASE("session: a SYN against the direction opens nothing, even where a session is", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    shake_hands(hub, ends);
    hub.refuses("center", back(ends).syn(), DropReason::not_a_reply);
    hub.passes("center", back(ends).fin().ack());
    hub.passes("kita", forth(ends).fin().ack());
    hub.refuses("center", back(ends).syn(), DropReason::not_a_reply);
    hub.passes("kita", forth(ends).syn());  // the client may open again
    hub.passes("center", back(ends).rst());
    hub.refuses("center", back(ends).syn(), DropReason::not_a_reply);
}

TEST_CASE("session: simultaneous open works through the hub", "[path][session][conformance-54]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.passes("kita", forth(ends).syn());
    hub.passes("center", back(ends).syn());
    hub.passes("kita", forth(ends).syn().ack());
    hub.passes("center", back(ends).syn().ack());
    hub.passes("kita", forth(ends).ack());
    hub.passes("center", back(ends).ack());
    CHECK(hub.sessions() == 1);
}

TEST_CASE("session: an echo request opens one, and only a reply of its identifier comes back", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.refuses("kita", echo_reply(ends.client, ends.portal_hub), DropReason::no_session);
    hub.refuses("center", echo_reply(ends.portal, ends.client_hub), DropReason::no_agreement);
    hub.passes("kita", echo_request(ends.client, ends.portal_hub));
    hub.passes("center", echo_reply(ends.portal, ends.client_hub));
    hub.refuses("center", echo_reply(ends.portal, ends.client_hub).rest_of_header(0x2b'0001), DropReason::no_agreement);
    hub.refuses("center", echo_request(ends.portal, ends.client_hub), DropReason::not_a_reply);
    hub.refuses("kita", echo_reply(ends.client, ends.portal_hub), DropReason::no_agreement);
    CHECK(hub.sessions() == 1);
}

TEST_CASE("session: any protocol is tracked by its addresses where anything may pass", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes some(40, 0x5a);
    hub.refuses("center", packet(ends.archive, ends.client_hub, 50, some), DropReason::no_agreement);
    hub.passes("kita", packet(ends.client, ends.archive, 50, some));
    hub.passes("center", packet(ends.archive, ends.client_hub, 50, some));
    hub.refuses("center", packet(ends.archive, ends.client_hub, 47, some), DropReason::no_agreement);
    hub.passes("kita", tcp(at(ends.client, 4000), at(ends.archive, 9)).syn());
    hub.passes("center", tcp(at(ends.archive, 9), at(ends.client_hub, 4000)).syn().ack());
}

TEST_CASE("session: the same 5-tuple of two operators is two sessions, and each has its own answers",
          "[path][session][conformance-62][conformance-78]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.passes("kita", ask(ends));
    CHECK(hub.sessions() == 1);
    hub.refuses("center", udp(at(ends.portal, 53), at(ends.minami_hub, 4000)), DropReason::no_agreement);
    hub.passes("minami", ask(ends));
    CHECK(hub.sessions() == 2);
    hub.send("center", udp(at(ends.portal, 53), at(ends.minami_hub, 4000)));
    CHECK(hub.left() ==
          Frames{hub.by("minami", udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(kMinamiGateway))});
    hub.send("center", answer_to(ends));
    CHECK(hub.left() ==
          Frames{hub.by("kita", udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(kKitaGateway))});
}

TEST_CASE("session: a spoof dies before it touches one", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", udp(at(ends.minami_hub, 4000), at(ends.portal_hub, 53)));
    CHECK(hub.drops() == Drops{{DropReason::source_spoofed, 1}});
    hub.send("kita-backup", udp(at(ends.clinic, 4000), at(ends.portal_hub, 53)));
    CHECK(hub.drops() == Drops{{DropReason::source_elsewhere, 1}});
    CHECK(hub.sessions() == 0);
    hub.passes("kita", ask(ends));
    // An answer, but from another operator.
    hub.send("minami", udp(at(ends.portal_hub, 53), at(ends.client_hub, 4000)));
    CHECK(hub.drops() == Drops{{DropReason::source_spoofed, 1}});
}

TEST_CASE("session: an ICMP error about one passes both ways, and neither opens, ends nor renews one",
          "[path][session][conformance-56]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const unsigned type = ends.family == Family::ipv4 ? 3 : 1, code = ends.family == Family::ipv4 ? 3 : 4;
    const Frame delivered = udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ttl(60);
    const Frame unreachable = icmp_error(ends.portal, ends.client_hub, type, code, delivered.ip());
    hub.send("center", unreachable);
    CHECK(hub.drops() == Drops{{DropReason::icmp_error_unmatched, 1}});
    CHECK(hub.sessions() == 0);
    hub.passes("kita", ask(ends));
    const auto counted = [&] {
        std::uint64_t packets = 0;
        const auto count = [&](auto& sessions) {
            sessions.for_each([&](nat::Slot slot) { packets += sessions[slot].core.packets; });
        };
        count(hub.worker().tracker.of<Ipv4Address>());
        count(hub.worker().tracker.of<Ipv6Address>());
        return packets;
    };
    CHECK(counted() == 1);
    hub.send("center", unreachable);
    const Frame sent = udp(at(ends.client, 4000), at(ends.portal_hub, 53)).ttl(60);
    CHECK(hub.left() ==
          Frames{hub.by("kita",
                        icmp_error(ends.portal_hub, ends.client, type, code, sent.ip()).ttl(63).to(kKitaGateway))});
    CHECK(hub.drops() == Drops{});
    // From the client's side, about an answer.
    const Frame answered = udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(60);
    hub.passes("kita", icmp_error(ends.client, ends.portal_hub, type, code, answered.ip()));
    CHECK(counted() == 1);
    CHECK(hub.sessions() == 1);
    // About an echo: by its identifier.
    const auto about_echo = [&](unsigned rest) {
        return icmp_error(ends.portal, ends.client_hub, type, 1,
                          echo_request(ends.client_hub, ends.portal).rest_of_header(rest).ttl(60).ip());
    };
    hub.passes("kita", echo_request(ends.client, ends.portal_hub));
    hub.passes("center", about_echo(0x2a'0001));
    hub.send("center", about_echo(0x2b'0001));
    CHECK(hub.drops() == Drops{{DropReason::icmp_error_unmatched, 1}});
}

TEST_CASE("session: fragments are of their first one's session, in any order", "[path][session][conformance-61]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram asked = question(ends), answered = answer(ends);
    hub.send("center", frames_of(answered, {0, 1, 2}));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 3}});
    hub.send("kita", frames_of(asked, {2, 0, 1}));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 3);
    CHECK(hub.sessions() == 1);
    const Datagram again = answer(ends, 2400);
    std::vector<Frame> frames;
    for (const Bytes& one : pieces(again.sent, kCuts, 0x4321)) frames.push_back(carrying(one));
    hub.send("center", {frames[1], frames[2], frames[0]});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 3);
}

TEST_CASE("session: packets of one flow in one burst open one session", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", std::vector<Frame>(20, ask(ends)));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 20);
    CHECK(hub.sessions() == 1);
    std::vector<Frame> burst;
    for (unsigned port = 5000; port < 5030; ++port) {
        burst.push_back(ask(ends, port));
        burst.push_back(ask(ends, port));
    }
    hub.send("kita", burst);
    CHECK(hub.left().size() == 60);
    CHECK(hub.sessions() == 31);
}

TEST_CASE("session: what a stateless agreement covers needs none", "[path][session]") {
    Policy policy = tracked_policy();
    policy.agreement("kita-hospital", "portal").udp(53);
    TrackedHub hub(policy);
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.passes("center", answer_to(ends));
    hub.passes("kita", ask(ends));
    CHECK(hub.sessions() == 0);
    hub.passes("kita", forth(ends).syn());
    CHECK(hub.sessions() == 1);
}

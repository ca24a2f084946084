// Plain forwarding: addresses by both prefix maps, one hop less, every checksum right, the packet otherwise untouched.
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// The two bytes of payload with which a UDP datagram's words add up to all ones, so that its checksum is computed as
// zero: the checksum that it has with a payload of two zeros.
Bytes payload_for_zero_checksum(const std::string& from, const std::string& to) {
    const std::size_t at_checksum = from.starts_with('[') ? 46 : 26;
    Bytes payload(2);
    set16(payload, 0, get16(udp(from, to).payload(payload).ip(), at_checksum));
    REQUIRE(get16(udp(from, to).payload(payload).ip(), at_checksum) == 0xffff);
    return payload;
}

}  // namespace

TEST_CASE("forward: an agreed packet leaves with both addresses translated and one hop less", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)).ttl(63));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ttl(62).to(kPortal))});
    CHECK(hub.drops() == Drops{});

    hub.send("kita", tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn().dscp_ecn(0xb9).id(7).payload(100));
    CHECK(hub.left() == Frames{hub.by("center", tcp(at(ends.client_hub, 4000), at(ends.portal, 443))
                                                    .syn()
                                                    .dscp_ecn(0xb9)
                                                    .id(7)
                                                    .payload(100)
                                                    .ttl(63)
                                                    .to(kPortal))});
    CHECK(hub.drops() == Drops{});

    hub.send("kita", echo_request(ends.client, ends.portal_hub));
    CHECK(hub.left() == Frames{hub.by("center", echo_request(ends.client_hub, ends.portal).ttl(63).to(kPortal))});
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("forward: the answer goes back the same way, translated back", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("center", udp(at(ends.portal, 53), at(ends.client_hub, 4000)));
    CHECK(hub.left() ==
          Frames{hub.by("kita", udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(kKitaGateway))});
    hub.send("center", tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).syn().ack());
    CHECK(hub.left() ==
          Frames{hub.by("kita",
                        tcp(at(ends.portal_hub, 443), at(ends.client, 4000)).syn().ack().ttl(63).to(kKitaGateway))});
    hub.send("center", echo_reply(ends.portal, ends.client_hub));
    CHECK(hub.left() == Frames{hub.by("kita", echo_reply(ends.portal_hub, ends.client).ttl(63).to(kKitaGateway))});
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("forward: an institution that uses its hub numbers natively keeps them", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", udp(at(ends.client, 4000), at(ends.archive, 9)));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp(at(ends.client_hub, 4000), at(ends.archive, 9)).ttl(63).to(kCenterGateway))});
    hub.send("center", udp(at(ends.archive, 9), at(ends.client_hub, 4000)));
    CHECK(hub.left() ==
          Frames{hub.by("kita", udp(at(ends.archive, 9), at(ends.client, 4000)).ttl(63).to(kKitaGateway))});
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("forward: a frame leaves with the tag of its way out, whatever it came with", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("center", udp(at(ends.portal, 53), at(ends.minami_hub, 4000)));  // untagged to tagged
    CHECK(hub.left() ==
          Frames{hub.by("minami", udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(kMinamiGateway))});
    hub.send("minami", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));  // and back
    CHECK(hub.left() ==
          Frames{hub.by("center", udp(at(ends.minami_hub, 4000), at(ends.portal, 53)).ttl(63).to(kPortal))});
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("forward: without room for a longer link header the packet is dropped", "[path]") {
    StandardHub hub;
    Frame answer = udp("192.168.9.9:53", "100.64.16.7:4000");
    hub.send_bytes(2, {answer.to(hub.policy().line("center").mac_address).bytes()}, 0);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::no_room, 1}});
    hub.send_bytes(2, {answer.bytes()}, 4);  // exactly the tag's room
    CHECK(hub.left().size() == 1);
}

TEST_CASE("forward: a direct nexthop in the hub row and a third lookup lead the same way", "[path]") {
    StandardHub direct;
    Policy policy = standard_policy();
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Frame frame = tcp(at(ends.archive, 5000), at(ends.client_hub, 4000)).ack();
    direct.send("center", frame);
    const Frames expected = direct.left();
    CHECK(expected.size() == 1);
    // One hub's buffers are checked at a time.
    StandardHub resolving(policy.direct_nexthops(false));
    resolving.send("center", frame);
    CHECK(resolving.left() == expected);
}

TEST_CASE("forward: two operators with identical addresses never meet each other's packets", "[path][conformance-78]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    // The same frame by either line is another institution's.
    const auto same = tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn();
    hub.send("kita", same);
    CHECK(hub.left() ==
          Frames{hub.by("center", tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).syn().ttl(63).to(kPortal))});
    hub.send("minami", same);
    CHECK(hub.left() ==
          Frames{hub.by("center", tcp(at(ends.minami_hub, 4000), at(ends.portal, 443)).syn().ttl(63).to(kPortal))});
    // The answers find their own way, by gateways that have the same address too.
    hub.send("center", {tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).ack(),
                        tcp(at(ends.portal, 443), at(ends.minami_hub, 4000)).ack()});
    const Frame answer = tcp(at(ends.portal_hub, 443), at(ends.client, 4000)).ack().ttl(63);
    CHECK(hub.left() ==
          Frames{hub.by("kita", Frame(answer).to(kKitaGateway)), hub.by("minami", Frame(answer).to(kMinamiGateway))});
    CHECK(hub.drops() == Drops{});
    // Without an agreement they do not reach each other, in hub space or in operator space.
    hub.send("kita", udp(at(ends.client, 4000), at(ends.minami_hub, 53)));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    hub.send("minami", udp(at(ends.client, 4000), at(ends.client_hub, 53)));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    hub.send("kita", udp(at(ends.client, 4000), at(ends.client, 53)));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
}

TEST_CASE("forward: the TTL's checksum is right where it runs over 0x0000 and 0xffff", "[path][conformance-3]") {
    StandardHub hub;
    // The identification turns the header's checksum to whatever is wanted: here to the ends of its range, on either
    // side of the hub, and to every 257th value.
    std::vector<Frame> frames;
    for (unsigned id = 0; id <= 0xffff; id += 257) frames.push_back(udp("10.0.0.7:4000", "100.64.2.9:53").id(id));
    const auto checksum_with = [](const Frame& frame) { return get16(frame.ip(), 10); };
    const unsigned before = checksum_with(udp("10.0.0.7:4000", "100.64.2.9:53").id(0));
    const unsigned after = checksum_with(udp("100.64.0.7:4000", "192.168.9.9:53").id(0).ttl(63));
    for (const unsigned wanted : {0U, 1U, 0xfffdU, 0xfffeU}) {
        const auto id_for = [&](unsigned checksum_at_0) { return (checksum_at_0 + 0xffffU - wanted) % 0xffffU; };
        frames.push_back(udp("10.0.0.7:4000", "100.64.2.9:53").id(id_for(before)));
        REQUIRE(checksum_with(frames.back()) == wanted);
        frames.push_back(udp("10.0.0.7:4000", "100.64.2.9:53").id(id_for(after)));
        REQUIRE(checksum_with(udp("100.64.0.7:4000", "192.168.9.9:53").id(id_for(after)).ttl(63)) == wanted);
    }
    hub.send("kita", frames);
    REQUIRE(hub.left().size() == frames.size());
    for (const Sent& sent : hub.left()) {
        const unsigned id = get16(sent.frame, 18);
        CHECK(sent == hub.by("center", udp("100.64.0.7:4000", "192.168.9.9:53").id(id).ttl(63).to(kPortal)));
    }
}

TEST_CASE("forward: an IPv4 UDP checksum of zero stays zero", "[path][conformance-60]") {
    StandardHub hub;
    hub.send("kita", udp("10.0.0.7:4000", "100.64.2.9:53").checksum(0));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp("100.64.0.7:4000", "192.168.9.9:53").checksum(0).ttl(63).to(kPortal))});
}

TEST_CASE("forward: a UDP checksum that comes out as zero is sent as 0xffff, and 0xffff is taken as zero",
          "[path][conformance-60]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::string from = at(ends.client, 4000), to = at(ends.portal_hub, 53);
    const std::string new_from = at(ends.client_hub, 4000), new_to = at(ends.portal, 53);
    const Bytes zero_behind = payload_for_zero_checksum(new_from, new_to);
    hub.send("kita", udp(from, to).payload(zero_behind));
    CHECK(hub.left() == Frames{hub.by("center", udp(new_from, new_to).payload(zero_behind).ttl(63).to(kPortal))});
    const Bytes zero_before = payload_for_zero_checksum(from, to);
    hub.send("kita", udp(from, to).payload(zero_before));
    CHECK(hub.left() == Frames{hub.by("center", udp(new_from, new_to).payload(zero_before).ttl(63).to(kPortal))});
}

TEST_CASE("forward: a wrong L4 checksum is as wrong behind the hub, never repaired", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Frame in = tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn();
    const Frame out = tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).syn().ttl(63).to(kPortal);
    const std::size_t at_checksum = (ends.family == Family::ipv4 ? 20U : 40U) + 16;
    const unsigned right = get16(in.ip(), at_checksum);
    const unsigned right_behind = get16(out.ip(), at_checksum);
    hub.send("kita", Frame(in).checksum(right ^ 0x0100));
    REQUIRE(hub.left().size() == 1);
    CHECK(hub.left().front() != hub.by("center", out));
    const Bytes ip(hub.left().front().frame.begin() + 14, hub.left().front().frame.end());
    CHECK(get16(ip, at_checksum) != right_behind);
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("forward: UDP-Lite and DCCP checksums cover the addresses too; other protocols have none", "[path]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const unsigned protocol : {136U, 33U}) {
        Bytes body = {0x0f, 0xa0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4};  // coverage 0: all of it
        // The sum of pseudo-header and body is all ones on both sides of the hub.
        const auto checksummed = [&](std::string_view from, std::string_view to) {
            const Bytes whole = packet(from, to, protocol, body).ip();
            const bool ipv4 = ends.family == Family::ipv4;
            Bytes pseudo;
            put(pseudo, std::span(whole).subspan(ipv4 ? 12 : 8, ipv4 ? 8 : 32));
            put32(pseudo, body.size());
            put32(pseudo, protocol);
            Bytes trial = body;
            set16(trial, 6, 0xffffU - sum_of_words({pseudo, body}));
            REQUIRE(sum_of_words({pseudo, trial}) == 0xffff);
            return packet(from, to, protocol, trial);
        };
        hub.send("kita", checksummed(ends.client, ends.archive));
        CHECK(hub.left() ==
              Frames{hub.by("center", checksummed(ends.client_hub, ends.archive).ttl(63).to(kCenterGateway))});
    }
    hub.send("kita", packet(ends.client, ends.archive, 50, Bytes(40, 0x5a)));
    CHECK(hub.left() ==
          Frames{
              hub.by("center", packet(ends.client_hub, ends.archive, 50, Bytes(40, 0x5a)).ttl(63).to(kCenterGateway))});
}

TEST_CASE("forward: a full burst keeps its order", "[path]") {
    StandardHub hub;
    std::vector<Frame> burst;
    Frames expected;
    for (unsigned i = 0; i < 64; ++i) {
        const Ends& ends = i % 3 == 0 ? kEnds6 : kEnds4;
        burst.push_back(udp(at(ends.client, 4000 + i), at(ends.portal_hub, 53)));
        if (ends.family == Family::ipv4)
            expected.push_back(
                hub.by("center", udp(at(ends.client_hub, 4000 + i), at(ends.portal, 53)).ttl(63).to(kPortal)));
    }
    hub.send("kita", burst);
    REQUIRE(hub.left().size() == 64);
    Frames ipv4;  // within a family, and so within a flow
    for (const Sent& sent : hub.left())
        if (get16(sent.frame, 12) == 0x0800) ipv4.push_back(sent);
    CHECK(ipv4 == expected);
}

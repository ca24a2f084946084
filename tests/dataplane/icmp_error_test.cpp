// ICMP errors through the hub: admitted by what they quote, translated outside and inside (RFC 5508 §4.2).
//
// What is expected is written from the beginning, so every checksum is compared with one computed afresh: the outer
// header's, the quoted header's, the quoted L4's and the message's own.
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// A packet of kita's client to the portal, as the hub delivered it, and as its sender sent it (with the TTL of later).
struct Pair {
    Frame delivered, sent;
};
Pair udp_pair(const Ends& ends) {
    return {udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ttl(60),
            udp(at(ends.client, 4000), at(ends.portal_hub, 53)).ttl(60)};
}
Pair tcp_pair(const Ends& ends) {
    return {tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).syn().payload(30).ttl(60),
            tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn().payload(30).ttl(60)};
}
Pair echo_pair(const Ends& ends) {
    return {echo_request(ends.client_hub, ends.portal).ttl(60), echo_request(ends.client, ends.portal_hub).ttl(60)};
}

struct TypeCode {
    unsigned type, code, rest;
};
std::vector<TypeCode> errors_of(const Ends& ends) {
    if (ends.family == Family::ipv4)
        return {{3, 0, 0},  {3, 1, 0},  {3, 3, 0},  {3, 4, 1400},
                {3, 13, 0}, {11, 0, 0}, {11, 1, 0}, {12, 0, 0x0900'0000}};
    return {{1, 0, 0}, {1, 4, 0}, {2, 0, 1400}, {3, 0, 0}, {3, 1, 0}, {4, 1, 6}, {100, 0, 0}};
}
TypeCode unreachable(const Ends& ends) {
    return ends.family == Family::ipv4 ? TypeCode{3, 3, 0} : TypeCode{1, 4, 0};
}

Frame error(std::string_view from, std::string_view to, const TypeCode& kind, const Bytes& quote) {
    return icmp_error(from, to, kind.type, kind.code, quote).rest_of_header(kind.rest);
}

std::size_t header_length(const Ends& ends) {
    return ends.family == Family::ipv4 ? 20 : 40;
}

}  // namespace

TEST_CASE("icmp error: the receiver's own arrives from its hub address, about the packet that was sent",
          "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const Pair& pair : {udp_pair(ends), tcp_pair(ends), echo_pair(ends)})
        for (const TypeCode& kind : errors_of(ends)) {
            hub.send("center", error(ends.portal, ends.client_hub, kind, pair.delivered.ip()));
            CHECK(hub.drops() == Drops{});
            CHECK(hub.left() ==
                  Frames{hub.by("kita",
                                error(ends.portal_hub, ends.client, kind, pair.sent.ip()).ttl(63).to(kKitaGateway))});
        }
}

TEST_CASE("icmp error: a router that no map covers speaks from the hub address of the quoted destination",
          "[path][error][conformance-72]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    // A router inside kita, about the portal's answer to the client.
    const Frame delivered = udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(9);
    const Frame sent = udp(at(ends.portal, 53), at(ends.client_hub, 4000)).ttl(9);
    for (const std::string_view router : {ends.router, ends.kita_gateway})
        for (const TypeCode& kind : errors_of(ends)) {
            hub.send("kita", error(router, ends.portal_hub, kind, delivered.ip()));
            CHECK(hub.drops() == Drops{});
            CHECK(hub.left() ==
                  Frames{hub.by("center", error(ends.client_hub, ends.portal, kind, sent.ip()).ttl(63).to(kPortal))});
        }
}

TEST_CASE("icmp error: another institution of the operator reports under its own hub address", "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes delivered = udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ip();
    const Bytes sent = udp(at(ends.portal, 53), at(ends.client_hub, 4000)).ip();
    hub.send("kita", error(ends.clinic, ends.portal_hub, unreachable(ends), delivered));
    CHECK(hub.left() ==
          Frames{hub.by("center", error(ends.clinic_hub, ends.portal, unreachable(ends), sent).ttl(63).to(kPortal))});
}

TEST_CASE("icmp error: a quote may be short, long, or followed by extensions", "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const Pair& pair : {udp_pair(ends), tcp_pair(ends), echo_pair(ends)}) {
        const Bytes delivered = pair.delivered.ip();
        const Bytes sent = pair.sent.ip();
        for (std::size_t length = header_length(ends) + 8; length <= delivered.size(); ++length) {
            hub.send("center", error(ends.portal, ends.client_hub, unreachable(ends), first(delivered, length)));
            // Half of TCP's checksum cannot be translated; the message's own is right all the same (hostile_test.cpp).
            const bool segment_quoted = delivered[ends.family == Family::ipv4 ? 9 : 6] == kProtocolTcp;
            if (segment_quoted && length == header_length(ends) + 17) continue;
            CHECK(hub.left() ==
                  Frames{hub.by("kita", error(ends.portal_hub, ends.client, unreachable(ends), first(sent, length))
                                            .ttl(63)
                                            .to(kKitaGateway))});
        }
        Bytes extended = delivered, expected = sent;  // RFC 4884: padded with zero, then objects
        for (Bytes* const bytes : {&extended, &expected}) {
            bytes->resize(128);
            put(*bytes, Bytes{0x20, 0, 0, 0, 0, 8, 1, 1, 1, 2, 3, 4});
        }
        hub.send("center", error(ends.portal, ends.client_hub, unreachable(ends), extended));
        CHECK(hub.left() ==
              Frames{hub.by(
                  "kita", error(ends.portal_hub, ends.client, unreachable(ends), expected).ttl(63).to(kKitaGateway))});
    }
}

TEST_CASE("icmp error: options and extension headers, outside and in the quote, stay as they are", "[path][error]") {
    StandardHub hub;
    const Bytes alert = {148, 4, 0, 0};
    Pair pair = udp_pair(kEnds4);
    pair.delivered.options(Bytes(12, 1));
    pair.sent.options(Bytes(12, 1));
    hub.send("center", error("192.168.9.9", "100.64.0.7", {3, 3, 0}, pair.delivered.ip()).options(alert));
    CHECK(hub.left() ==
          Frames{hub.by(
              "kita",
              error("100.64.2.9", "10.0.0.7", {3, 3, 0}, pair.sent.ip()).options(alert).ttl(63).to(kKitaGateway))});
    Pair six = tcp_pair(kEnds6);
    six.delivered.hop_by_hop().destination_options(2);
    six.sent.hop_by_hop().destination_options(2);
    hub.send("center", error("fd99::9", "2001:db8:4000:1::7", {2, 0, 1300}, six.delivered.ip()).hop_by_hop());
    CHECK(hub.left() ==
          Frames{hub.by("kita", error("2001:db8:4000:201::9", "fd00:0:0:1::7", {2, 0, 1300}, six.sent.ip())
                                    .hop_by_hop()
                                    .ttl(63)
                                    .to(kKitaGateway))});
}

TEST_CASE("icmp error: a quoted UDP checksum of zero stays zero", "[path][error][conformance-60]") {
    StandardHub hub;
    Pair pair = udp_pair(kEnds4);
    pair.delivered.checksum(0);
    pair.sent.checksum(0);
    hub.send("center", error("192.168.9.9", "100.64.0.7", {3, 3, 0}, pair.delivered.ip()));
    CHECK(hub.left() ==
          Frames{hub.by("kita", error("100.64.2.9", "10.0.0.7", {3, 3, 0}, pair.sent.ip()).ttl(63).to(kKitaGateway))});
}

TEST_CASE("icmp error: one that was quoted from a first fragment is translated too", "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Pair pair = udp_pair(ends);
    const bool ipv4 = ends.family == Family::ipv4;
    for (Frame* const frame : {&pair.delivered, &pair.sent})
        *frame = ipv4 ? frame->dont_fragment(false).fragment(0, true) : frame->hop_by_hop().fragment_header(0, true);
    const Frame expected = error(ends.portal_hub, ends.client, unreachable(ends), pair.sent.ip()).ttl(63);
    hub.send("center", error(ends.portal, ends.client_hub, unreachable(ends), pair.delivered.ip()));
    CHECK(hub.left() == Frames{hub.by("kita", Frame(expected).to(kKitaGateway))});
}

TEST_CASE("icmp error: a wrong checksum is carried on wrong, never repaired", "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Pair pair = udp_pair(ends);
    const Frame expected = error(ends.portal_hub, ends.client, unreachable(ends), pair.sent.ip()).ttl(63);
    hub.send("center", error(ends.portal, ends.client_hub, unreachable(ends), pair.delivered.ip()).checksum(0x1234));
    REQUIRE(hub.left().size() == 1);
    CHECK(hub.left().front() != hub.by("kita", Frame(expected).to(kKitaGateway)));
    const Bytes& frame = hub.left().front().frame;
    CHECK(hub.left().front() ==
          hub.by("kita", Frame(expected).checksum(get16(frame, 14 + header_length(ends) + 2)).to(kKitaGateway)));
}

TEST_CASE("icmp error: source quench and redirects are not forwarded", "[path][error]") {
    StandardHub hub;
    const Bytes quote = udp_pair(kEnds4).delivered.ip();
    expect_drop(hub, "center", error("192.168.9.9", "100.64.0.7", {4, 0, 0}, quote), DropReason::icmp_refused);
    expect_drop(hub, "center", error("192.168.9.9", "100.64.0.7", {5, 1, 0}, quote), DropReason::icmp_refused);
}

TEST_CASE("icmp error: a quote that cannot be read is malformed", "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    const auto about = [&](const Bytes& quote) {
        return error(ends.portal, ends.client_hub, unreachable(ends), quote);
    };
    for (const Pair& pair : {udp_pair(ends), tcp_pair(ends), echo_pair(ends)}) {
        const Bytes quote = pair.delivered.ip();
        for (std::size_t length = 0; length < header_length(ends) + 8; ++length)
            expect_drop(hub, "center", about(first(quote, length)), DropReason::icmp_error_malformed);
    }
    const Frame good = udp_pair(ends).delivered;
    expect_drop(hub, "center", about(Frame(good).version(ipv4 ? 6 : 4).ip()), DropReason::icmp_error_malformed);
    const Frame nested = error(ends.client_hub, ends.portal, unreachable(ends), good.ip());
    expect_drop(hub, "center", about(nested.ip()), DropReason::icmp_error_malformed);
    if (ipv4) {
        for (const unsigned words : {0U, 4U, 15U})
            expect_drop(hub, "center", about(Frame(good).header_words(words).ip()), DropReason::icmp_error_malformed);
        expect_drop(hub, "center", about(Frame(good).total_length(19).ip()), DropReason::icmp_error_malformed);
        expect_drop(hub, "center", about(Frame(good).fragment(1480, false).ip()), DropReason::icmp_error_malformed);
    } else {
        expect_drop(hub, "center", about(Frame(good).fragment_header(1480, false).ip()),
                    DropReason::icmp_error_malformed);
        const Bytes long_header = {99, 1, 4, 0, 0, 0, 0};
        expect_drop(hub, "center", about(Frame(good).extension(60, long_header).ip()),
                    DropReason::icmp_error_malformed);
    }
}

TEST_CASE("icmp error: one about a packet that could not have been sent is dropped", "[path][error]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    const auto from_portal = [&](std::string_view to, const Frame& quote) {
        return error(ends.portal, to, unreachable(ends), quote.ip());
    };
    const Frame good = udp_pair(ends).delivered;
    const DropReason unmatched = DropReason::icmp_error_unmatched;
    // Not to the quoted source.
    expect_drop(hub, "center", from_portal(ends.minami_hub, good), unmatched);
    expect_drop(hub, "center", from_portal(ends.unused_hub, good), unmatched);
    // The quoted destination is none of this operator's, the quoted source nobody's.
    expect_drop(hub, "center", from_portal(ends.client_hub, udp(at(ends.client_hub, 4000), at(ends.client, 53))),
                unmatched);
    expect_drop(hub, "center", from_portal(ends.unused_hub, udp(at(ends.unused_hub, 4000), at(ends.portal, 53))),
                unmatched);
    // As the sender sent it: not what the hub delivered.
    expect_drop(hub, "center", from_portal(ends.client, udp_pair(ends).sent), unmatched);
    // No agreement, another port, another direction, another protocol.
    expect_drop(hub, "center", from_portal(ends.clinic_hub, udp(at(ends.clinic_hub, 4000), at(ends.portal, 53))),
                unmatched);
    expect_drop(hub, "center", from_portal(ends.client_hub, udp(at(ends.client_hub, 53), at(ends.portal, 54))),
                unmatched);
    expect_drop(hub, "center", from_portal(ends.client_hub, tcp(at(ends.client_hub, 443), at(ends.portal, 80))),
                unmatched);
    expect_drop(hub, "center", from_portal(ends.client_hub, packet(ends.client_hub, ends.portal, 50, Bytes(24))),
                unmatched);
    // An ICMP message that the hub forwards for nobody, though echo is agreed.
    expect_drop(hub, "center",
                from_portal(ends.client_hub, icmp(ends.client_hub, ends.portal, ipv4 ? 13 : 130).payload(20)),
                unmatched);
    // Every protocol may have been sent to the archive.
    hub.send("center", error(ends.archive, ends.client_hub, unreachable(ends),
                             packet(ends.client_hub, ends.archive, 50, Bytes(24)).ip()));
    CHECK(hub.left().size() == 1);
}

TEST_CASE("icmp error: a reporter in hub space that its operator does not own is a spoof",
          "[path][error][conformance-77]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes quote = udp_pair(ends).delivered.ip();
    for (const std::string_view reporter : {ends.portal_hub, ends.client_hub, ends.minami_hub, ends.unused_hub})
        expect_drop(hub, "center", error(reporter, ends.client_hub, unreachable(ends), quote),
                    DropReason::source_spoofed);
    const bool ipv4 = ends.family == Family::ipv4;
    expect_drop(hub, "center", error(ipv4 ? "127.0.0.1" : "::1", ends.client_hub, unreachable(ends), quote),
                DropReason::martian_source);
    expect_drop(hub, "center", error(ipv4 ? "169.254.1.1" : "fe80::5", ends.client_hub, unreachable(ends), quote),
                DropReason::link_local);
}

TEST_CASE("icmp error: reporter and quoted destination come only by their own attachments", "[path][error]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = standard_policy();
    policy.agreement("kita-clinic", "portal").udp(53);
    StandardHub hub(policy);
    const auto about = [&](std::string_view receiver) { return udp(at(ends.portal_hub, 53), at(receiver, 4000)).ip(); };
    // The clinic may use the first line only.
    expect_drop(hub, "kita-backup", error(ends.clinic, ends.portal_hub, unreachable(ends), about(ends.client)),
                DropReason::source_elsewhere);
    expect_drop(hub, "kita-backup", error(ends.router, ends.portal_hub, unreachable(ends), about(ends.clinic)),
                DropReason::source_elsewhere);
    hub.send("kita", error(ends.router, ends.portal_hub, unreachable(ends), about(ends.clinic)));
    CHECK(hub.left().size() == 1);
}

TEST_CASE("icmp error: a gate on the sender, the receiver or the reporter closes it, silently", "[path][error]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Frame about_answer = error(ends.clinic, ends.portal_hub, unreachable(ends),
                                     udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ip());
    for (const std::string_view closed : {"kita-hospital", "kita-clinic", "portal"}) {
        Policy policy = standard_policy();
        policy.house(closed).close();
        StandardHub hub(policy);
        expect_drop(hub, "kita", about_answer, DropReason::institution_closed);
    }
}

TEST_CASE("icmp error: one that runs out of hops, or does not fit, dies silently", "[path][error][conformance-4]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = standard_policy();
    policy.line("kita").mtu(1280);
    StandardHub hub(policy);
    const Frame delivered = udp(at(ends.client_hub, 4000), at(ends.portal, 53)).payload(1300);
    const Frame late = error(ends.portal, ends.client_hub, unreachable(ends), delivered.ip());
    expect_drop(hub, "center", Frame(late).ttl(1), DropReason::ttl_expired);
    expect_drop(hub, "center", late, DropReason::packet_too_big);
}

// ESP that is refused: each wrong packet is a drop by its cause, on the account and on the SA's own, and nothing
// leaves.
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using dataplane::SaInfo;

SaInfo inbound_of(const ProtectedHub& hub) {
    for (SaInfo& sa : hub.associations()->list(kHigashiTunnel))
        if (!sa.outbound) return sa;
    FAIL("no inbound SA");
    return {};
}
SaInfo outbound_of(const ProtectedHub& hub) {
    for (SaInfo& sa : hub.associations()->list(kHigashiTunnel))
        if (sa.outbound) return sa;
    FAIL("no outbound SA");
    return {};
}

// The frame is dropped for the reason, which the SA tells too; its lifetime is not touched.
void expect_refused(ProtectedHub& hub, const Frame& frame, DropReason reason, bool authentic = false) {
    const SaInfo before = inbound_of(hub);
    hub.peer_sends(frame);
    CHECK(hub.left().empty());
    CHECK(hub.drops() == Drops{{reason, 1}});
    CHECK(hub.made() == 0);
    const SaInfo after = inbound_of(hub);
    CHECK(after.packets == before.packets + (authentic ? 1 : 0));
    CHECK(after.highest_sequence >= before.highest_sequence);
    if (!authentic) CHECK(after.highest_sequence == before.highest_sequence);
    std::uint64_t told = 0;
    for (const auto& [of, count] : after.failures)
        if (of == reason) told = count;
    for (const auto& [of, count] : before.failures)
        if (of == reason) told -= count;
    CHECK(told == 1);
}

TEST_CASE("ESP refused before the cipher, by cause", "[esp][conformance-20]") {
    ProtectedOptions options;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.esn = GENERATE(true, false);
    ProtectedHub hub(options);
    const Bytes good = esp(hub.in, 5, inner_question());
    hub.peer_sends(hub.carried(good));
    REQUIRE(hub.left().size() == 1);
    expect_refused(hub, hub.carried(first(good, 35)), DropReason::esp_truncated);
    expect_refused(hub, hub.carried(first(good, 4)), DropReason::esp_truncated);
    expect_refused(hub, hub.carried(first(good, good.size() - 1)), DropReason::esp_length);
    expect_refused(hub, hub.carried(good), DropReason::replay_duplicate);
    if (!options.esn) expect_refused(hub, hub.numbered(0, inner_question()), DropReason::replay_stale);
    hub.peer_sends(hub.numbered(5000, inner_question()));
    REQUIRE(hub.left().size() == 1);
    if (!options.esn) expect_refused(hub, hub.numbered(904, inner_question()), DropReason::replay_stale);
    hub.peer_sends(hub.numbered(905, inner_question()));
    CHECK(hub.left().size() == 1);
}

TEST_CASE("an ESP packet that ends before its SPI, or has another one", "[esp]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6)});
    for (const std::size_t length : {0U, 1U, 3U}) {
        hub.peer_sends(hub.carried(Bytes(length, 1)));
        CHECK(hub.drops() == Drops{{DropReason::esp_truncated, 1}});
    }
    for (const std::uint32_t spi : {0U, 1U, 255U, 0x1002U, 0xffff'ffffU}) {
        hub.peer_sends(hub.carried(esp(esp_key(spi), 1, inner_question())));
        CHECK(hub.drops() == Drops{{DropReason::sa_unknown, 1}});
        CHECK(hub.left().empty());
    }
}

TEST_CASE("ESP that is not authentic: a wrong ICV, another key, a header that was changed", "[esp][conformance-31]") {
    ProtectedOptions options;
    options.esn = GENERATE(true, false);
    ProtectedHub hub(options);
    expect_refused(hub, hub.numbered(1, inner_question(), {.damage = true}), DropReason::icv_wrong);
    EspKey other = hub.in;
    other.keying[0] ^= 1;
    expect_refused(hub, hub.carried(esp(other, 1, inner_question())), DropReason::icv_wrong);
    Bytes changed = esp(hub.in, 1, inner_question());
    changed[7] ^= 2;  // the sequence number
    expect_refused(hub, hub.carried(changed), DropReason::icv_wrong);
    changed = esp(hub.in, 1, inner_question());
    changed[12] ^= 2;  // the IV
    expect_refused(hub, hub.carried(changed), DropReason::icv_wrong);
    hub.peer_sends(hub.numbered(1, inner_question()));  // none of them moved the window
    CHECK(hub.left().size() == 1);
}

TEST_CASE("two copies in one burst: one passes", "[esp][conformance-20]") {
    ProtectedHub hub;
    const Frame one = hub.from_peer(inner_question()), two = hub.from_peer(inner_question());
    hub.peer_sends(std::vector<Frame>{one, two, one, two, two});
    CHECK(hub.left().size() == 2);
    CHECK(hub.drops() == Drops{{DropReason::replay_duplicate, 3}});
}

TEST_CASE("what is inside authentic ESP is refused by cause", "[esp][conformance-24][conformance-27]") {
    ProtectedOptions options;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.selectors = {{*Prefix4::parse("100.64.2.0/24"), *Prefix4::parse("10.0.0.0/24")}};
    ProtectedHub hub(options);
    const auto refused = [&](const Frame& frame, DropReason reason) { expect_refused(hub, frame, reason, true); };
    refused(hub.from_peer(inner_question(), {.padding = Bytes{9, 9}}), DropReason::esp_padding);
    refused(hub.from_peer(inner_question(), {.pad_length = 255}), DropReason::esp_padding);
    refused(hub.from_peer(inner_question(), {.next_header = 6}), DropReason::esp_next_header);
    refused(hub.from_peer(inner_question(), {.next_header = 41}),
            DropReason::esp_inner_malformed);  // the other version
    refused(hub.from_peer(udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::9]:53").ip(), {.next_header = 4}),
            DropReason::esp_inner_malformed);
    refused(hub.from_peer(Bytes(60, 0xff)), DropReason::esp_inner_malformed);
    refused(hub.from_peer(first(inner_question(), 10)), DropReason::esp_inner_malformed);
    refused(hub.from_peer(first(inner_question(), 40)), DropReason::esp_inner_malformed);  // shorter than it says
    refused(hub.from_peer(udp("10.0.1.7:4000", "100.64.2.9:53").ip()), DropReason::selector_mismatch);
    refused(hub.from_peer(udp("10.0.0.7:4000", "100.64.3.8:53").ip()), DropReason::selector_mismatch);
    refused(hub.from_peer(udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::9]:53").ip()),
            DropReason::selector_mismatch);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.left().size() == 1);
}

TEST_CASE("a packet from a tunnel is judged as any other: its own faults, its agreements, its source", "[esp]") {
    ProtectedHub hub;
    const auto expect = [&](const Frame& inner, DropReason reason) {
        hub.peer_sends(hub.from_peer(inner.ip()));
        CHECK(hub.drops() == Drops{{reason, 1}});
    };
    expect(udp("10.0.0.7:4000", "100.64.2.9:53").header_checksum(0x1234), DropReason::ipv4_checksum);
    expect(udp("10.0.0.7:4000", "100.64.2.9:53").options({0x83, 7, 4, 1, 2, 3, 4, 0}), DropReason::source_route);
    expect(tcp("10.0.0.7:4000", "100.64.2.9:443").data_offset(15), DropReason::l4_truncated);
    expect(udp("10.0.0.7:4000", "100.64.2.9:54"), DropReason::no_agreement);
    expect(udp("10.0.1.7:4000", "100.64.2.9:53"), DropReason::source_unknown);
    expect(udp("100.64.16.7:4000", "100.64.2.9:53"), DropReason::source_spoofed);
    expect(packet("10.0.0.7", "10.255.0.1", kProtocolEsp, esp(hub.in, 9, inner_question())),
           DropReason::no_kernel_port);
    expect(udp("10.0.0.7:4000", "10.255.0.1:179"), DropReason::no_kernel_port);
    expect(neighbour_solicitation("fe80::9", "fd00:ffff::1", "fd00:ffff::1", "02:00:00:00:0d:07"),
           DropReason::nd_not_ours);
    expect(echo_request("10.0.0.7", "10.255.0.1").checksum(1), DropReason::local_checksum);
}

TEST_CASE("an institution's packet that comes past its tunnel, and another's that comes by it",
          "[esp][conformance-28]") {
    Policy policy = protected_policy();
    policy.line("higashi", "higashi-plain", 4).ipv4("10.255.7.1/29");
    policy.house("higashi", "higashi-office").map("10.0.9.0/24", "100.64.33.0/24").uses("higashi-plain");
    ProtectedHub hub(policy, {});
    hub.send("higashi-plain", carrying(inner_question()));
    CHECK(hub.drops() == Drops{{DropReason::source_elsewhere, 1}});
    hub.peer_sends(hub.from_peer(udp("10.0.9.7:4000", "100.64.2.9:53").ip()));
    CHECK(hub.drops() == Drops{{DropReason::source_elsewhere, 1}});
}

TEST_CASE("ESP for a tunnel of another underlay, or from another peer, is refused before the cipher", "[esp]") {
    Policy policy = protected_policy();
    policy.line("minami").underlay();
    ProtectedHub hub(policy, {});
    const Bytes good = esp(hub.in, 1, inner_question());
    hub.send("minami", packet("198.51.100.9", "10.255.0.1", kProtocolEsp, good));
    CHECK(hub.drops() == Drops{{DropReason::sa_elsewhere, 1}});
    expect_refused(hub, packet("198.51.100.10", "203.0.113.1", kProtocolEsp, good), DropReason::sa_elsewhere);
    expect_refused(hub, packet("2001:db8:77::9", "2001:db8:99::1", kProtocolEsp, good), DropReason::sa_elsewhere);
    hub.peer_sends(hub.carried(good));
    CHECK(hub.left().size() == 1);
}

TEST_CASE("an underlay carries nobody's plain packets, neither in nor out", "[esp][conformance-28]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = protected_policy();
    policy.line("higashi-line").tap(9);
    ProtectedHub hub(policy, {});
    const bool ipv4 = ends.family == Family::ipv4;
    const Bytes plain = udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(40).ip();
    const std::vector<Frame> all = {
        carrying(plain),
        carrying(pieces(udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(99).ip(), {64})[0]),
        icmp_error(ends.client, ends.portal_hub, ipv4 ? 3 : 1, 3, plain), echo_request(ends.client, ends.portal_hub),
        packet(ends.client, ends.portal_hub, kProtocolEsp, Bytes(80, 1))};
    for (const Frame& frame : all) {
        hub.peer_sends(frame);
        CHECK(hub.drops() == Drops{{DropReason::underlay_plain, 1}});
        CHECK(hub.left().empty());
        CHECK(hub.made() == 0);
    }
    // IKE is for its kernel.
    hub.peer_sends(udp("198.51.100.9:500", "203.0.113.1:500").payload(30));
    CHECK(hub.punted() == 1);
    hub.peer_sends(udp("198.51.100.9:4500", "203.0.113.1:4500").payload(Bytes(30, 0)));
    CHECK(hub.punted() == 1);
    // A route that leads out of the tunnel, to the underlay.
    for (Way& way : policy.ways)
        if (way.line == "higashi") way.by("higashi-line", way.prefix.is_ipv4() ? "203.0.113.2" : "2001:db8:99::2");
    policy.direct_nexthops(GENERATE(true, false));
    hub.commit(policy);
    hub.send("kita", udp(at(ends.client, 7), at(ipv4 ? kHigashiHub4 : kHigashiHub6, 9)));
    CHECK(hub.drops() == Drops{{DropReason::underlay_plain, 1}});
    REQUIRE(hub.left().size() == 1);  // the error
    CHECK(hub.left()[0].port == 0);
}

TEST_CASE("a route that gives a tunnel's attachment a neighbour leads into the tunnel all the same",
          "[esp][conformance-28]") {
    Policy policy = protected_policy();
    for (Way& way : policy.ways)
        if (way.line == "higashi")
            way.prefix.length() == 16 ? way.by("higashi", "10.255.0.2") : way.connected("higashi");
    ProtectedHub hub(policy, {});
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9"));
    CHECK(hub.opened().size() == 1);
    hub.send("kita", udp("[fd00:0:0:1::7]:7", "[2001:db8:4000:401::7]:9"));
    CHECK(hub.opened().size() == 1);
}

TEST_CASE("without an SA a protected operator's packets are dropped, never sent plain", "[esp][conformance-28]") {
    ProtectedHub hub({}, false);
    const Frame sent = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9");
    hub.send("kita", sent);
    CHECK(hub.drops() == Drops{{DropReason::sa_missing, 1}});
    CHECK(hub.left().empty());
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.drops() == Drops{{DropReason::sa_unknown, 1}});
    hub.install_outbound(hub.out);
    hub.send("kita", sent);
    CHECK(hub.opened().size() == 1);
    REQUIRE(hub.associations()->remove_outbound(kHigashiTunnel, hub.out.spi));
    hub.send("kita", sent);
    CHECK(hub.drops() == Drops{{DropReason::sa_missing, 1}});
    CHECK(hub.left().empty());
}

TEST_CASE("a hub that has no associations at all opens nothing and seals nothing", "[esp][conformance-28]") {
    StandardHub hub(standard_policy());
    CHECK(hub.associations() == nullptr);
    Policy policy = protected_policy();
    policy.line("higashi-line").port = 2;  // a port that this hub has
    hub.commit(policy);
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9"));
    CHECK(hub.drops() == Drops{{DropReason::sa_missing, 1}});
    hub.send("higashi-line", packet("198.51.100.9", "203.0.113.1", kProtocolEsp, Bytes(80, 1)));
    CHECK(hub.drops() == Drops{{DropReason::sa_unknown, 1}});
    CHECK(hub.left().empty());
}

TEST_CASE("an SA's hard lifetime ends it both ways, and its numbers may", "[esp][conformance-18][conformance-32]") {
    ProtectedOptions options;
    options.esn = false;
    options.lifetime.hard_packets = 3;
    ProtectedHub hub(options);
    std::vector<Frame> in;
    for (int i = 0; i < 3; ++i) in.push_back(hub.from_peer(inner_question()));
    hub.peer_sends(in);
    CHECK(hub.left().size() == 3);
    expect_refused(hub, hub.from_peer(inner_question()), DropReason::sa_expired);
    const Frame out = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9");
    hub.send("kita", std::vector<Frame>(3, out));
    CHECK(hub.left().size() == 3);
    hub.send("kita", out);
    CHECK(hub.drops() == Drops{{DropReason::sa_expired, 1}});
    CHECK(hub.left().empty());
    CHECK(outbound_of(hub).failures == std::vector<std::pair<DropReason, std::uint64_t>>{{DropReason::sa_expired, 1}});

    const auto with_numbers = [&](std::uint64_t start, std::uint64_t end) {
        crypto::OutboundConfig config{Spi(0x2002), hub.out.suite, false};
        config.local = address(kOuter4.hub);
        config.peer = address(kOuter4.peer);
        auto sa = hub.associations()->make_outbound(config, Secret(hub.out.keying));
        REQUIRE(sa);
        (*sa)->sequence().begin(start, (*sa)->last_sequence());
        (*sa)->sequence().extend(end);
        REQUIRE(hub.associations()->switch_outbound(kHigashiTunnel, *sa, {}));
    };
    with_numbers(7, 9);  // two are on record
    hub.send("kita", std::vector<Frame>(3, out));
    CHECK(hub.left().size() == 2);
    CHECK(hub.drops() == Drops{{DropReason::nonce_reserve_exhausted, 1}});
    with_numbers(0xffff'ffff, std::uint64_t{1} << 32);
    hub.send("kita", std::vector<Frame>(2, out));
    CHECK(hub.left().size() == 1);
    CHECK(hub.drops() == Drops{{DropReason::sequence_exhausted, 1}});
}

TEST_CASE("SAs that are removed under traffic: what comes is unknown, what leaves is dropped",
          "[esp][conformance-28]") {
    ProtectedHub hub;
    const Frame out = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9");
    const EspKey next_in = esp_key(0x1002), next_out = esp_key(0x2002);
    for (int round = 0; round < 20; ++round) {
        hub.peer_sends(std::vector<Frame>{hub.from_peer(inner_question()), hub.from_peer(inner_question())});
        CHECK(hub.left().size() == 2);
        hub.send("kita", std::vector<Frame>(5, out));
        CHECK(hub.opened().size() == 5);
        CHECK(hub.drops() == Drops{});
    }
    hub.install_inbound(next_in);  // make before break
    const Frame old = hub.from_peer(inner_question());
    hub.peer_sends(std::vector<Frame>{old, hub.carried(esp(next_in, 1, inner_question()))});
    CHECK(hub.left().size() == 2);
    hub.associations()->forget(kHigashiTunnel);
    CHECK(hub.associations()->size() == 0);
    hub.peer_sends(std::vector<Frame>{hub.from_peer(inner_question()), hub.carried(esp(next_in, 2, inner_question()))});
    CHECK(hub.drops() == Drops{{DropReason::sa_unknown, 2}});
    hub.send("kita", std::vector<Frame>(5, out));
    CHECK(hub.drops() == Drops{{DropReason::sa_missing, 5}});
    CHECK(hub.left().empty());
}

TEST_CASE("gates: of the underlay, of the tunnel's attachment, of the institution", "[esp]") {
    Policy policy = protected_policy();
    ProtectedHub hub(policy, {});
    const Frame out = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9");
    Policy closed = policy;
    closed.line("higashi").close();
    hub.commit(closed);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.drops() == Drops{{DropReason::attachment_closed, 1}});
    hub.send("kita", out);
    CHECK(hub.drops() == Drops{{DropReason::egress_closed, 1}});
    closed = policy;
    closed.line("higashi-line").close();
    hub.commit(closed);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.drops() == Drops{{DropReason::attachment_closed, 1}});
    hub.send("kita", out);
    CHECK(hub.drops() == Drops{{DropReason::egress_closed, 1}});
    CHECK(hub.left().empty());
    closed = policy;
    closed.house("higashi-hospital").close();
    hub.commit(closed);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
    closed = policy;
    closed.line("higashi").ipv6("");
    hub.commit(closed);
    hub.peer_sends(hub.from_peer(udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::9]:53").ip()));
    CHECK(hub.drops() == Drops{{DropReason::family_not_served, 1}});
}

TEST_CASE("a tunnel that the tables do not have any more opens and seals nothing", "[esp]") {
    Policy policy = protected_policy();
    ProtectedHub hub(policy, {});
    hub.commit(standard_policy());
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9"));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    for (std::size_t i = policy.ways.size(); i-- > 0;)
        if (policy.ways[i].line == "higashi-line" && policy.ways[i].kind == dataplane::Nexthop::Kind::gateway)
            policy.ways.erase(policy.ways.begin() + static_cast<std::ptrdiff_t>(i));
    hub.commit(policy);  // the peer has no route
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9"));
    CHECK(hub.drops() == Drops{{DropReason::no_route, 1}});
    CHECK(hub.left().empty());
}

TEST_CASE("a buffer without room for the outer header or the trailer", "[esp]") {
    ProtectedHub hub;
    const Bytes frame =
        udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").to(hub.policy().line("kita").mac_address).bytes();
    hub.send_bytes(0, {frame}, 16);
    CHECK(hub.drops() == Drops{{DropReason::no_room, 1}});
    hub.tailroom(10);
    hub.send_bytes(0, {frame}, kHeadroom);
    CHECK(hub.drops() == Drops{{DropReason::no_room, 1}});
    CHECK(hub.left().empty());
    hub.tailroom(crypto::OutboundSa::kTailroom);
    hub.send_bytes(0, {frame}, 20 + 16 + 4);  // outer header, ESP header, and the tag that comes in addition
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 1);
}

TEST_CASE("a member of the underlay's way that carries less than the tunnel says", "[esp]") {
    Policy policy = protected_policy();
    policy.line("higashi-line").mtu(1420);
    ProtectedHub hub(policy, {});
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1372));
    CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
    CHECK(hub.left().empty());
}

}  // namespace
}  // namespace sekisho::test

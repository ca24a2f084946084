// ESP through the whole path: what comes out of a tunnel is forwarded, what goes into one is sealed, in both families
// outside and inside; the peer is OpenSSL with RFC 4303 written once more.
#include "tests/dataplane/support/datagrams.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

const std::string_view& higashi_hub(const Ends& ends) {
    return ends.family == Family::ipv4 ? kHigashiHub4 : kHigashiHub6;
}
std::string_view inner_hub(const Ends& ends) {
    return ends.family == Family::ipv4 ? "10.255.0.1" : "fd00:ffff::1";
}

TEST_CASE("ESP from a peer is opened, and what was in it goes on as any packet of its operator",
          "[esp][conformance-27][conformance-43]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedOptions options;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.suite = GENERATE(crypto::Suite::aes_gcm_128, crypto::Suite::aes_gcm_256);
    options.esn = GENERATE(true, false);
    ProtectedHub hub(options);
    const auto question = [](std::string_view from, std::string_view to, unsigned size) {
        return udp(at(from, 4000), at(to, 53)).payload(size);
    };
    std::vector<Frame> frames;
    Frames expected;
    for (const unsigned size : {0U, 1U, 2U, 3U, 4U, 63U, 512U, 1300U}) {
        frames.push_back(hub.from_peer(question(ends.client, ends.portal_hub, size).ip()));
        expected.push_back(hub.by("center", question(higashi_hub(ends), ends.portal, size).ttl(63).to(kPortal)));
    }
    hub.peer_sends(frames);
    CHECK(hub.left() == expected);
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == 0);
}

TEST_CASE("what goes to a protected operator is sealed for its peer, in order, with numbers from 1",
          "[esp][conformance-17][conformance-43]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedOptions options;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.suite = GENERATE(crypto::Suite::aes_gcm_128, crypto::Suite::aes_gcm_256);
    options.esn = GENERATE(true, false);
    ProtectedHub hub(options);
    std::vector<Frame> frames;
    std::vector<Bytes> expected;
    for (const unsigned size : {0U, 1U, 2U, 3U, 4U, 63U, 512U, 1300U}) {
        frames.push_back(udp(at(ends.client, 7), at(higashi_hub(ends), 9)).payload(size));
        expected.push_back(udp(at(ends.client_hub, 7), at(ends.client, 9)).payload(size).ttl(63).ip());
    }
    hub.send("kita", frames);
    CHECK(hub.opened() == expected);
    CHECK(hub.drops() == Drops{});
    hub.send("kita", frames.front());
    CHECK(hub.opened() == std::vector<Bytes>{expected.front()});
}

TEST_CASE("an answer goes back through the tunnel that its question came by", "[esp]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedHub hub;
    hub.peer_sends(hub.from_peer(udp(at(ends.client, 4000), at(ends.portal_hub, 53)).ip()));
    REQUIRE(hub.left().size() == 1);
    hub.send("center", udp(at(ends.portal, 53), at(higashi_hub(ends), 4000)));
    CHECK(hub.opened() == std::vector<Bytes>{udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).ip()});
}

TEST_CASE("echo to a tunnel's own address is answered, sealed", "[esp]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6)});
    hub.peer_sends(hub.from_peer(echo_request(ends.client, inner_hub(ends)).payload(32).ip()));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == 1);
    CHECK(hub.made() == 1);
    Frame reply = echo_reply(inner_hub(ends), ends.client).payload(32);
    CHECK(hub.opened() == std::vector<Bytes>{reply.ip()});
}

TEST_CASE("echo to an underlay's own address is answered as ever, plain", "[esp]") {
    ProtectedHub hub;
    hub.know("higashi-line", "203.0.113.3", "02:00:00:00:0d:03");
    hub.peer_sends(echo_request("203.0.113.3", "203.0.113.1"));
    CHECK(hub.left() ==
          Frames{hub.by("higashi-line", echo_reply("203.0.113.1", "203.0.113.3").to("02:00:00:00:0d:03"))});
}

TEST_CASE("a packet that came by a tunnel and expires here: its sender is told, through the tunnel", "[esp]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedHub hub;
    const Bytes dying = udp(at(ends.client, 4000), at(ends.portal_hub, 53)).ttl(1).ip();
    hub.peer_sends(hub.from_peer(dying));
    CHECK(hub.drops() == Drops{{DropReason::ttl_expired, 1}});
    const bool ipv4 = ends.family == Family::ipv4;
    Frame error = icmp_error(inner_hub(ends), ends.client, ipv4 ? 11 : 3, 0, dying).dont_fragment(false);
    if (ipv4) error.dscp_ecn(0xc0).id(1);
    CHECK(hub.opened() == std::vector<Bytes>{error.ip()});
}

TEST_CASE("what a tunnel is too narrow for gets an error with the tunnel's MTU, overhead taken off",
          "[esp][conformance-6]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedHub hub;
    const bool ipv4 = ends.family == Family::ipv4;
    const std::size_t header = ipv4 ? 28 : 48;
    hub.send("kita", udp(at(ends.client, 7), at(higashi_hub(ends), 9)).payload(1400 - header));
    CHECK(hub.opened().size() == 1);
    const Frame sent = udp(at(ends.client, 7), at(higashi_hub(ends), 9)).payload(1401 - header);
    hub.send("kita", sent);
    CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
    Frame error = ipv4 ? icmp_error(ends.kita_hub, ends.client, 3, 4, first(sent.ip(), 548))
                       : icmp_error(ends.kita_hub, ends.client, 2, 0, first(sent.ip(), 1232));
    error.rest_of_header(1400).dont_fragment(false).to(kKitaGateway);
    if (ipv4) error.dscp_ecn(0xc0).id(1);
    CHECK(hub.left() == Frames{hub.by("kita", error)});
}

TEST_CASE("what is too long for a tunnel and may be fragmented is cut first, and each piece sealed",
          "[esp][conformance-7]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6)});
    Frame sent = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1460).dont_fragment(false);
    Frame arrives = udp("100.64.0.7:7", "10.0.0.7:9").payload(1460).dont_fragment(false).ttl(63);
    const Bytes whole = arrives.ip();
    hub.send("kita", std::vector<Frame>{sent, sent});
    const std::size_t cut = 1376;  // of 1,400 less the header, in whole units of eight
    const std::vector<Bytes> pieces = {piece(whole, 0, cut, true), piece(whole, cut, whole.size() - 20, false)};
    CHECK(hub.opened() == std::vector<Bytes>{pieces[0], pieces[1], pieces[0], pieces[1]});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.made() == 2);
}

TEST_CASE("a burst of packets that must all be cut: those that find no place are drops", "[esp]") {
    Policy policy = protected_policy();
    policy.line("higashi").mtu(576);
    ProtectedHub hub(policy, {});
    const Frame sent = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1460).dont_fragment(false);
    hub.send("kita", std::vector<Frame>(64, sent));  // into three pieces each
    CHECK(hub.drops() == Drops{});
    CHECK(hub.opened().size() == 3 * 64);
    CHECK(hub.made() == 2 * 64);
    policy.line("higashi").mtu(296);
    hub.commit(policy);
    hub.send("kita", std::vector<Frame>(64, sent));  // six pieces
    constexpr std::size_t kFit = (dataplane::kPlaces - 64) / 5;
    CHECK(hub.drops() == Drops{{DropReason::fragmentation_no_buffer, 64 - kFit}});
    CHECK(hub.opened().size() == 6 * kFit);
}

TEST_CASE("without a buffer for the pieces nothing is sealed", "[esp]") {
    ProtectedHub hub;
    const Frame sent = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1460).dont_fragment(false);
    {
        const NoBuffers none;
        hub.send("kita", sent);
        CHECK(hub.drops() == Drops{{DropReason::fragmentation_no_buffer, 1}});
        CHECK(hub.left().empty());
    }
}

TEST_CASE("fragments inside a tunnel follow their first one, whatever order they come in", "[esp]") {
    ProtectedHub hub;
    Frame sent = udp("10.0.0.7:4000", "100.64.2.9:53").payload(2500).dont_fragment(false);
    Frame arrives = udp("100.64.32.7:4000", "192.168.9.9:53").payload(2500).dont_fragment(false).ttl(63);
    const std::vector<Bytes> in = pieces(sent.ip(), {1320}), out = pieces(arrives.ip(), {1320});
    hub.peer_sends(std::vector<Frame>{hub.from_peer(in[1]), hub.from_peer(in[0])});
    CHECK(hub.left() ==
          Frames{hub.by("center", carrying(out[0]).to(kPortal)), hub.by("center", carrying(out[1]).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == 0);
}

TEST_CASE("an ICMP error that came by a tunnel is admitted by its quote", "[esp]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedHub hub;
    const bool ipv4 = ends.family == Family::ipv4;
    const Bytes quoted = udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(60).ip();
    hub.peer_sends(hub.from_peer(icmp_error(ends.client, ends.portal_hub, ipv4 ? 3 : 1, ipv4 ? 3 : 4, quoted).ip()));
    const Bytes translated = udp(at(ends.portal, 53), at(higashi_hub(ends), 4000)).ttl(60).ip();
    const Frame error = icmp_error(higashi_hub(ends), ends.portal, ipv4 ? 3 : 1, ipv4 ? 3 : 4, translated);
    CHECK(hub.left() == Frames{hub.by("center", Frame(error).ttl(63).to(kPortal))});
}

TEST_CASE("from one tunnel into another: opened and sealed in one walk", "[esp]") {
    Policy policy = protected_policy();
    policy.line("kita").underlay();
    policy.line("kita", "kita-tunnel", 0)
        .ipv4("10.255.9.1/29")
        .ipv6("fd00:fff9::1/64")
        .mtu(1400)
        .through(2, "kita", "10.255.0.1", "10.255.0.2");
    policy.house("kita-hospital").lines = {"kita-tunnel"};
    policy.ways.clear();
    const Policy base = protected_policy();
    for (const Way& way : base.ways) policy.ways.push_back(way);
    for (Way& way : policy.ways)
        if (way.line == "kita" && way.kind == dataplane::Nexthop::Kind::gateway) way.into("kita-tunnel");
    ProtectedHub hub(policy, {});
    const EspKey kita = esp_key(0x3001);
    hub.install_inbound(kita, TunnelId(2));
    const Bytes sent = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(100).ip();
    hub.send("kita", packet("10.255.0.2", "10.255.0.1", kProtocolEsp, esp(kita, 1, sent)));
    CHECK(hub.opened() == std::vector<Bytes>{udp("100.64.0.7:7", "10.0.0.7:9").payload(100).ttl(63).ip()});
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("a dummy is consumed, and TFC padding cut off", "[esp][conformance-25][conformance-26]") {
    ProtectedHub hub;
    hub.peer_sends(hub.from_peer(Bytes(40, 0), {.next_header = 59}));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == 1);
    CHECK(hub.left().empty());
    hub.peer_sends(hub.from_peer(udp("10.0.0.7:4000", "100.64.2.9:53").payload(20).ip(), {.tfc = 999}));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp("100.64.32.7:4000", "192.168.9.9:53").payload(20).ttl(63).to(kPortal))});
}

TEST_CASE("marks: DSCP and ECN go out as the SA says, and congestion comes in",
          "[esp][conformance-38][conformance-39][conformance-40]") {
    ProtectedHub hub;
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").dscp_ecn(0xba));
    REQUIRE(hub.left().size() == 1);
    CHECK(outer_of(hub.left().front().frame)->marks == 0xba);
    Frame marked = hub.from_peer(udp("10.0.0.7:4000", "100.64.2.9:53").dscp_ecn(2).ip());
    hub.peer_sends(marked.dscp_ecn(3));
    CHECK(hub.left() ==
          Frames{hub.by("center", udp("100.64.32.7:4000", "192.168.9.9:53").dscp_ecn(3).ttl(63).to(kPortal))});
    hub.peer_sends(hub.from_peer(udp("10.0.0.7:4000", "100.64.2.9:53").ip()).dscp_ecn(3));
    CHECK(hub.drops() == Drops{{DropReason::ecn_refused, 1}});
}

TEST_CASE("TCP through a tunnel has its MSS clamped to what the tunnel carries", "[esp]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedHub hub;
    const Bytes mss = {2, 4, 0x23, 0x00};  // 8,960
    Frame sent = tcp(at(ends.client, 4000), at(higashi_hub(ends), 443)).syn().data_offset(6).payload(mss);
    hub.send("kita", sent);
    const auto inner = hub.opened();
    REQUIRE(inner.size() == 1);
    const std::size_t header = ends.family == Family::ipv4 ? 20 : 40;
    CHECK(get16(inner.front(), header + 22) == 1400 - header - 20);
}

TEST_CASE("a tunnel whose peer is a neighbour on the underlay, without a gateway", "[esp]") {
    Policy policy = standard_policy();
    add_higashi(policy, Family::ipv4);
    policy.line("higashi").through(1, "higashi-line", "203.0.113.1", "203.0.113.5");
    ProtectedHub hub(policy, {});
    hub.know("higashi-line", "203.0.113.5", "02:00:00:00:0d:05");
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9"));
    REQUIRE(hub.left().size() == 1);
    INFO(hex_of(hub.left()[0].frame));
    CHECK(mac("02:00:00:00:0d:05") == header_at<EthernetHeader>(std::span(hub.left()[0].frame), 0)->destination);
    REQUIRE(outer_of(hub.left()[0].frame));
}

}  // namespace
}  // namespace sekisho::test

// ESP in UDP through the whole path (RFC 3948): both ways, what is no ESP there, and a peer whose NAT moves it.
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using dataplane::UdpEndpoint;

constexpr unsigned kPort = 4500;
constexpr std::string_view kElsewhere4 = "198.51.100.77", kElsewhere6 = "2001:db8:77::77";

std::string_view elsewhere(Family family) {
    return family == Family::ipv4 ? kElsewhere4 : kElsewhere6;
}
Frame for_peer() {
    return udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(100);
}
std::optional<UdpEndpoint> moved_to(const ProtectedHub& hub) {
    return hub.associations()->peer_word(kHigashiTunnel)->now();
}
UdpEndpoint endpoint(std::string_view address, unsigned port) {
    return {*IpAddress::parse(address), L4Port(static_cast<std::uint16_t>(port))};
}
// What is in UDP from the peer's usual place to the hub's port.
Frame datagram(const ProtectedHub& hub, const Bytes& payload) {
    return udp(at(hub.ends().peer, kPort), at(hub.ends().hub, kPort)).payload(payload);
}

TEST_CASE("ESP in UDP is opened and sealed like any, in all families, suites and lengths",
          "[esp][udp][conformance-47]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    ProtectedOptions options;
    options.in_udp = true;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.suite = GENERATE(crypto::Suite::aes_gcm_128, crypto::Suite::aes_gcm_256);
    options.esn = GENERATE(true, false);
    ProtectedHub hub(options);
    const bool ipv4 = ends.family == Family::ipv4;
    const std::string_view theirs = ipv4 ? kHigashiHub4 : kHigashiHub6;
    std::vector<Frame> in, out;
    Frames expected;
    std::vector<Bytes> expected_inside;
    for (const unsigned size : {0U, 1U, 2U, 3U, 4U, 63U, 512U, 1300U}) {
        in.push_back(hub.from_peer(udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(size).ip()));
        expected.push_back(
            hub.by("center", udp(at(theirs, 4000), at(ends.portal, 53)).payload(size).ttl(63).to(kPortal)));
        out.push_back(udp(at(ends.client, 7), at(theirs, 9)).payload(size));
        expected_inside.push_back(udp(at(ends.client_hub, 7), at(ends.client, 9)).payload(size).ttl(63).ip());
    }
    hub.peer_sends(in);
    CHECK(hub.left() == expected);
    CHECK(hub.drops() == Drops{});
    hub.send("kita", out);
    CHECK(hub.opened() ==
          expected_inside);  // whole frames are compared: over IPv4 no checksum, over IPv6 the right one
    CHECK(hub.drops() == Drops{});
    CHECK_FALSE(moved_to(hub));
}

TEST_CASE("ESP in UDP with any checksum over IPv4, and with the right one alone over IPv6",
          "[esp][udp][conformance-47]") {
    const unsigned checksum = GENERATE(0U, 0x1234U);
    {
        ProtectedHub hub({.in_udp = true});
        hub.peer_sends(hub.from_peer(inner_question()).checksum(checksum));
        CHECK(hub.left().size() == 1);
        CHECK(hub.drops() == Drops{});
    }
    ProtectedHub hub({.outer = Family::ipv6, .in_udp = true});
    hub.peer_sends(hub.from_peer(inner_question()).checksum(checksum));
    CHECK(hub.drops() == Drops{{DropReason::local_checksum, 1}});
    CHECK(hub.left().empty());
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.left().size() == 1);
}

TEST_CASE("behind options and extension headers ESP in UDP is found too", "[esp][udp]") {
    ProtectedHub hub({.in_udp = true});
    hub.peer_sends(hub.from_peer(inner_question()).options({1, 1, 1, 1}));
    CHECK(hub.left().size() == 1);
    ProtectedHub other({.outer = Family::ipv6, .in_udp = true});
    other.peer_sends(other.from_peer(inner_question()).destination_options());
    CHECK(other.left().size() == 1);
}

TEST_CASE("what lies behind the UDP packet is not ESP's", "[esp][udp]") {
    ProtectedHub hub({.in_udp = true});
    const Bytes sealed = esp(hub.in, 1, inner_question());
    Bytes packet_bytes;
    for (const unsigned word : {kPort, kPort, static_cast<unsigned>(8 + sealed.size()), 0U}) put16(packet_bytes, word);
    put(packet_bytes, sealed);
    packet_bytes.insert(packet_bytes.end(), 12, 0xee);
    hub.peer_sends(packet(hub.ends().peer, hub.ends().hub, kProtocolUdp, packet_bytes));
    CHECK(hub.left().size() == 1);
    set16(packet_bytes, 4, packet_bytes.size() + 1);
    hub.peer_sends(packet(hub.ends().peer, hub.ends().hub, kProtocolUdp, packet_bytes));
    CHECK(hub.drops() == Drops{{DropReason::l4_truncated, 1}});
    set16(packet_bytes, 4, 7);
    hub.peer_sends(packet(hub.ends().peer, hub.ends().hub, kProtocolUdp, packet_bytes));
    CHECK(hub.drops() == Drops{{DropReason::l4_truncated, 1}});
}

TEST_CASE("four zero bytes in UDP are IKE: the kernel's, where there is one", "[esp][udp][conformance-45]") {
    const Family outer = GENERATE(Family::ipv4, Family::ipv6);
    const Bytes ike(32, 0);
    ProtectedHub hub({.outer = outer, .in_udp = true});
    hub.peer_sends(datagram(hub, ike));
    CHECK(hub.drops() == Drops{{DropReason::no_kernel_port, 1}});
    Policy policy = in_udp_policy(outer);
    policy.line("higashi-line").tap(1);
    ProtectedHub with_kernel(policy, {.outer = outer});
    with_kernel.peer_sends(datagram(with_kernel, ike));
    CHECK(with_kernel.punted() == 1);
    const auto seen = with_kernel.to_kernel();
    REQUIRE(seen.size() == 1);
    CHECK(Bytes(seen[0].second.begin() + 14, seen[0].second.end()) == datagram(with_kernel, ike).ip());
    with_kernel.peer_sends(with_kernel.from_peer(inner_question()));  // and ESP is not the kernel's
    CHECK(with_kernel.left().size() == 1);
    CHECK(with_kernel.to_kernel().empty());
}

TEST_CASE("one byte of 0xff in UDP is a keepalive, consumed; anything else that short is refused",
          "[esp][udp][conformance-46]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6), .in_udp = true});
    hub.peer_sends(datagram(hub, {0xff}));
    CHECK(hub.consumed() == 1);
    CHECK(hub.drops() == Drops{});
    CHECK_FALSE(moved_to(hub));
    for (const Bytes& payload : {Bytes{}, Bytes{0xfe}, Bytes{0}, Bytes{0xff, 0xff}, Bytes{0, 0, 0}}) {
        hub.peer_sends(datagram(hub, payload));
        CHECK(hub.drops() == Drops{{DropReason::esp_truncated, 1}});
        CHECK(hub.consumed() == 0);
    }
}

TEST_CASE("the hub's port may be another one, and 4500 is then anybody's", "[esp][udp]") {
    Policy policy = in_udp_policy();
    policy.line("higashi").in_udp(4501, 4600);
    ProtectedHub hub(policy, {});
    hub.peer_moves(kOuter4.peer, 4600);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.left().size() == 1);
    CHECK_FALSE(moved_to(hub));
    hub.send("kita", for_peer());
    CHECK(hub.opened().size() == 1);
    hub.peer_sends(udp(at(kOuter4.peer, 4600), at(kOuter4.hub, 4500)).payload(esp(hub.in, 9, inner_question())));
    CHECK(hub.drops() == Drops{{DropReason::no_kernel_port, 1}});
}

TEST_CASE("ESP of a tunnel in UDP comes in UDP, and of another one never", "[esp][udp]") {
    const Family outer = GENERATE(Family::ipv4, Family::ipv6);
    ProtectedHub hub({.outer = outer, .in_udp = true});
    hub.peer_sends(packet(hub.ends().peer, hub.ends().hub, kProtocolEsp, esp(hub.in, 1, inner_question())));
    CHECK(hub.drops() == Drops{{DropReason::sa_elsewhere, 1}});
    ProtectedHub plain({.outer = outer});
    plain.peer_sends(datagram(plain, esp(plain.in, 1, inner_question())));
    CHECK(plain.drops() == Drops{{DropReason::sa_elsewhere, 1}});
    plain.peer_sends(datagram(plain, esp(esp_key(0x7777), 1, inner_question())));
    CHECK(plain.drops() == Drops{{DropReason::sa_unknown, 1}});
}

TEST_CASE("a peer is followed to another port, and to another address, from its next authentic packet on",
          "[esp][udp][conformance-48]") {
    const Family outer = GENERATE(Family::ipv4, Family::ipv6);
    ProtectedHub hub({.outer = outer, .in_udp = true});
    hub.peer_moves(hub.ends().peer, 40'001);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(hub.left().size() == 1);
    CHECK(moved_to(hub) == endpoint(hub.ends().peer, 40'001));
    hub.send("kita", for_peer());
    CHECK(hub.opened().size() == 1);
    hub.peer_moves(elsewhere(outer), 1024);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(moved_to(hub) == endpoint(elsewhere(outer), 1024));
    hub.send("kita", std::vector<Frame>(3, for_peer()));
    CHECK(hub.opened().size() == 3);
    hub.peer_moves(hub.ends().peer, 4500);  // and back
    hub.peer_sends(hub.from_peer(inner_question()));
    hub.send("kita", for_peer());
    CHECK(hub.opened().size() == 1);
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("a peer is followed neither behind a forged packet, nor a replay, nor one that is not the newest",
          "[esp][udp][conformance-31][conformance-48]") {
    const Family outer = GENERATE(Family::ipv4, Family::ipv6);
    ProtectedHub hub({.outer = outer, .in_udp = true});
    hub.peer_sends(hub.numbered(10, inner_question()));
    REQUIRE(hub.left().size() == 1);
    hub.peer_moves(elsewhere(outer), 999);
    hub.peer_sends(hub.numbered(11, inner_question(), {.damage = true}));
    CHECK(hub.drops() == Drops{{DropReason::icv_wrong, 1}});
    hub.peer_sends(hub.numbered(10, inner_question()));
    CHECK(hub.drops() == Drops{{DropReason::replay_duplicate, 1}});
    hub.peer_sends(hub.numbered(9, inner_question()));  // late, and good
    CHECK(hub.left().size() == 1);
    CHECK_FALSE(moved_to(hub));
    hub.peer_sends(
        std::vector<Frame>{hub.numbered(12, inner_question(), {.next_header = 59})});  // a dummy is authentic
    CHECK(moved_to(hub) == endpoint(elsewhere(outer), 999));
}

TEST_CASE("of a burst from two places the newest packet counts", "[esp][udp][conformance-48]") {
    ProtectedHub hub({.in_udp = true});
    hub.peer_moves(kElsewhere4, 2000);
    const Frame newest = hub.numbered(8, inner_question());
    hub.peer_moves(kElsewhere4, 1000);
    hub.peer_sends(std::vector<Frame>{hub.numbered(6, inner_question()), newest, hub.numbered(7, inner_question())});
    CHECK(hub.left().size() == 3);
    CHECK(moved_to(hub) == endpoint(kElsewhere4, 2000));
}

TEST_CASE("a peer is not followed to where no peer can be, or no underlay leads", "[esp][udp]") {
    ProtectedHub hub({.in_udp = true});
    for (const std::string_view address :
         {"127.0.0.1", "224.0.0.1", "0.0.0.1", "203.0.113.1", "203.0.113.7", "240.0.0.1", "8.8.8.8", "10.0.0.1"}) {
        INFO(address);
        hub.peer_moves(address, 5000);
        hub.peer_sends(hub.from_peer(inner_question()));
        CHECK(hub.left().size() == 1);  // it is authentic all the same
        CHECK_FALSE(moved_to(hub));
    }
    hub.peer_moves(kElsewhere4, 0);
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK_FALSE(moved_to(hub));
    hub.peer_moves("203.0.113.5", 5000);  // a neighbour on the underlay itself
    hub.know("higashi-line", "203.0.113.5", "02:00:00:00:0d:05");
    hub.peer_sends(hub.from_peer(inner_question()));
    CHECK(moved_to(hub) == endpoint("203.0.113.5", 5000));
    hub.send("kita", for_peer());
    REQUIRE(hub.left().size() == 1);
    CHECK(Bytes(hub.left()[0].frame.begin(), hub.left()[0].frame.begin() + 6) == Bytes{2, 0, 0, 0, 0x0d, 5});
}

TEST_CASE("a tunnel that begins anew has its peer where the policy says", "[esp][udp]") {
    ProtectedHub hub({.in_udp = true});
    hub.peer_moves(kElsewhere4, 2000);
    hub.peer_sends(hub.from_peer(inner_question()));
    REQUIRE(moved_to(hub));
    REQUIRE(hub.associations()->let_peer_move(kHigashiTunnel, true));
    CHECK_FALSE(moved_to(hub));
    hub.peer_moves(kOuter4.peer, 4500);
    hub.send("kita", for_peer());
    CHECK(hub.opened().size() == 1);
    REQUIRE(hub.associations()->let_peer_move(kHigashiTunnel, false));
    CHECK(hub.associations()->peer_word(kHigashiTunnel) == nullptr);
}

TEST_CASE("what fits the underlay without UDP and not with it is no packet that leaves", "[esp][udp]") {
    Policy policy = in_udp_policy();
    policy.line("higashi").mtu(1446);  // what 1,500 leave of plain ESP
    ProtectedHub hub(policy, {});
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1438 - 28));
    CHECK(hub.opened().size() == 1);
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1439 - 28));
    CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
}

TEST_CASE("plain ESP and ESP in UDP in one burst", "[esp][udp]") {
    Policy policy = in_udp_policy();
    policy.line("higashi", "higashi-plain", 0)
        .ipv4("10.255.8.1/29")
        .ipv6("fd00:fff8::1/64")
        .mtu(1400)
        .through(2, "higashi-line", kOuter4.hub, "198.51.100.10");
    policy.house("higashi", "higashi-clinic").map("10.0.5.0/24", "100.64.33.0/24").uses("higashi-plain");
    policy.agreement("kita-hospital", "higashi-clinic").any();
    policy.way("higashi", "10.0.5.0/24").into("higashi-plain");
    ProtectedHub hub(policy, {});
    const EspKey plain = esp_key(0x5001);
    hub.install_outbound(plain, TunnelId(2));
    const Frame other = udp("10.0.0.7:7", "100.64.33.9:9").payload(100);
    hub.send("kita", std::vector<Frame>{for_peer(), other, for_peer(), for_peer(), other});
    std::string protocols;
    for (const Sent& sent : hub.left()) protocols += std::to_string(sent.frame.at(18 + 9)) + " ";
    CHECK(protocols == "17 50 17 17 50 ");
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("keepalives go to where the peer is, as often as the tunnel says, while it has an SA", "[esp][udp]") {
    const Family outer = GENERATE(Family::ipv4, Family::ipv6);
    Policy policy = in_udp_policy(outer);
    policy.line("higashi").keepalive(2);
    ProtectedHub hub(policy, {.outer = outer});
    hub.peer_moves(elsewhere(outer), 1024);
    hub.peer_sends(hub.from_peer(inner_question()));
    Frame keepalive = hub.to_peer({0xff}).to(kHigashiGateway);
    if (outer == Family::ipv4) keepalive.id(0);
    std::size_t sent = 0;
    for (int second = 0; second < 10; ++second) {
        hub.keep_neighbours();
        hub.wait(1);
        for (const Sent& one : hub.left()) {
            CHECK(one == hub.by("higashi-line", keepalive));
            ++sent;
        }
    }
    CHECK(sent >= 5);
    CHECK(sent <= 6);
    REQUIRE(hub.associations()->switch_outbound(kHigashiTunnel, nullptr, {}));
    hub.keep_neighbours();
    hub.wait(5);
    CHECK(hub.left().empty());
}

}  // namespace
}  // namespace sekisho::test

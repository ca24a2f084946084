// What routers say of the paths to tunnels' peers: what a worker hands to control, and what it does not (RFC 4301
// §8.2).
#include "dataplane/path_mtu_ring.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using dataplane::PathMtuReport;

std::vector<PathMtuReport> reports_of(const ProtectedHub& hub) {
    std::vector<PathMtuReport> reports;
    hub.associations()->take_path_mtus([&](const PathMtuReport& report) { reports.push_back(report); });
    return reports;
}
// The packet that the hub sent last, from its outer IP header on.
Bytes sealed(ProtectedHub& hub, unsigned size = 1200) {
    hub.send("kita", udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(size));
    REQUIRE(hub.left().size() == 1);
    const Bytes& frame = hub.left()[0].frame;
    return {frame.begin() + 18, frame.end()};
}
std::string_view router(Family family) {
    return family == Family::ipv4 ? "198.51.100.200" : "2001:db8:77::200";
}
Frame too_big(const ProtectedHub& hub, const Bytes& quote, unsigned mtu) {
    const Family family = hub.ends().hub == kOuter4.hub ? Family::ipv4 : Family::ipv6;
    return icmp_error(router(family), hub.ends().hub, family == Family::ipv4 ? 3 : 2, family == Family::ipv4 ? 4 : 0,
                      quote)
        .rest_of_header(mtu);
}

TEST_CASE("a router that finds our ESP too big is heard: what it says goes to control",
          "[esp][path_mtu][conformance-42]") {
    ProtectedOptions options;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.in_udp = GENERATE(false, true);
    ProtectedHub hub(options);
    const bool ipv4 = options.outer == Family::ipv4;
    sealed(hub);
    const Bytes second = sealed(hub);
    hub.peer_sends(too_big(hub, first(second, 500), 1300));
    CHECK(hub.consumed() == 1);
    CHECK(hub.drops() == Drops{});
    const auto reports = reports_of(hub);
    REQUIRE(reports.size() == 1);
    const PathMtuReport& report = reports[0];
    CHECK(report.spi == hub.out.spi);
    CHECK(report.sequence == 2);
    CHECK(report.mtu == 1300);
    CHECK(report.length == second.size());
    CHECK(report.local.text() == hub.ends().hub);
    CHECK(report.peer.address.text() == hub.ends().peer);
    CHECK(report.peer.port == L4Port(options.in_udp ? 4500 : 0));
    CHECK(report.in_udp == options.in_udp);
    CHECK(report.underlay == AttachmentId(static_cast<std::uint16_t>(hub.policy().line_index("higashi-line"))));
    // Eight bytes behind the IP header are the least that a router quotes: enough, but in UDP.
    hub.peer_sends(too_big(hub, first(second, (ipv4 ? 20 : 40) + 8), 1200));
    CHECK(reports_of(hub).size() == (options.in_udp ? 0U : 1U));
}

TEST_CASE("an error about our ESP that is none of that, or damaged, changes nothing", "[esp][path_mtu]") {
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    ProtectedHub hub({.outer = family});
    const bool ipv4 = family == Family::ipv4;
    const Bytes quote = first(sealed(hub), 500);
    const auto refused = [&](const Frame& frame, DropReason reason) {
        hub.peer_sends(frame);
        CHECK(hub.drops() == Drops{{reason, 1}});
        CHECK(reports_of(hub).empty());
    };
    refused(too_big(hub, quote, 1300).checksum(0x1234), DropReason::local_checksum);
    refused(too_big(hub, first(quote, (ipv4 ? 20 : 40) + 7), 1300), DropReason::no_kernel_port);
    refused(icmp_error(router(family), hub.ends().hub, ipv4 ? 3 : 1, 1, quote), DropReason::no_kernel_port);
    refused(icmp_error(router(family), hub.ends().hub, ipv4 ? 11 : 3, 0, quote), DropReason::no_kernel_port);
    // Of a packet that the hub has not sent.
    const Bytes foreign = packet(hub.ends().peer, router(family), kProtocolEsp, Bytes(100, 7)).ip();
    refused(too_big(hub, foreign, 1300), DropReason::icmp_error_unmatched);
    const Bytes plain = udp(at(hub.ends().hub, 7), at(hub.ends().peer, 7)).payload(100).ip();
    refused(too_big(hub, plain, 1300), DropReason::no_kernel_port);
    // Where there is a kernel that is its own.
    Policy policy = protected_policy(family);
    policy.line("higashi-line").tap(1);
    ProtectedHub with_kernel(policy, {.outer = family});
    with_kernel.peer_sends(too_big(with_kernel, plain, 1300));
    CHECK(with_kernel.punted() == 1);
}

TEST_CASE("a flood of such errors is limited, and the ring to control bounded", "[esp][path_mtu]") {
    ProtectedHub hub;
    const Frame error = too_big(hub, first(sealed(hub), 500), 1300);
    hub.peer_sends(std::vector<Frame>(640, error));
    const std::uint64_t heard = hub.consumed();
    CHECK(heard >= 1);
    CHECK(heard <= dataplane::PathMtuRing::kCapacity);
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 640 - heard}});
    CHECK(reports_of(hub).size() == heard);
}

TEST_CASE("a tunnel whose path is narrower: senders are told of the MTU inside, and what may be cut is",
          "[esp][path_mtu][conformance-42]") {
    ProtectedHub hub;
    const AttachmentId attachment(static_cast<AttachmentId::Value>(hub.policy().line_index("higashi")));
    hub.tables().set_mtu(attachment, 1000);  // as control does, in what workers read
    const Frame whole = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(1100);
    hub.send("kita", whole);
    CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
    Frame error = icmp_error("10.255.0.1", "10.0.0.7", 3, 4, first(whole.ip(), 548));
    error.rest_of_header(1000).dont_fragment(false).to(kKitaGateway).dscp_ecn(0xc0).id(1);
    CHECK(hub.left() == Frames{hub.by("kita", error)});
    hub.send("kita", Frame(whole).dont_fragment(false));
    CHECK(hub.opened().size() == 2);
    hub.tables().set_mtu(attachment, 1400);
    hub.send("kita", whole);
    CHECK(hub.opened().size() == 1);
}

}  // namespace
}  // namespace sekisho::test

// What routers say of the paths to tunnels' peers: which is believed, what it does, and for how long.
#include "tests/control/sas_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using dataplane::PathMtuReport;
using nlohmann::json;

namespace {

constexpr TunnelId kTunnel{1};

// A hub with an SA whose numbers are in use, and what a worker would report of it.
struct Path {
    explicit Path(const Draft& draft = protected_draft()) : hub(draft) {
        hub.asker.result("sa.install", {{"sas", {hub.pair(4096)}}});
        hub.hub.associations->outbound(kTunnel)->sequence().take(100);
    }
    PathMtuReport report(std::uint16_t mtu) const {
        PathMtuReport report;
        report.underlay = running().tunnels.at(1).underlay;
        report.local = *IpAddress::parse("192.0.2.1");
        report.peer.address = *IpAddress::parse("192.0.2.2");
        report.spi = Spi(4097);
        report.sequence = 100;
        report.length = 1500;
        report.mtu = mtu;
        return report;
    }
    const dataplane::Tables& running() const { return *hub.hub.node.running; }
    std::uint16_t mtu_in_tables() const {
        return running().attachments[running().tunnels.at(1).attachment.index()].mtu;
    }
    json tunnel() { return hub.asker.result("show.tunnels")["items"][0]; }
    void tell(const PathMtuReport& report) { REQUIRE(hub.hub.associations->path_mtu_ring(WorkerId(0)).put(report)); }
    std::uint64_t refused() { return hub.asker.result("show.sa")["path_mtus_refused"]; }
    void expect_refused(const PathMtuReport& report) {
        const std::uint64_t before = refused();
        tell(report);
        CHECK(comes_true([&] { return refused() == before + 1; }));
        CHECK(tunnel()["mtu"] == 1446);
        CHECK(mtu_in_tables() == 1446);
    }

    SaHub hub;
};

}  // namespace

TEST_CASE("path MTU: a router's word makes the tunnel's MTU smaller for ten minutes, and that is told and shown",
          "[control][path_mtu][conformance-42]") {
    Path path;
    Asker listener(path.hub.hub);
    listener.result("events", {{"kinds", {"sa"}}});
    CHECK(path.mtu_in_tables() == 1446);
    const std::uint32_t revision = path.running().revision();
    path.tell(path.report(1300));
    json event = listener.answer()["params"];
    CHECK(event["event"] == "path_mtu");
    CHECK(event["tunnel"] == "kita-esp");
    CHECK(event["mtu"] == 1246);  // 20 + 8 + 8 + 1246 + 2 + 16
    CHECK(path.mtu_in_tables() == 1246);
    CHECK(path.running().revision() != revision);  // whoever knows a flow asks again
    CHECK(path.tunnel()["mtu"] == 1246);
    CHECK(path.tunnel()["path_mtu"]["outer"] == 1300);
    CHECK(path.tunnel()["path_mtu"]["seconds"] <= 600);
    CHECK(path.tunnel()["path_mtu"]["seconds"] >= 590);
    path.tell(path.report(1400));  // about what was on its way before
    path.tell(path.report(1280));
    event = listener.answer()["params"];
    CHECK(event["mtu"] == 1226);
    path.hub.commit(protected_draft().set("/tunnels/0/replay_window", 8192));  // a commit in between keeps it
    CHECK(path.mtu_in_tables() == 1226);
    // And so does one that changes no tunnel.
    path.hub.commit(protected_draft().set("/tunnels/0/replay_window", 8192).set("/operators/0/name", "another"));
    CHECK(path.mtu_in_tables() == 1226);
    path.hub.hub.advance(std::chrono::seconds(590));
    CHECK(path.mtu_in_tables() == 1226);
    path.hub.hub.advance(std::chrono::seconds(20));
    event = listener.answer()["params"];
    CHECK(event["event"] == "path_mtu");
    CHECK(event["mtu"] == 1446);
    CHECK(path.mtu_in_tables() == 1446);
    CHECK_FALSE(path.tunnel().contains("path_mtu"));
    CHECK(path.refused() == 0);
}

TEST_CASE("path MTU: it falls no lower than every path must take, and a router that does not say is guessed",
          "[control][path_mtu]") {
    Path path;
    path.tell(path.report(68));
    CHECK(comes_true([&] { return path.mtu_in_tables() == 522; }));  // of 576
    Path silent;
    silent.tell(silent.report(0));
    CHECK(
        comes_true([&] { return silent.mtu_in_tables() == 1438; }));  // of 1492, the next plateau (RFC 1191 section 7)
}

TEST_CASE("path MTU: over IPv6 nobody may say less than 1280", "[control][path_mtu]") {
    Draft draft = protected_draft();
    draft.set("/tunnels/0/peer", "2001:db8:0:101::2");
    Path path(draft);
    PathMtuReport report = path.report(1279);
    report.local = *IpAddress::parse("2001:db8:0:101::1");
    report.peer.address = *IpAddress::parse("2001:db8:0:101::2");
    path.tell(report);
    CHECK(comes_true([&] { return path.refused() == 1; }));
    CHECK(path.mtu_in_tables() == 1426);
    report.mtu = 1280;
    path.tell(report);
    CHECK(comes_true([&] { return path.mtu_in_tables() == 1206; }));
}

TEST_CASE("path MTU: what does not quote a packet that was sealed lately is not believed", "[control][path_mtu]") {
    Path path;
    const auto changed = [&](auto change) {
        PathMtuReport report = path.report(1300);
        change(report);
        return report;
    };
    path.expect_refused(changed([](auto& report) { report.spi = Spi(4096); }));  // the inbound one's
    path.expect_refused(changed([](auto& report) { report.sequence = 101; }));   // not used yet
    path.expect_refused(changed([](auto& report) { report.sequence = 0; }));
    path.expect_refused(changed([](auto& report) { report.sequence = 0xffff'ff00; }));
    path.expect_refused(changed([](auto& report) { report.peer.address = *IpAddress::parse("192.0.2.3"); }));
    path.expect_refused(changed([](auto& report) { report.local = *IpAddress::parse("192.0.2.3"); }));
    path.expect_refused(changed([](auto& report) { report.underlay = AttachmentId(9); }));
    path.expect_refused(changed([](auto& report) { report.in_udp = true; }));
    path.expect_refused(changed([](auto& report) { report.mtu = 1500; }));  // it would have passed
    path.expect_refused(changed([](auto& report) { report.length = 1300; }));
    path.hub.asker.result("sa.remove", {{"sas", {{{"tunnel", "kita-esp"}, {"outbound", 4097}}}}});
    path.expect_refused(path.report(1300));
}

TEST_CASE("path MTU: of a tunnel in UDP, where its peer is now", "[control][path_mtu][udp]") {
    Draft draft = protected_draft();
    draft.set("/tunnels/0/udp", json::object());
    Path path(draft);
    PathMtuReport report = path.report(1300);
    report.in_udp = true;
    report.local_port = L4Port(4500);
    report.peer.port = L4Port(40'001);
    path.tell(report);
    CHECK(comes_true([&] { return path.refused() == 1; }));
    REQUIRE(path.hub.hub.associations->peer_word(kTunnel)->follow(report.peer));
    path.tell(report);
    CHECK(comes_true([&] { return path.mtu_in_tables() == 1238; }));
    // Agreed upon anew, the tunnel begins with what its underlay takes.
    draft.set("/tunnels/0/udp", {{"peer_port", 4600}});
    path.hub.commit(draft);
    CHECK(path.mtu_in_tables() == 1438);
}

// Packets that their SA may not carry: what is told of them, in the audit log and to who listens, and how often.
#include "dataplane/selector_mismatch.hpp"

#include "tests/control/sas_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using dataplane::SelectorMismatch;
using nlohmann::json;

namespace {

// A hub with an inbound SA, and what a worker would report of it.
struct Refusing {
    static constexpr TunnelId kTunnel{1};  // the first of protected_draft()'s

    explicit Refusing(int tunnels = 1) : hub(protected_draft(tunnels)), listener(hub.hub) {
        listener.result("events", {{"kinds", {"sa"}}});
    }
    static crypto::SelectorFields packet() {
        return {*IpAddress::parse("10.9.9.9"), *IpAddress::parse("100.65.1.10"), std::uint8_t{17}, 4000, 53};
    }
    crypto::InboundSa& sa(Spi spi) const { return *hub.hub.associations->sad().find(spi); }
    // As a worker, which counts what it refuses.
    bool refuse(Spi spi, const crypto::SelectorFields& packet = Refusing::packet()) {
        crypto::InboundSa& refusing = sa(spi);
        refusing.failures().count(DropReason::selector_mismatch);
        if (!refusing.may_tell_mismatch()) return false;
        REQUIRE(hub.hub.associations->selector_mismatch_ring(WorkerId(0)).put({refusing.tunnel(), spi, packet}));
        return true;
    }
    std::vector<json> lines() const {
        std::vector<json> found;
        for (const json& line : hub.hub.audit_lines())
            if (line["what"] == "sa.selector_mismatch") found.push_back(line);
        return found;
    }

    SaHub hub;
    Asker listener;
};

}  // namespace

TEST_CASE("selector mismatch: the audit log and an event have the SA and what of the packet can be seen",
          "[control][conformance-27]") {
    Refusing refusing;
    refusing.hub.asker.result("sa.install", {{"sas", {refusing.hub.pair(4096)}}});
    REQUIRE(refusing.sa(Spi(4096)).tunnel() == Refusing::kTunnel);
    CHECK(refusing.refuse(Spi(4096)));
    const json packet = {{"source", "10.9.9.9"},
                         {"destination", "100.65.1.10"},
                         {"protocol", 17},
                         {"source_port", 4000},
                         {"destination_port", 53}};
    json event = refusing.listener.answer()["params"];
    for (const char* const changing : {"sequence", "time", "kind", "lost"}) event.erase(changing);
    CHECK(event == json{{"tunnel", "kita-esp"},
                        {"spi", 4096},
                        {"direction", "inbound"},
                        {"event", "selector_mismatch"},
                        {"packet", packet},
                        {"packets", 1}});
    REQUIRE(comes_true([&] { return refusing.lines().size() == 1; }));
    const json line = refusing.lines()[0];
    CHECK(line["sa"] == "kita-esp in 0x00001000");
    CHECK(line["packet"] == packet);
    CHECK(line["packets"] == 1);
    CHECK(line["pid"] == ::getpid());
    CHECK_FALSE(line.contains("left_out"));
}

TEST_CASE("selector mismatch: of an SA one packet a minute is told, with how many there were",
          "[control][conformance-27]") {
    Refusing refusing;
    refusing.hub.asker.result("sa.install", {{"sas", {refusing.hub.pair(4096)}}});
    CHECK(refusing.refuse(Spi(4096)));
    CHECK(refusing.listener.answer()["params"]["packets"] == 1);
    for (int i = 0; i < 5; ++i) CHECK_FALSE(refusing.refuse(Spi(4096)));
    refusing.hub.hub.ahead += 59;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // it looks ten times a second
    CHECK_FALSE(refusing.refuse(Spi(4096)));
    refusing.hub.hub.ahead += 2;
    crypto::SelectorFields unseen = Refusing::packet();  // a piece of a packet
    unseen.protocol.reset();
    unseen.source_port.reset();
    unseen.destination_port.reset();
    REQUIRE(comes_true([&] { return refusing.refuse(Spi(4096), unseen); }));
    const json again = refusing.listener.answer()["params"];
    CHECK(again["packets"] >= 8);
    CHECK(again["packet"]["protocol"] == nullptr);
    CHECK(again["packet"]["source_port"] == nullptr);
    REQUIRE(comes_true([&] { return refusing.lines().size() == 2; }));
}

TEST_CASE("selector mismatch: of many SAs at once some fifty are told, and how many were left out",
          "[control][conformance-27]") {
    constexpr std::uint32_t kTunnels = 60;
    Refusing refusing(kTunnels);
    json sas = json::array();
    for (std::uint32_t i = 0; i < kTunnels; ++i)
        sas.push_back(refusing.hub.pair(5000 + 2 * i, i == 0 ? "kita-esp" : fmt::format("kita-esp-{}", i)));
    refusing.hub.asker.result("sa.install", {{"sas", sas}});
    for (std::uint32_t i = 0; i < kTunnels; ++i) REQUIRE(refusing.refuse(Spi(5000 + 2 * i)));
    // Ten a second beside the fifty: a slow machine tells some more.
    REQUIRE(comes_true([&] { return refusing.lines().size() >= 50; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const std::size_t told = refusing.lines().size();
    REQUIRE(told < kTunnels);
    // After a rest the next one says what was missing.
    refusing.hub.hub.ahead += 61;
    REQUIRE(comes_true([&] { return refusing.refuse(Spi(5000)); }));
    REQUIRE(comes_true([&] { return refusing.lines().size() == told + 1; }));
    std::uint64_t left_out = 0;
    for (const json& line : refusing.lines()) left_out += line.value("left_out", 0U);
    CHECK(left_out == kTunnels - told);
}

TEST_CASE("selector mismatch: nothing is told of an SA that is gone", "[control][conformance-27]") {
    Refusing refusing;
    refusing.hub.asker.result("sa.install", {{"sas", {refusing.hub.pair(4096)}}});
    auto& ring = refusing.hub.hub.associations->selector_mismatch_ring(WorkerId(0));
    REQUIRE(ring.put({Refusing::kTunnel, Spi(4097), Refusing::packet()}));  // never was
    REQUIRE(ring.put({TunnelId(9), Spi(4096), Refusing::packet()}));        // of no tunnel
    CHECK(refusing.refuse(Spi(4096)));                                      // behind them
    CHECK(refusing.listener.answer()["params"]["spi"] == 4096);
    REQUIRE(comes_true([&] { return refusing.lines().size() == 1; }));
}

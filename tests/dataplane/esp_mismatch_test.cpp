// Packets that their SA may not carry: what a worker tells control of them (RFC 4301 §5.2), and how often.
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using dataplane::Associations;
using dataplane::SelectorMismatch;

ProtectedOptions narrow() {
    ProtectedOptions options;
    options.selectors = {{*Prefix4::parse("100.64.2.0/24"), *Prefix4::parse("10.0.0.0/24"), kProtocolTcp}};
    return options;
}
std::vector<SelectorMismatch> told(const ProtectedHub& hub, std::chrono::seconds at = {}) {
    return hub.associations()->take_selector_mismatches(Associations::Clock::time_point() + at);
}
void expect_refused(ProtectedHub& hub, const Bytes& inner, unsigned packets = 1) {
    for (unsigned i = 0; i < packets; ++i) {
        hub.peer_sends(hub.from_peer(inner));
        CHECK(hub.left().empty());
        CHECK(hub.drops() == Drops{{DropReason::selector_mismatch, 1}});
    }
}

TEST_CASE("an SA that carries what it may not: control is told of whom, with what of the packet selectors look at",
          "[esp][conformance-27]") {
    ProtectedHub hub(narrow());
    hub.peer_sends(hub.from_peer(tcp("10.0.0.7:4000", "100.64.2.9:53").ip()));
    CHECK(told(hub).empty());
    expect_refused(hub, udp("10.0.0.7:4000", "100.64.2.9:53").payload(90).ip());
    const auto mismatches = told(hub);
    REQUIRE(mismatches.size() == 1);
    CHECK(mismatches[0].tunnel == kHigashiTunnel);
    CHECK(mismatches[0].spi == hub.in.spi);
    CHECK(mismatches[0].packet.source.text() == "10.0.0.7");
    CHECK(mismatches[0].packet.destination.text() == "100.64.2.9");
    CHECK(mismatches[0].packet.protocol == kProtocolUdp);
    CHECK(mismatches[0].packet.source_port == 4000);
    CHECK(mismatches[0].packet.destination_port == 53);
}

TEST_CASE("an SA that carries IPv6 which it may not: control is told with the protocol behind the extensions",
          "[esp][conformance-27]") {
    ProtectedHub hub(narrow());
    expect_refused(hub, udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::9]:53").ip());
    const auto mismatches = told(hub);
    REQUIRE(mismatches.size() == 1);
    CHECK(mismatches[0].packet.source.text() == "fd00:0:0:1::7");
    CHECK(mismatches[0].packet.destination.text() == "2001:db8:4000:201::9");
    CHECK(mismatches[0].packet.protocol == kProtocolUdp);
    CHECK(mismatches[0].packet.destination_port == 53);
}

TEST_CASE("an SA that carries nothing else is told of once in a minute; each packet is counted",
          "[esp][conformance-27]") {
    ProtectedHub hub(narrow());
    const Bytes wrong = udp("10.0.0.7:4000", "100.64.2.9:53").ip();
    expect_refused(hub, wrong, 100);
    CHECK(told(hub, std::chrono::seconds(1000)).size() == 1);
    expect_refused(hub, wrong, 3);
    CHECK(told(hub, std::chrono::seconds(1059)).empty());
    expect_refused(hub, wrong);
    CHECK(told(hub, std::chrono::seconds(1060)).empty());  // from here on it may
    expect_refused(hub, wrong, 2);
    CHECK(told(hub, std::chrono::seconds(1061)).size() == 1);
    for (const dataplane::SaInfo& info : hub.associations()->list(kHigashiTunnel))
        if (!info.outbound)
            CHECK(info.failures == std::vector{std::pair(DropReason::selector_mismatch, std::uint64_t{106})});
}

TEST_CASE("SAs for which there is no room in what control is told are told of by their next packet",
          "[esp][conformance-27]") {
    constexpr std::uint32_t kSas = dataplane::SelectorMismatchRing::kCapacity + 6;
    ProtectedHub hub(narrow());
    std::vector<EspKey> keys;
    for (std::uint32_t i = 0; i < kSas; ++i) hub.install_inbound(keys.emplace_back(esp_key(0x3001 + i)));
    const Bytes wrong = udp("10.0.0.7:4000", "100.64.2.9:53").ip();
    for (const std::uint32_t number : {1U, 2U})
        for (const EspKey& key : keys) {
            if (number == 2 && key.spi == keys[0].spi)
                CHECK(told(hub).size() == dataplane::SelectorMismatchRing::kCapacity);
            hub.peer_sends(hub.carried(esp(key, number, wrong)));
            CHECK(hub.drops() == Drops{{DropReason::selector_mismatch, 1}});
        }
    std::vector<Spi> rest;
    for (const SelectorMismatch& each : told(hub)) rest.push_back(each.spi);
    std::vector<Spi> expected;
    for (std::uint32_t i = kSas - 6; i < kSas; ++i) expected.push_back(keys[i].spi);
    CHECK(rest == expected);
}

}  // namespace
}  // namespace sekisho::test

// Port blocks and timers in the document: what is taken, and what is refused with which words.
#include <catch2/catch.hpp>

#include "control/calendar.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using nlohmann::json;

namespace {

json a_block(const std::string& hub_prefix = "100.64.200.0/29") {
    return {{"id", "kita-shared"},
            {"operator", "kita"},
            {"kind", "port_block"},
            {"operator_prefix", "10.2.0.0/16"},
            {"hub_prefix", hub_prefix},
            {"port_block",
             {{"per", "host"},
              {"subscribers", 200},
              {"static_maps",
               {{{"protocol", "tcp"},
                 {"hub_address", "100.64.200.1"},
                 {"hub_port", 8443},
                 {"operator_address", "10.2.1.9"},
                 {"operator_port", 443}}}}}}};
}

// The example, with a pharmacy of kita's behind a port block; its first prefix map makes room.
Draft shared(const json& block = a_block()) {
    Draft draft;
    json pharmacy = draft.at("/institutions/0");
    pharmacy["id"] = "mori-pharmacy";
    pharmacy["kind"] = "pharmacy";
    pharmacy.erase("prefixes");
    pharmacy["operator_prefixes"] = {"10.2.1.0/24"};
    return draft.set("/translations/0/operator_prefix", "10.1.0.0/17")
        .set("/translations/0/hub_prefix", "100.64.0.0/17")
        .set("/translations/-", block)
        .set("/institutions/-", pharmacy)
        .set("/agreements/0/state", "tracked");
}
const std::string kBlock = "translations \"kita-shared\" .";

}  // namespace

TEST_CASE("port blocks: a whole one is taken, with what it does not say as it is by default", "[control]") {
    CHECK(shared().errors() == Words{});
    const Policy policy = shared().policy();
    const Translation& translation = policy.translations.at("kita-shared");
    CHECK(translation.kind == TranslationKind::port_block);
    CHECK_FALSE(translation.port_block.by_institution);
    CHECK(translation.port_block.subscribers == 200);
    CHECK(translation.port_block.blocks == 4);
    CHECK(translation.port_block.hold_down == 120);
    CHECK_FALSE(translation.port_block.parity);
    CHECK(translation.port_block.filtering == nat::Filtering::address_dependent);
    REQUIRE(translation.port_block.static_maps.size() == 1);
    CHECK(translation.port_block.static_maps[0].hub_port == 8443);
    CHECK(translation.port_block.static_maps[0].operator_address == *Ipv4Address::parse("10.2.1.9"));
    CHECK(policy.institutions.at("mori-pharmacy").operator_prefixes == std::vector{*IpPrefix::parse("10.2.1.0/24")});
}

TEST_CASE("port blocks: more than the addresses have, at rest included, is refused with both sides named",
          "[control]") {
    json block = a_block();
    block["port_block"]["subscribers"] = 252;
    CHECK(shared(block).errors() == Words{});  // 2 x 252 x 4 of 8 x 252
    block["port_block"]["subscribers"] = 253;
    CHECK(shared(block).errors() ==
          Words{kBlock + "port_block: 253 subscribers with 4 blocks each, and as many at rest for the hold-down, are "
                         "2024 blocks; hub_prefix 100.64.200.0/29 has 2016"});
    block["port_block"]["blocks"] = 3;
    CHECK(shared(block).errors() == Words{});
    CHECK(shared(a_block("100.64.128.0/23")).errors() ==
          Words{kBlock + "hub_prefix: 100.64.128.0/23 is more than 256 addresses; say several translations",
                kBlock + "port_block.static_maps[0].hub_address: 100.64.200.1 is none of hub_prefix 100.64.128.0/23"});
}

TEST_CASE("port blocks: filtering is one of RFC 4787's three", "[control]") {
    json block = a_block();
    for (const auto filtering : {nat::Filtering::endpoint_independent, nat::Filtering::address_dependent,
                                 nat::Filtering::address_and_port_dependent}) {
        block["port_block"]["filtering"] = std::string(nat::kFilteringNames[static_cast<std::size_t>(filtering)]);
        CHECK(shared(block).errors() == Words{});
        CHECK(shared(block).policy().translations.at("kita-shared").port_block.filtering == filtering);
    }
    block["port_block"]["filtering"] = "symmetric";
    CHECK_FALSE(shared(block).errors().empty());
}

TEST_CASE("port blocks: what does not belong together is refused", "[control]") {
    json block = a_block();
    block.erase("port_block");
    CHECK(shared(block).errors() ==
          Words{"translations[6] \"kita-shared\" .port_block: is missing: how the ports are lent"});
    CHECK(Draft().set("/translations/0/port_block", a_block()["port_block"]).errors() ==
          Words{"translations[0] \"kita-v4\" .port_block: goes with kind port_block only"});
    CHECK(shared().set("/institutions/3/operator_prefixes/0", "10.3.0.0/24").errors() ==
          Words{"institutions \"mori-pharmacy\" .operator_prefixes[0]: 10.3.0.0/24 is not inside one port_block "
                "translation of operator \"kita\"",
                kBlock + "port_block.static_maps[0].operator_address: 10.2.1.9 is not inside an institution's "
                         "operator_prefixes behind it"});
    CHECK(shared().set("/institutions/3/operator_prefixes/1", "10.2.1.128/25").errors() ==
          Words{"institutions \"mori-pharmacy\" .operator_prefixes[1]: 10.2.1.128/25 overlaps 10.2.1.0/24 of "
                "institutions \"mori-pharmacy\" .operator_prefixes[0]"});
    CHECK(shared().set("/institutions/3/prefixes", {"100.64.200.4/30"}).errors() ==
          Words{"institutions \"mori-pharmacy\" .prefixes[0]: 100.64.200.4/30 is of translations \"kita-shared\" "
                ".hub_prefix, a port block's, whose addresses are nobody's own; say operator_prefixes"});
    CHECK(shared().remove("/institutions/3/operator_prefixes").errors().front() ==
          "institutions \"mori-pharmacy\" .prefixes: has none (clause 2-3)");
    CHECK(shared(a_block("100.64.0.8/29")).errors().front() ==
          "translations \"kita-shared\" .hub_prefix: 100.64.0.8/29 overlaps 100.64.0.0/17 of translations \"kita-v4\" "
          ".hub_prefix");
    json twice = a_block();
    twice["port_block"]["static_maps"].push_back(twice["port_block"]["static_maps"][0]);
    CHECK(shared(twice).errors() ==
          Words{kBlock + "port_block.static_maps[1]: 100.64.200.1 port 8443 stands twice",
                kBlock + "port_block.static_maps[1]: 10.2.1.9 port 443 has another static map"});
}

TEST_CASE("port blocks: a stateless agreement with somebody behind one is refused, and both named", "[control]") {
    const std::string words =
        "is stateless, and institution \"mori-pharmacy\" is behind a port block, by its operator_prefixes: only "
        "tracked agreements work there";
    CHECK(shared().set("/agreements/0/state", "stateless").errors() ==  // all of kita's
          Words{"agreements \"kita-eligibility\" .state: is stateless, and operator \"kita\" has 10.2.1.0/24, an "
                "institution's operator_prefixes, behind a port block: only tracked agreements work there"});
    CHECK(shared().set("/agreements/1/services/institutions", {"mori-pharmacy"}).errors() ==
          Words{"agreements \"kita-tanaka\" .state: " + words});
    CHECK(shared()
              .set("/agreements/1/services/institutions", {"mori-pharmacy"})
              .set("/agreements/1/state", "tracked")
              .errors() == Words{});
}

TEST_CASE("timers: those of the document are taken, and those under an RFC's floor refused with its words",
          "[control][conformance-52][conformance-53]") {
    CHECK(Draft().policy().timers.udp == 300);
    const Draft draft = Draft().set("/hub/timers", {{"udp", 120}, {"tcp_established", 30'000}, {"icmp", 61}});
    CHECK(draft.errors() == Words{});
    CHECK(draft.policy().timers.udp == 120);
    CHECK(draft.policy().timers.tcp_established == 30'000);
    CHECK(draft.policy().timers.tcp_transitory == 240);
    const auto refused = [](const char* name, int value) {
        const Words words = Draft().set(std::string("/hub/timers/") + name, value).errors();
        REQUIRE(words.size() == 1);
        return words[0];
    };
    CHECK(refused("udp", 119) == "hub .timers: udp 119: from 120 (RFC 4787 REQ-5) to 32000 seconds");
    CHECK(refused("tcp_established", 7439) ==
          "hub .timers: tcp_established 7439: from 7440 (RFC 5382 REQ-5) to 32000 seconds");
    CHECK(refused("tcp_transitory", 239) ==
          "hub .timers: tcp_transitory 239: from 240 (RFC 5382 REQ-5) to 32000 seconds");
    CHECK(refused("tcp_unsolicited", 5) == "hub .timers: tcp_unsolicited 5: from 6 (RFC 5382 REQ-4) to 32000 seconds");
    CHECK(refused("icmp", 59) == "hub .timers: icmp 59: from 60 (RFC 5508 REQ-1) to 32000 seconds");
}

TEST_CASE("port blocks: where the operator has none, those behind it are another node's, and a warning tells it",
          "[control]") {
    const Draft draft = shared().remove("/translations/6");
    CHECK(draft.errors() == Words{});
    CHECK(warnings(draft.policy(), parse_date("2026-05-01").value()) ==
          Words{"institutions \"mori-pharmacy\": its operator has no port block here, so its operator_prefixes reach "
                "nothing by this node"});
}

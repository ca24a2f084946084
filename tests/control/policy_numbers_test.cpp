// Validation of pools, translations, institutions and agreements: each refusal alone, both sides of a conflict named.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/validate.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using nlohmann::json;

TEST_CASE("validate: a document without a rules_version is refused", "[control]") {
    Policy policy = Draft().policy();
    policy.rules_version.clear();
    const auto errors = validate(policy);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].words == "hub .rules_version: is missing: which connection rules the document is for (clause 1-1)");
}

TEST_CASE("validate: pools that overlap, or that no host may have, are refused", "[control]") {
    CHECK(Draft().set("/hub/pools/-", "100.65.0.0/16").errors() ==
          Words{"hub .pools[2]: 100.65.0.0/16 overlaps 100.64.0.0/10 of hub .pools[0]"});
    for (const char* pool : {"0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "169.254.0.0/16", "::/0",
                             "::/96", "fe80::/10", "ff00::/8", "::ffff:0:0/96"}) {
        INFO(pool);
        const Words errors = Draft().set("/hub/pools/-", pool).errors();
        REQUIRE_FALSE(errors.empty());
        CHECK_THAT(errors[0], Contains("hub .pools[2]: "));
    }
}

TEST_CASE("validate: a translation whose two prefixes differ in length or family is refused", "[control]") {
    CHECK(
        Draft().set("/translations/0/operator_prefix", "10.1.0.0/17").errors() ==
        Words{"translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 and operator_prefix 10.1.0.0/17 differ in length"});
    CHECK(Draft().set("/translations/0/operator_prefix", "fd01::/16").errors() ==
          Words{"translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 and operator_prefix fd01::/16 differ in family"});
}

TEST_CASE("validate: a hub prefix outside the pools is refused", "[control]") {
    const Words errors = Draft().set("/translations/0/hub_prefix", "203.0.0.0/16").errors();
    REQUIRE_FALSE(errors.empty());
    CHECK(errors[0] == "translations \"kita-v4\" .hub_prefix: 203.0.0.0/16 is not inside one of the hub's pools");
}

TEST_CASE("validate: a hub prefix wider than its pool is refused", "[control]") {
    const Words errors = Draft().set("/hub/pools/0", "100.64.0.0/17").set("/hub/pools/-", "100.64.128.0/17").errors();
    CHECK(errors[0] == "translations \"chuo-v4\" .hub_prefix: 100.66.0.0/24 is not inside one of the hub's pools");
    CHECK(errors[1] == "translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 is not inside one of the hub's pools");
}

TEST_CASE("validate: translations that overlap in hub space are refused, nested ones too", "[control]") {
    const Words expected = {
        "translations \"kita-more\" .hub_prefix: 100.65.255.0/24 overlaps 100.65.0.0/16 of "
        "translations \"minami-v4\" .hub_prefix"};
    CHECK(Draft()
              .set("/translations/-", {{"id", "kita-more"},
                                       {"operator", "kita"},
                                       {"kind", "prefix_map"},
                                       {"operator_prefix", "10.2.0.0/24"},
                                       {"hub_prefix", "100.65.255.0/24"}})
              .errors() == expected);
}

TEST_CASE("validate: translations that overlap in one operator's space are refused, in two operators' not",
          "[control]") {
    json more = {{"id", "kita-more"},
                 {"operator", "kita"},
                 {"kind", "prefix_map"},
                 {"operator_prefix", "10.1.128.0/24"},
                 {"hub_prefix", "100.67.0.0/24"}};
    CHECK(Draft().set("/translations/-", more).errors() ==
          Words{"translations \"kita-more\" .operator_prefix: 10.1.128.0/24 overlaps 10.1.0.0/16 of translations "
                "\"kita-v4\" .operator_prefix"});
    more["operator"] = "chuo";
    CHECK(Draft().set("/translations/-", more).errors().empty());
}

TEST_CASE("validate: operator space inside the pools is refused unless it is mapped onto itself", "[control]") {
    const Words errors = Draft().set("/translations/4/operator_prefix", "100.70.0.0/24").errors();
    REQUIRE(errors.size() == 1);
    CHECK(errors[0] ==
          "translations \"chuo-v4\" .operator_prefix: 100.70.0.0/24 overlaps the pool 100.64.0.0/10 of hub "
          ".pools[0], and hub_prefix is not the same");
}

TEST_CASE("validate: operator space around a pool is refused", "[control]") {
    const Words errors = Draft()
                             .set("/hub/pools/-", "10.9.0.0/16")
                             .set("/translations/0/operator_prefix", "10.0.0.0/8")
                             .set("/translations/0/hub_prefix", "10.0.0.0/8")
                             .errors();
    CHECK(errors[0] == "translations \"kita-v4\" .hub_prefix: 10.0.0.0/8 is not inside one of the hub's pools");
}

TEST_CASE("validate: operator space that no host may have is refused", "[control]") {
    for (const char* prefix : {"127.1.0.0/16", "224.1.0.0/16", "0.0.0.0/16", "169.254.0.0/16", "255.255.0.0/16"}) {
        INFO(prefix);
        const Words errors = Draft().set("/translations/0/operator_prefix", prefix).errors();
        REQUIRE(errors.size() == 1);
        CHECK_THAT(errors[0], Contains(std::string("translations \"kita-v4\" .operator_prefix: ") + prefix + " has "));
    }
}

TEST_CASE("validate: an institution's prefix outside the pools is refused", "[control]") {
    CHECK(
        Draft().set("/institutions/2/prefixes/-", "203.0.113.0/24").errors() ==
        Words{"institutions \"eligibility-check\" .prefixes[2]: 203.0.113.0/24 is not inside one of the hub's pools"});
}

TEST_CASE("validate: institutions that overlap are refused, both named, with both prefixes", "[control]") {
    json twin = Draft().at("/institutions/0");
    twin["id"] = "suzuki-clinic";
    twin["prefixes"] = {"100.64.2.0/24", "100.64.1.128/25"};
    CHECK(Draft().set("/institutions/-", twin).errors() ==
          Words{"institutions \"suzuki-clinic\" .prefixes[1]: 100.64.1.128/25 overlaps 100.64.1.0/24 of institutions "
                "\"sato-hospital\" .prefixes[0]"});
    CHECK(Draft().set("/institutions/0/prefixes/-", "100.64.1.7/32").errors() ==
          Words{"institutions \"sato-hospital\" .prefixes[2]: 100.64.1.7/32 overlaps 100.64.1.0/24 of institutions "
                "\"sato-hospital\" .prefixes[0]"});
    CHECK(Draft().set("/institutions/0/prefixes/-", "100.64.1.0/24").errors().size() == 1);
}

TEST_CASE("validate: an institution's prefix needs one translation of its own operator", "[control]") {
    CHECK(
        Draft().set("/institutions/2/prefixes/-", "100.99.0.0/24").errors() ==
        Words{
            "institutions \"eligibility-check\" .prefixes[2]: 100.99.0.0/24 is not inside one translation of operator "
            "\"chuo\""});
    CHECK(
        Draft().set("/institutions/2/prefixes/-", "100.65.2.0/24").errors() ==
        Words{
            "institutions \"eligibility-check\" .prefixes[2]: 100.65.2.0/24 is not inside one translation of operator "
            "\"chuo\": translations \"minami-v4\" .hub_prefix is 100.65.0.0/16, of operator \"minami\""});
    CHECK(
        Draft().set("/institutions/2/prefixes/0", "100.66.0.0/23").errors() ==
        Words{
            "institutions \"eligibility-check\" .prefixes[0]: 100.66.0.0/23 is not inside one translation of operator "
            "\"chuo\": translations \"chuo-v4\" .hub_prefix is 100.66.0.0/24, of operator \"chuo\""});
}

TEST_CASE("validate: a link by an other method names its guideline, and no other has one", "[control]") {
    CHECK(
        Draft().remove("/institutions/1/links/0/guideline").errors() ==
        Words{"institutions \"tanaka-clinic\" .links[0].guideline: an other method names the guideline that it follows "
              "(clause 4-3)"});
    CHECK(Draft().set("/institutions/0/links/0/guideline", "6.0").errors() ==
          Words{"institutions \"sato-hospital\" .links[0].guideline: only an other method has one (clause 4-3)"});
}

TEST_CASE("validate: an agreement of nobody, or for nothing, is refused", "[control]") {
    CHECK(Draft().set("/agreements/1/clients", json::object()).errors() ==
          Words{"agreements \"kita-tanaka\" .clients: names nobody: operators, institutions or prefixes"});
    CHECK(Draft().set("/agreements/1/services", {{"institutions", json::array()}}).errors() ==
          Words{"agreements \"kita-tanaka\" .services: names nothing: institutions or prefixes"});
}

TEST_CASE("validate: client and service prefixes must be some institution's", "[control]") {
    CHECK(Draft().set("/agreements/0/services/prefixes/0", "100.66.1.0/24").errors() ==
          Words{"agreements \"kita-eligibility\" .services.prefixes[0]: 100.66.1.0/24 is not inside a prefix of one "
                "institution, in hub space"});
    CHECK(Draft().set("/agreements/2/clients/prefixes/0", "10.1.1.0/24").errors() ==
          Words{"agreements \"kita-tanaka-echo\" .clients.prefixes[0]: 10.1.1.0/24 is not inside a prefix of one "
                "institution, in hub space"});
    CHECK(Draft().set("/agreements/0/services/prefixes/0", "100.66.0.0/23").errors().size() == 1);
}

TEST_CASE("validate: TCP and UDP need ports, and nothing else has them", "[control]") {
    for (const std::string protocol : {"tcp", "udp"})
        CHECK(Draft().set("/agreements/0/protocol", protocol).remove("/agreements/0/ports").errors() ==
              Words{"agreements \"kita-eligibility\" .ports: is missing: protocol " + protocol +
                    " needs the service's ports; for all of them, say [{\"first\": 1, \"last\": 65535}]"});
    for (const std::string protocol : {"icmp_echo", "any"})
        CHECK(Draft().set("/agreements/0/protocol", protocol).errors() ==
              Words{"agreements \"kita-eligibility\" .ports: protocol " + protocol + " has none"});
}

TEST_CASE("validate: a range of ports that goes backwards is refused", "[control]") {
    CHECK(Draft().set("/agreements/1/ports/1", {{"first", 5210}, {"last", 5201}}).errors() ==
          Words{"agreements \"kita-tanaka\" .ports[1]: the first port, 5210, is after the last, 5201"});
}

TEST_CASE("validate: from must come before until", "[control]") {
    CHECK(Draft().set("/agreements/0/until", "2026-04-01").errors() ==
          Words{"agreements \"kita-eligibility\" .until: \"2026-04-01\" is not after from, \"2026-04-01\""});
    CHECK(Draft().set("/agreements/0/until", "2026-04-01T00:00:01+09:00").errors().empty());
    CHECK(Draft().set("/gates/0/until", "2026-12-01").errors() ==
          Words{"gates \"tanaka-move\" .until: \"2026-12-01\" is not after from, \"2026-12-01T22:00:00+09:00\""});
    CHECK(Draft().set("/operators/0/certification/valid_until", "2026-03-31").errors() ==
          Words{"operators \"kita\" .certification.valid_until: \"2026-03-31\" is not after certification.valid_from, "
                "\"2026-04-01\""});
    CHECK(Draft().set("/operators/0/certification/valid_until", "2026-04-01").errors().empty());  // one day long
}

TEST_CASE("validate: a date that is none is refused in a policy that was not read from a document", "[control]") {
    Policy policy = Draft().policy();
    policy.agreements.at("kita-tanaka").from = "2027-02-29";
    const auto errors = validate(policy);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].words ==
          "agreements \"kita-tanaka\" .from: \"2027-02-29\" is a day that the calendar does not have");
}

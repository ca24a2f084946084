// Validation: each refusal alone, with the objects and fields that its words name; then what is allowed.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/validate.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

ErrorCode code_of_first(const Draft& draft) {
    const auto errors = validate(draft.policy());
    REQUIRE_FALSE(errors.empty());
    return errors.front().code;
}

}  // namespace

TEST_CASE("validate: the worked example is whole", "[control]") {
    CHECK(Draft().errors() == Words{});
}

// What the schema names and this version cannot do: refused by name.

TEST_CASE("validate: an agreement is tracked unless it says otherwise, and that is refused by name", "[control]") {
    const Words expected = {
        "agreements \"kita-tanaka\": state tracked (the default) is not supported by this version; "
        "say \"state\": \"stateless\""};
    CHECK(Draft().remove("/agreements/1/state").errors() == expected);
    CHECK(Draft().set("/agreements/1/state", "tracked").errors() == expected);
    CHECK(code_of_first(Draft().remove("/agreements/1/state")) == ErrorCode::unsupported);
}

TEST_CASE("validate: translations by port block and between families are refused by name", "[control]") {
    for (const std::string kind : {"port_block", "family"})
        CHECK(Draft().set("/translations/0/kind", kind).errors() ==
              Words{"translations \"kita-v4\": kind " + kind +
                    " is not supported by this version; say \"kind\": \"prefix_map\""});
}

TEST_CASE("validate: protection by ESP is refused by name", "[control]") {
    CHECK(
        Draft().set("/attachments/0/protection", "esp").errors() ==
        Words{"attachments \"kita-1\": protection esp is not supported by this version; say \"protection\": \"none\""});
}

TEST_CASE("validate: session records by the hub are refused by name", "[control]") {
    CHECK(Draft().set("/attachments/0/session_management", "hub").errors() ==
          Words{"attachments \"kita-1\": session_management hub is not supported by this version; say \"operator\" or "
                "\"none\""});
}

TEST_CASE("validate: an underlay is refused by name, and saying false is not", "[control]") {
    CHECK(Draft().set("/attachments/0/underlay", true).errors() ==
          Words{"attachments \"kita-1\": underlay true is not supported by this version; leave it out"});
    CHECK(Draft().set("/attachments/0/underlay", false).errors().empty());
}

TEST_CASE("validate: links over the internet are refused by name", "[control]") {
    const Words errors = Draft().set("/institutions/0/links/0/method", "internet_vpn").errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Contains("institutions \"sato-hospital\": links[0] method internet_vpn") &&
                              Contains("clause 4-3") && Contains("is not supported by this version"));
}

TEST_CASE("validate: an expiry that freezes or stops is refused by name", "[control]") {
    for (const std::string action : {"freeze", "stop"})
        CHECK(Draft().set("/operators/0/certification/expiry_action", action).errors() ==
              Words{"operators \"kita\": expiry_action " + action +
                    " is not supported by this version; say \"expiry_action\": \"warn\", and close a gate by hand"});
}

TEST_CASE("validate: load sharing and backup nexthops are refused by name", "[control]") {
    const Words several =
        Draft().set("/routes/0/nexthops/-", {{"attachment", "kita-1"}, {"gateway", "192.0.2.2"}}).errors();
    REQUIRE(several.size() == 1);
    CHECK_THAT(several[0],
               Contains("routes \"kita 10.1.0.0/16\": a route by 2 nexthops (load sharing, ECMP, or backup) "
                        "is not supported by this version"));
    const Words backup = Draft().set("/routes/0/nexthops/0/backup", true).errors();
    CHECK(backup ==
          Words{"routes \"kita 10.1.0.0/16\": nexthops[0] backup true is not supported by this version; leave "
                "it out"});
}

// References.

TEST_CASE("validate: a reference to nothing is refused, with who refers and to what", "[control]") {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"/attachments/0/operator", "attachments \"kita-1\" .operator: there is no operator \"nobody\""},
        {"/institutions/0/operator", "institutions \"sato-hospital\" .operator: there is no operator \"nobody\""},
        {"/institutions/0/links/0/attachments/0",
         "institutions \"sato-hospital\" .links[0].attachments[0]: there is no attachment \"nobody\""},
        {"/translations/0/operator", "translations \"kita-v4\" .operator: there is no operator \"nobody\""},
        {"/agreements/0/clients/operators/0",
         "agreements \"kita-eligibility\" .clients.operators[0]: there is no operator \"nobody\""},
        {"/agreements/1/clients/institutions/0",
         "agreements \"kita-tanaka\" .clients.institutions[0]: there is no institution \"nobody\""},
        {"/agreements/1/services/institutions/0",
         "agreements \"kita-tanaka\" .services.institutions[0]: there is no institution \"nobody\""},
        {"/routes/0/operator", "routes \"nobody 10.1.0.0/16\" .operator: there is no operator \"nobody\""},
        {"/routes/0/nexthops/0/attachment",
         "routes \"kita 10.1.0.0/16\" .nexthops[0].attachment: there is no attachment \"nobody\""},
        {"/gates/0/target_id", "gates \"tanaka-move\" .target_id: there is no institution \"nobody\""},
    };
    for (const auto& [pointer, words] : cases) {
        INFO(pointer);
        const Draft draft = Draft().set(pointer, "nobody");
        const Words errors = draft.errors();
        CHECK(std::find(errors.begin(), errors.end(), words) != errors.end());
        bool dangling = false;
        for (const Error& error : validate(draft.policy()))
            dangling = dangling || (error.words == words && error.code == ErrorCode::not_found);
        CHECK(dangling);
    }
}

TEST_CASE("validate: a link by another operator's attachment is refused", "[control]") {
    CHECK(Draft().set("/institutions/0/links/0/attachments/0", "minami-1").errors() ==
          Words{"institutions \"sato-hospital\" .links[0].attachments[0]: attachment \"minami-1\" belongs to operator "
                "\"minami\", not \"kita\""});
}

TEST_CASE("validate: a route by another operator's attachment is refused", "[control]") {
    CHECK(Draft().set("/routes/0/nexthops/0/attachment", "minami-1").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].attachment: attachment \"minami-1\" belongs to operator "
                "\"minami\", not \"kita\""});
}

// Attachments.

TEST_CASE("validate: two attachments on one port and VLAN are refused", "[control]") {
    CHECK(Draft().set("/attachments/1/port", "port2").set("/attachments/1/vlan", 7).errors() ==
          Words{"attachments \"minami-1\" .port: port \"port2\" vlan 7 is that of attachments \"chuo-1\" already"});
    CHECK(Draft().set("/attachments/1/port", "port2").errors().empty());
}

TEST_CASE("validate: a MAC address that is the port's own kind, a group's or none is refused", "[control]") {
    CHECK(
        Draft().set("/attachments/0/mac", "00:1b:21:00:00:01").errors() ==
        Words{
            "attachments \"kita-1\" .mac: 00:1b:21:00:00:01 is not locally administered: the first byte must be 02 or "
            "alike"});
    CHECK(Draft().set("/attachments/0/mac", "03:00:00:00:00:01").errors() ==
          Words{"attachments \"kita-1\" .mac: 03:00:00:00:00:01 is a group address"});
    CHECK(Draft().set("/attachments/0/mac", "ff:ff:ff:ff:ff:ff").errors().size() == 1);
    CHECK(Draft().set("/attachments/0/mac", "00:00:00:00:00:00").errors().size() == 1);
}

TEST_CASE("validate: an own address that no station may have is refused", "[control]") {
    const auto error = [](const char* field, const char* address) {
        const Words errors = Draft().set(std::string("/attachments/1/") + field, address).errors();
        return errors.empty() ? "" : errors[0];
    };
    CHECK(error("ipv4", "192.0.2.0/30") ==
          "attachments \"minami-1\" .ipv4: 192.0.2.0 is the network address of "
          "192.0.2.0/30");
    CHECK(error("ipv4", "192.0.2.3/30") ==
          "attachments \"minami-1\" .ipv4: 192.0.2.3 is the broadcast address of "
          "192.0.2.0/30");
    CHECK(error("ipv6", "2001:db8:0:101::/64") ==
          "attachments \"minami-1\" .ipv6: 2001:db8:0:101:: is the subnet-router "
          "anycast address of 2001:db8:0:101::/64");
    CHECK_THAT(error("ipv4", "127.0.0.1/8"), Contains("has loopback addresses"));
    CHECK_THAT(error("ipv4", "224.0.0.5/24"), Contains("has multicast addresses"));
    CHECK_THAT(error("ipv4", "10.0.0.1/0"), Contains("is the whole of the address space"));
    CHECK_THAT(error("ipv6", "fe80::1/64"), Contains("has link-local addresses"));
    CHECK_THAT(error("ipv6", "ff02::1/64"), Contains("has multicast addresses"));
}

TEST_CASE("validate: an own address outside its subnet is refused", "[control]") {
    Policy policy = Draft().policy();
    policy.attachments.at("kita-1").ipv4 = Ipv4Address::parse("192.0.2.9");
    const auto errors = validate(policy);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].words == "attachments \"kita-1\" .ipv4: 192.0.2.9 is not inside 192.0.2.0/30");
}

TEST_CASE("validate: both addresses of a subnet of two may be the hub's", "[control]") {
    for (const char* address : {"192.0.2.4/31", "192.0.2.5/31"})
        CHECK(Draft()
                  .set("/attachments/1/ipv4", address)
                  .remove("/routes/2")  // its gateway was on the old subnet
                  .errors()
                  .empty());
}

TEST_CASE("validate: family and addresses must agree", "[control]") {
    CHECK(Draft().remove("/attachments/1/ipv6").errors()[0] ==
          "attachments \"minami-1\" .ipv6: is missing: family dual needs the hub's own address");
    CHECK(Draft().remove("/attachments/1/ipv4").errors()[0] ==
          "attachments \"minami-1\" .ipv4: is missing: family dual needs the hub's own address");
    CHECK(Draft().set("/attachments/1/family", "ipv4").errors()[0] ==
          "attachments \"minami-1\" .ipv6: 2001:db8:0:101::1 is of no use with family ipv4");
}

TEST_CASE("validate: a route of a family that its attachment does not carry is refused", "[control]") {
    const Words errors = Draft().set("/attachments/1/family", "ipv4").remove("/attachments/1/ipv6").errors();
    CHECK(errors ==
          Words{"routes \"minami fd00:0:0:1::/64\" .nexthops[0].attachment: attachment \"minami-1\" has family "
                "ipv4 and cannot carry fd00:0:0:1::/64"});
}

TEST_CASE("validate: a link-local address that is none is refused", "[control]") {
    CHECK(Draft().set("/attachments/2/link_local", "2001:db8::1").errors() ==
          Words{"attachments \"chuo-1\" .link_local: 2001:db8::1 is not inside fe80::/10"});
}

TEST_CASE("validate: the MTU must carry the family", "[control]") {
    CHECK(Draft().set("/attachments/1/mtu", 1279).errors() ==
          Words{"attachments \"minami-1\" .mtu: 1279 is not 1280 to 9000, with family dual"});
    CHECK(Draft().set("/attachments/1/mtu", 1280).errors().empty());
    CHECK(Draft().set("/attachments/1/mtu", 9000).errors().empty());
    Policy policy = Draft().policy();
    policy.attachments.at("kita-1").mtu = 9001;
    CHECK(validate(policy).size() == 1);
}

TEST_CASE("validate: a designated method names its document, and no other has one", "[control]") {
    CHECK(
        Draft().remove("/attachments/2/designation").errors() ==
        Words{"attachments \"chuo-1\" .designation: is missing: the document that designates the method (clause 2-1)"});
    CHECK(Draft().set("/attachments/0/designation", "x").errors() ==
          Words{"attachments \"kita-1\" .designation: only method designated has one (clause 2-1)"});
}

TEST_CASE("validate: subnets of one operator that overlap are refused, and of two are not", "[control]") {
    json second = Draft().at("/attachments/1");
    second["id"] = "minami-2";
    second["vlan"] = 2;
    second["ipv6"] = "2001:db8:0:102::1/64";
    CHECK(Draft().set("/attachments/-", second).errors() ==
          Words{"attachments \"minami-2\" .ipv4: the subnet 192.0.2.0/30 overlaps 192.0.2.0/30 of attachments "
                "\"minami-1\" .ipv4, which has the same operator"});
    second["operator"] = "chuo";
    CHECK(Draft().set("/attachments/-", second).errors().empty());
}

TEST_CASE("validate: a subnet of hub numbers is refused unless its operator has them as they are", "[control]") {
    const Words errors = Draft().set("/attachments/1/ipv4", "100.66.0.1/30").remove("/routes/2").errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Contains("attachments \"minami-1\" .ipv4: the subnet 100.66.0.0/30 overlaps the pool "
                                   "100.64.0.0/10 of hub .pools[0]"));
    CHECK(Draft().set("/attachments/2/ipv4", "100.66.0.1/25").remove("/routes/5").errors().empty());
}

// Numbers.

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

// Institutions.

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

// Agreements.

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

// Routes.

TEST_CASE("validate: a gateway off its attachment's subnet is refused", "[control]") {
    CHECK(
        Draft().set("/routes/0/nexthops/0/gateway", "198.51.100.1").errors() ==
        Words{
            "routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 198.51.100.1 is not inside 192.0.2.0/30, the subnet of "
            "attachment \"kita-1\""});
    CHECK(Draft().set("/routes/4/nexthops/0/gateway", "2001:db8:0:102::2").errors().size() == 1);
}

TEST_CASE("validate: a gateway that is the hub itself, or no station, is refused", "[control]") {
    CHECK(Draft().set("/routes/0/nexthops/0/gateway", "192.0.2.1").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 192.0.2.1 is the hub's own address on attachment "
                "\"kita-1\""});
    CHECK(
        Draft().set("/routes/0/nexthops/0/gateway", "192.0.2.3").errors() ==
        Words{
            "routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 192.0.2.3 is the broadcast address of 192.0.2.0/30, the "
            "subnet of attachment \"kita-1\""});
    CHECK(
        Draft().set("/routes/6/nexthops/0/gateway", "fe80::3:1").errors() ==
        Words{
            "routes \"chuo 2001:db8:8003::/48\" .nexthops[0].gateway: fe80::3:1 is the hub's own address on attachment "
            "\"chuo-1\""});
    CHECK(Draft().set("/routes/6/nexthops/0/gateway", "2001:db8:0:107::1").errors().size() == 1);
}

TEST_CASE("validate: a gateway of another family is refused", "[control]") {
    CHECK(Draft().set("/routes/0/nexthops/0/gateway", "fe80::1").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: fe80::1 and 10.1.0.0/16 differ in family"});
}

TEST_CASE("validate: a default route is refused", "[control]") {
    CHECK(Draft().set("/routes/0/prefix", "0.0.0.0/0").errors() ==
          Words{"routes \"kita 0.0.0.0/0\" .prefix: 0.0.0.0/0 is a default route: the hub takes none (clause 2-6)"});
    CHECK(Draft().set("/routes/1/prefix", "::/0").errors().size() == 1);
    CHECK(Draft().set("/routes/1/prefix", "ff00::/8").errors().size() == 1);
}

TEST_CASE("validate: a route for an attachment's own subnet is refused", "[control]") {
    CHECK(
        Draft().set("/routes/0/prefix", "192.0.2.0/30").errors() ==
        Words{"routes \"kita 192.0.2.0/30\" .prefix: 192.0.2.0/30 is the subnet of attachments \"kita-1\", which needs "
              "no route"});
}

TEST_CASE("validate: a route has nexthops or is a blackhole, not both and not neither", "[control]") {
    CHECK(Draft().set("/routes/0/blackhole", true).errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops: a blackhole has none"});
    CHECK(Draft().remove("/routes/0/nexthops").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops: is missing: one, unless blackhole is true"});
}

TEST_CASE("validate: a route without a gateway is on its attachment's own link", "[control]") {
    CHECK(Draft().remove("/routes/0/nexthops/0/gateway").errors().empty());
}

// Gates.

TEST_CASE("validate: maintenance needs its notice; an emergency may do without", "[control]") {
    CHECK(Draft().remove("/gates/0/notice").errors() ==
          Words{"gates \"tanaka-move\" .notice: is missing: maintenance needs the notice given before (clause 6-1)"});
    CHECK(Draft().remove("/gates/0/notice").set("/gates/0/reason", "emergency").errors().empty());
}

TEST_CASE("validate: a violation needs its clause, arrears a due date or a clause", "[control]") {
    CHECK(Draft().set("/gates/0/reason", "violation").errors() ==
          Words{"gates \"tanaka-move\" .clause: is missing: a violation is of a clause (clause 6-2)"});
    CHECK(Draft().set("/gates/0/reason", "violation").set("/gates/0/clause", "5-4").errors().empty());
    CHECK(Draft().set("/gates/0/reason", "arrears").remove("/gates/0/from").errors() ==
          Words{"gates \"tanaka-move\" .from: is missing: arrears need a due date, or a clause (clause 6-2)"});
    CHECK(Draft().set("/gates/0/reason", "arrears").errors().empty());
}

TEST_CASE("validate: a gate names its target, and a gate of the node none", "[control]") {
    CHECK(Draft().remove("/gates/0/target_id").errors() ==
          Words{"gates \"tanaka-move\" .target_id: is missing: which institution the gate closes"});
    CHECK(Draft().set("/gates/0/target", "node").errors() ==
          Words{"gates \"tanaka-move\" .target_id: a gate of the node has none, not \"tanaka-clinic\""});
    CHECK(Draft().set("/gates/0/target", "node").remove("/gates/0/target_id").errors().empty());
    CHECK(Draft().set("/gates/0/target", "operator").errors() ==
          Words{"gates \"tanaka-move\" .target_id: there is no operator \"tanaka-clinic\""});
    for (const auto& [target, id] : std::vector<std::pair<const char*, const char*>>{
             {"operator", "kita"}, {"attachment", "kita-1"}, {"agreement", "kita-tanaka"}})
        CHECK(Draft().set("/gates/0/target", target).set("/gates/0/target_id", id).errors().empty());
}

TEST_CASE("validate: errors are bounded, and the rest is counted", "[control]") {
    Policy policy = Draft().policy();
    for (int i = 0; i < 1000; ++i) {
        Gate gate;
        gate.id = "gate-" + std::to_string(i);
        gate.target_id = "nobody";
        gate.reason = GateReason::emergency;
        policy.gates.emplace(gate.id, gate);
    }
    const auto errors = validate(policy);
    REQUIRE(errors.size() == kMaxValidationErrors + 1);
    CHECK(errors.back().words == "and 900 more errors");
}

TEST_CASE("validate: an empty policy says only that it has no rules", "[control]") {
    CHECK(validate(Policy()).size() == 1);
}

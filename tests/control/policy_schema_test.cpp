// What an object must look like: one field wrong at a time, and the words that say what was expected.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/schema.hpp"
#include "control/schema_fit.hpp"
#include "control/schema_shape.hpp"
#include "tests/control/policy_draft.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

struct Case {
    const char* pointer;
    json value;
    const char* place;
    const char* words;
};

void check_refused(const Case& one) {
    INFO(one.pointer << " = " << one.value.dump());
    const Words errors = Draft().set(one.pointer, one.value).errors();
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].starts_with(std::string(one.place) + ": "));
    CHECK_THAT(errors[0], Contains(one.words));
}

}  // namespace

TEST_CASE("schema: a value of another type is refused with the type that was expected", "[control]") {
    for (const Case& one : std::vector<Case>{
             {"/hub/rules_version", 2026, "hub .rules_version", "expected a string, not a number"},
             {"/hub/pools", "100.64.0.0/10", "hub .pools", "expected an array, not a string"},
             {"/hub/pools/1", nullptr, "hub .pools[1]", "expected a string, not null"},
             {"/operators/0/certification", "N-1", "operators[0] \"kita\" .certification", "expected an object"},
             {"/attachments/0/vlan", "101", "attachments[0] \"kita-1\" .vlan", "expected a whole number, not a string"},
             {"/attachments/0/mtu", 1500.5, "attachments[0] \"kita-1\" .mtu", "not a number that is not whole"},
             {"/attachments/0/mtu", true, "attachments[0] \"kita-1\" .mtu", "expected a whole number, not true"},
             {"/attachments/0/underlay", 1, "attachments[0] \"kita-1\" .underlay", "expected a boolean"},
             {"/institutions/0/links/0", "x", "institutions[0] \"sato-hospital\" .links[0]", "expected an object"},
             {"/agreements/0/ports/0", "443", "agreements[0] \"kita-eligibility\" .ports[0]",
              "expected a whole number or an object, not a string"},
             {"/operators/0", 7, "operators[0]", "expected an object, not a number"},
         })
        check_refused(one);
}

TEST_CASE("schema: a value outside its bounds is refused with the bounds", "[control]") {
    for (const Case& one : std::vector<Case>{
             {"/attachments/0/vlan", 4095, "attachments[0] \"kita-1\" .vlan", "4095 is not 0 to 4094"},
             {"/attachments/0/vlan", -1, "attachments[0] \"kita-1\" .vlan", "-1 is not 0 to 4094"},
             {"/attachments/0/mtu", 575, "attachments[0] \"kita-1\" .mtu", "575 is not 576 to 9000"},
             {"/attachments/0/mtu", 18446744073709551615ULL, "attachments[0] \"kita-1\" .mtu", "is not 576 to 9000"},
             {"/agreements/0/ports/0", 0, "agreements[0] \"kita-eligibility\" .ports[0]", "0 is not 1 to 65535"},
             {"/agreements/0/ports/0", 65536, "agreements[0] \"kita-eligibility\" .ports[0]", "is not 1 to 65535"},
             {"/agreements/1/ports/1/last", 70000, "agreements[1] \"kita-tanaka\" .ports[1].last", "is not 1 to 65535"},
             {"/agreements/0/ports", json::array(), "agreements[0] \"kita-eligibility\" .ports", "has 0 entries"},
             {"/institutions/0/prefixes", json::array(), "institutions[0] \"sato-hospital\" .prefixes",
              "has 0 entries: expected 1 to 1024"},
             {"/institutions/0/links", json::array(), "institutions[0] \"sato-hospital\" .links", "expected 1 to 16"},
             {"/operators/0/name", "", "operators[0] \"kita\" .name", "expected 1 to 256 characters"},
             {"/operators/0/name", std::string(257, 'x'), "operators[0] \"kita\" .name",
              "expected 1 to 256 characters"},
         })
        check_refused(one);
}

TEST_CASE("schema: enums are closed, and the error lists them", "[control]") {
    for (const Case& one : std::vector<Case>{
             {"/operators/0/certification/expiry_action", "ignore",
              "operators[0] \"kita\" .certification.expiry_action", "\"ignore\" is not one of warn, freeze, stop"},
             {"/attachments/0/method", "internet_vpn", "attachments[0] \"kita-1\" .method",
              "is not one of ip_vpn, leased_line, designated"},
             {"/attachments/0/protection", "wireguard", "attachments[0] \"kita-1\" .protection", "one of none, esp"},
             {"/attachments/0/session_management", "HUB", "attachments[0] \"kita-1\" .session_management",
              "one of hub, operator, none"},
             {"/attachments/0/family", "IPv4", "attachments[0] \"kita-1\" .family", "one of ipv4, ipv6, dual"},
             {"/institutions/0/kind", "clinic", "institutions[0] \"sato-hospital\" .kind",
              "hospital, pharmacy, regional_network, care_provider, service_provider"},
             {"/institutions/0/links/0/method", "designated", "institutions[0] \"sato-hospital\" .links[0].method",
              "ip_vpn, internet_vpn, leased_line, other"},
             {"/translations/0/kind", "nat", "translations[0] \"kita-v4\" .kind", "prefix_map, port_block, family"},
             {"/agreements/0/protocol", "icmp", "agreements[0] \"kita-eligibility\" .protocol",
              "tcp, udp, icmp_echo, any"},
             {"/agreements/0/state", "none", "agreements[0] \"kita-eligibility\" .state", "tracked, stateless"},
             {"/gates/0/target", "hub", "gates[0] \"tanaka-move\" .target",
              "node, operator, attachment, institution, agreement"},
             {"/gates/0/reason", "boredom", "gates[0] \"tanaka-move\" .reason",
              "maintenance, emergency, arrears, violation, expiry, revocation"},
         })
        check_refused(one);
}

TEST_CASE("schema: an unknown field is refused with the fields that there are, wherever it stands", "[control]") {
    for (const Case& one : std::vector<Case>{
             {"/hub/color", "red", "hub",
              "\"color\" is not a field here; the fields are hold_down_days, pools, "
              "rules_version"},
             {"/operators/0/vrf", "x", "operators[0] \"kita\"", "\"vrf\" is not a field here"},
             {"/operators/0/certification/until", "x", "operators[0] \"kita\" .certification",
              "\"until\" is not a field"},
             {"/institutions/0/links/0/backup", "x", "institutions[0] \"sato-hospital\" .links[0]",
              "\"backup\" is not"},
             {"/agreements/0/clients/vrfs", json::array(), "agreements[0] \"kita-eligibility\" .clients",
              "\"vrfs\" is"},
             {"/agreements/1/ports/1/step", 2, "agreements[1] \"kita-tanaka\" .ports[1]", "\"step\" is not a field"},
             {"/routes/0/nexthops/0/metric", 2, "routes[0] \"kita 10.1.0.0/16\" .nexthops[0]", "\"metric\" is not"},
             {"/gates/0/\x1b[2J", 2, "gates[0] \"tanaka-move\"", "\"?[2J\" is not a field"},
         })
        check_refused(one);
}

TEST_CASE("schema: every field that the rules require is required", "[control]") {
    const std::vector<std::pair<std::string, Words>> required = {
        {"/hub", {"rules_version", "pools"}},
        {"/operators/0", {"id", "name", "certification"}},
        {"/operators/0/certification", {"number", "valid_from", "valid_until", "expiry_action"}},
        {"/operators/0/assessment", {"body", "standard", "valid_from", "valid_until"}},
        {"/attachments/0", {"id", "operator", "method", "protection", "session_management", "family", "demarcation"}},
        {"/institutions/0", {"id", "operator", "kind", "certificate", "application", "links"}},
        {"/institutions/0/links/0", {"method", "access_line_operator", "cpe", "demarcation", "attachments"}},
        {"/translations/0", {"id", "operator", "kind", "operator_prefix", "hub_prefix"}},
        {"/agreements/0", {"id", "clients", "services", "protocol"}},
        {"/agreements/1/ports/1", {"first", "last"}},
        {"/routes/0", {"operator", "prefix"}},
        {"/routes/0/nexthops/0", {"attachment"}},
        {"/gates/0", {"id", "target", "reason"}},
    };
    for (const auto& [object, fields] : required)
        for (const std::string& field : fields) {
            INFO(object << "/" << field);
            const Words errors = Draft().remove(object + "/" + field).errors();
            REQUIRE_FALSE(errors.empty());
            CHECK_THAT(errors[0], Contains(": \"" + field + "\" is missing: "));
        }
}

TEST_CASE("schema: an id that a shell or a terminal could misread is refused", "[control]") {
    for (const char* id : {"", " ", "a b", "-rf", ".", "../x", "a/b", "\"", "\x1b[2J", "a\n", "病院",
                           "x1234567890123456789012345678901234567890123456789012345678901234"}) {
        INFO(id);
        const Words errors = Draft().set("/gates/0/id", id).errors();
        REQUIRE(errors.size() == 1);
        CHECK_THAT(errors[0], Contains("1 to 64 letters, digits, '.', '_' and '-'"));
        CHECK(errors[0].find('\x1b') == std::string::npos);
    }
}

TEST_CASE("schema: an id of a million letters is refused and does not exhaust the stack", "[control]") {
    const Words errors = Draft().set("/gates/0/id", std::string(1'000'000, 'a')).errors();
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].size() < 1000);
}

TEST_CASE("reader: an address, prefix, MAC or date that is none is refused with its place", "[control]") {
    for (const Case& one : std::vector<Case>{
             {"/hub/pools/0", "100.64.0.0/33", "hub .pools[0]", "the length must be 0 to 32"},
             {"/hub/pools/0", "100.64.0.1/10", "hub .pools[0]", "has host bits set; the prefix would be 100.64.0.0/10"},
             {"/hub/pools/0", "kita", "hub .pools[0]", "\"kita\" is neither an IPv4 nor an IPv6 prefix"},
             {"/hub/pools/0", "\x1b[2J", "hub .pools[0]", "\"?[2J\" is neither"},
             {"/attachments/0/mac", "02:00:00:00:01:1", "attachments[0] \"kita-1\" .mac", "expected 17 characters"},
             {"/attachments/0/mac", "02-00-00-00-01-01", "attachments[0] \"kita-1\" .mac", "is not a MAC address like"},
             {"/attachments/0/ipv4", "192.0.2.1", "attachments[0] \"kita-1\" .ipv4", "with the length of its subnet"},
             {"/attachments/0/ipv4", "192.0.2.256/30", "attachments[0] \"kita-1\" .ipv4",
              "with the length of its subnet"},
             {"/attachments/0/ipv4", "192.0.2.1/33", "attachments[0] \"kita-1\" .ipv4", "has no such length"},
             {"/attachments/0/ipv4", "2001:db8::1/64", "attachments[0] \"kita-1\" .ipv4", "like 192.0.2.1/30"},
             {"/attachments/0/ipv6", "192.0.2.1/30", "attachments[0] \"kita-1\" .ipv6", "like 2001:db8::1/64"},
             {"/attachments/0/ipv6", "2001:db8::1/129", "attachments[0] \"kita-1\" .ipv6", "has no such length"},
             {"/attachments/0/link_local", "fe80::1%eth0", "attachments[0] \"kita-1\" .link_local", "is not an IPv6"},
             {"/routes/0/nexthops/0/gateway", "gw", "routes[0] \"kita 10.1.0.0/16\" .nexthops[0].gateway",
              "\"gw\" is not an IPv4 or IPv6 address"},
             {"/agreements/2/clients/prefixes/0", "x:y", "agreements[2] \"kita-tanaka-echo\" .clients.prefixes[0]",
              "is neither an IPv4 nor an IPv6 prefix"},
             {"/agreements/0/from", "2026-02-30", "agreements[0] \"kita-eligibility\" .from",
              "the calendar does not have"},
             {"/agreements/0/until", "2028-04-01T00:00:00Z", "agreements[0] \"kita-eligibility\" .until",
              "must be +09:00"},
             {"/gates/0/from", "tomorrow!!", "gates[0] \"tanaka-move\" .from", "neither a date like 2026-04-01"},
             {"/operators/0/certification/valid_from", "2027-02-29", "operators[0] \"kita\" .certification.valid_from",
              "the calendar does not have"},
             {"/operators/0/assessment/valid_until", "0000000000", "operators[0] \"kita\" .assessment.valid_until",
              "is not a date like 2026-04-01"},
         })
        check_refused(one);
}

TEST_CASE("reader: text with control characters is refused, and the words do not repeat them", "[control]") {
    for (const char* text : {"a\nb", "\x1b]0;x\x07", "tab\there", "\x7f"}) {
        const Words errors = Draft().set("/operators/0/name", text).errors();
        REQUIRE(errors.size() == 1);
        CHECK_THAT(errors[0], Contains("has a control character"));
        CHECK(errors[0].find('\x1b') == std::string::npos);
        CHECK(errors[0].find('\n') == std::string::npos);
    }
    CHECK(Draft().set("/operators/0/name", " kita").errors().size() == 1);
}

TEST_CASE("schema: the leap day of a leap year is a day", "[control]") {
    CHECK(Draft().set("/operators/0/certification/valid_until", "2028-02-29").errors().empty());
}

TEST_CASE("schema: every field has a description", "[control]") {
    std::size_t fields = 0;
    const std::function<void(const json&, const std::string&)> walk = [&](const json& schema, const std::string& path) {
        if (!schema.is_object()) return;
        const json properties = schema.value("properties", json::object());
        for (const auto& [name, field] : properties.items()) {
            ++fields;
            INFO(path << "/" << name);
            CHECK((field.contains("description") || field.contains("$ref")));
            if (field.value("type", json()) == "object") CHECK(field.at("additionalProperties") == false);
            walk(field, path + "/" + name);
            walk(field.value("items", json()), path + "/" + name);
        }
    };
    const json schema = json::parse(schema_text());
    for (const auto& [name, definition] : schema["definitions"].items()) {
        CHECK(definition.contains("description"));
        if (definition["type"] == "object") CHECK(definition.at("additionalProperties") == false);
        walk(definition, name);
    }
    CHECK(fields > 60);
}

TEST_CASE("schema: what is held in the program is what is published", "[control]") {
    CHECK(schema_text() == file_text(SEKISHO_EXAMPLES "/../policy.schema.json"));
}

namespace {

// One value somewhere in the object becomes another, or goes, or gets company.
void change(json& object, sekisho::test::Random& random) {
    static const std::vector<json> kValues = {nullptr,
                                              true,
                                              -1,
                                              0,
                                              1,
                                              443,
                                              65536,
                                              1500.5,
                                              1e30,
                                              18446744073709551615ULL,
                                              "",
                                              "x",
                                              "esp",
                                              "tcp",
                                              "ipv4",
                                              "a b",
                                              "10.0.0.0/8",
                                              "2026-04-01",
                                              "\xc3\xa9",
                                              std::string(64, 'x'),
                                              std::string(65, 'x'),
                                              std::string(257, 'x'),
                                              json::array(),
                                              json::array({1}),
                                              json::array({"x", "x"}),
                                              json::object(),
                                              json{{"first", 1}, {"last", 2}}};
    json* at = &object;
    for (;;) {
        if (at->empty() || !at->is_structured()) break;
        auto member = at->begin();
        std::advance(member, static_cast<std::ptrdiff_t>(random.below(at->size())));
        if (random.one_in(6)) {
            at->erase(member);
            return;
        }
        if (at->is_object() && random.one_in(20)) (*at)["unknown"] = kValues[random.below(kValues.size())];
        at = &*member;
        if (random.one_in(3)) break;
    }
    *at = random.one_in(8) ? json::array({*at, *at}) : kValues[random.below(kValues.size())];
}

}  // namespace

TEST_CASE("schema: what is told in microseconds is what the schema's reader says, of good and of broken objects",
          "[control]") {
    sekisho::test::Random random("schema");
    std::size_t good = 0, bad = 0;
    for (const char* example : {"three-operators.json", "protected.json", "port-block.json"}) {
        const Draft draft(example);
        for (const auto& [kind, objects] : draft.json().items()) {
            const json all = kind == "hub" ? json::array({objects}) : objects;
            for (const json& object : all) {
                CHECK(surely_fits(kind, object));
                for (int i = 0; i < 60; ++i) {
                    json changed = object;
                    change(changed, random);
                    const bool fits = fits_schema(kind, changed);
                    ++(fits ? good : bad);
                    INFO(kind << ": " << changed.dump());
                    CHECK(surely_fits(kind, changed) == fits);
                }
            }
        }
    }
    CHECK(good > 100);
    CHECK(bad > 1000);
}

// Documents: what is not JSON, not a document, or said twice; then objects put and erased, and the canonical form.
#include <algorithm>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/document.hpp"
#include "tests/control/policy_draft.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using nlohmann::json;

TEST_CASE("document: what is not JSON is refused with its line and column", "[control]") {
    const Words errors = errors_of_text("{\n  \"hub\": {,\n}");
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], StartsWith("line 2, column 11: syntax error"));
}

TEST_CASE("document: an empty text, half a document and text behind it are refused", "[control]") {
    const std::string whole = Draft().json().dump();
    for (const std::string& text : {std::string(), whole.substr(0, whole.size() / 2), whole + "x", whole + whole}) {
        const Words errors = errors_of_text(text);
        REQUIRE_FALSE(errors.empty());
        CHECK_THAT(errors[0], StartsWith("line 1, column "));
    }
}

TEST_CASE("document: every proper beginning of a document is refused", "[control]") {
    const std::string whole = Draft().json().dump();
    for (std::size_t length = 0; length < whole.size(); length += 7)
        REQUIRE_FALSE(errors_of_text(std::string_view(whole).substr(0, length)).empty());
}

TEST_CASE("document: comments, trailing commas and numbers out of range are not JSON", "[control]") {
    for (const char* text : {"{} // no", "{\"operators\": [],}", "{\"operators\": [1e999]}", "{\"operators\": [NaN]}",
                             "{'hub': 1}", "{\"hub\": 01}"})
        CHECK_FALSE(errors_of_text(text).empty());
}

TEST_CASE("document: text that is not UTF-8 is refused in words that a terminal can show", "[control]") {
    const Words errors = errors_of_text("{\"hub\": \"\x1b[2J\xff\xfe\"}");
    REQUIRE(errors.size() == 1);
    CHECK(std::all_of(errors[0].begin(), errors[0].end(), [](char letter) { return letter >= 0x20; }));
}

TEST_CASE("document: what is not an object is refused with the members that it should have", "[control]") {
    for (const char* text : {"[]", "5", "\"hub\"", "null"}) {
        const Words errors = errors_of_text(text);
        REQUIRE(errors.size() == 1);
        CHECK_THAT(errors[0], Contains("JSON object with the members hub, operators, allocations, attachments"));
    }
}

TEST_CASE("document: an unknown kind is refused with the kinds that there are", "[control]") {
    const Words errors = Draft().set("/lines", json::array()).errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Contains("\"lines\" is not a kind of object; the kinds are hub, operators"));
}

TEST_CASE("document: without a hub it is refused", "[control]") {
    CHECK(Draft().remove("/hub").errors() ==
          Words{"\"hub\" is missing: the rules_version and the pools of the document"});
}

TEST_CASE("document: a kind that is not an array is refused", "[control]") {
    CHECK(Draft().set("/gates", json::object()).errors() == Words{"gates: expected an array of objects"});
    CHECK(Draft().set("/gates", "none").errors() == Words{"gates: expected an array of objects"});
}

TEST_CASE("document: a hub that is an array is refused", "[control]") {
    const Words errors = Draft().set("/hub", json::array({json::object()})).errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], StartsWith("hub: expected an object, not an array"));
}

TEST_CASE("document: a key given twice is refused with its place", "[control]") {
    CHECK(errors_of_text(R"({"hub": {}, "hub": {}})") == Words{"the key \"hub\" is given twice"});
    CHECK(errors_of_text(R"({"institutions": [{}, {"id": "sato", "links": [{"cpe": "a", "cpe": "b"}]}]})").back() ==
          "institutions[1] \"sato\" .links[0]: the key \"cpe\" is given twice");
}

TEST_CASE("document: an id given twice is refused, and said where", "[control]") {
    const Draft draft;
    CHECK(Draft(draft).set("/operators/-", draft.at("/operators/0")).errors() ==
          Words{"operators[3] \"kita\": another one before it has the same name"});
}

TEST_CASE("document: a route given twice is refused, however its prefix is written", "[control]") {
    const Draft draft;
    json again = draft.at("/routes/1");
    again["prefix"] = "FD00:0:0:1:0::/64";
    CHECK(Draft(draft).set("/routes/-", again).errors() ==
          Words{"routes[7] \"kita FD00:0:0:1:0::/64\": another one before it has the same name"});
}

TEST_CASE("document: nesting deeper than the limit is refused and not followed", "[control]") {
    const std::size_t levels = 1'000'000;
    const Words errors = errors_of_text("{\"gates\": " + std::string(levels, '[') + std::string(levels, ']') + "}");
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Contains("nested deeper than 32 levels"));
}

TEST_CASE("document: an object that is too large is refused", "[control]") {
    json agreement = Draft().at("/agreements/0");
    for (int list = 0; list < 2; ++list)
        for (int i = 0; i < 4096; ++i)
            agreement[list == 0 ? "clients" : "services"]["institutions"].push_back(std::string(60, 'a') +
                                                                                    std::to_string(i % 1000));
    Document document;
    CHECK(document.put("agreements", agreement));  // 500 KiB
    agreement["clients"]["operators"] = agreement["clients"]["institutions"];
    CHECK(document.put("agreements", agreement));
    agreement["clients"]["prefixes"] =
        json(std::vector<std::string>(4096, "2001:db8:1111:2222:3333:4444:5555:6666/128"));
    agreement["services"]["prefixes"] = agreement["clients"]["prefixes"];
    const auto put = document.put("agreements", agreement);
    REQUIRE_FALSE(put);
    CHECK(put.error().code == ErrorCode::limit);
    CHECK_THAT(put.error().words, Contains("agreements \"kita-eligibility\": has "));
}

TEST_CASE("document: errors are bounded, and the rest is counted", "[control]") {
    Draft draft;
    draft.set("/gates", json(std::vector<json>(250, json{{"id", 1}, {"target", "node"}, {"reason", "emergency"}})));
    const Words errors = draft.errors();
    REQUIRE(errors.size() == Document::kMaxErrors + 1);
    CHECK(errors.back() == "and 150 more errors");
}

TEST_CASE("document: every error of a document is reported, not the first alone", "[control]") {
    const Words errors = Draft()
                             .set("/institutions/0/kind", "castle")
                             .set("/institutions/1/prefixes/0", "100.65.1.1/24")
                             .set("/attachments/2/mac", "02:00:00:00:03:0g")
                             .errors();
    REQUIRE(errors.size() == 3);
    CHECK_THAT(errors[0], StartsWith("attachments[2] \"chuo-1\" .mac: \"02:00:00:00:03:0g\" is not a MAC address"));
    CHECK_THAT(errors[1], StartsWith("institutions[0] \"sato-hospital\" .kind: \"castle\" is not one of hospital, "));
    CHECK_THAT(errors[2],
               StartsWith("institutions[1] \"tanaka-clinic\" .prefixes[0]: \"100.65.1.1/24\" has host bits"));
}

TEST_CASE("document: put refuses what parse would, and changes nothing", "[control]") {
    Document document = Draft().document();
    const Document before = document;
    json op = Draft().at("/operators/0");
    op["name"] = 5;
    const auto put = document.put("operators", op);
    REQUIRE_FALSE(put);
    CHECK(put.error().words == "operators \"kita\" .name: expected a string, not a number: Its name, for people.");
    CHECK_FALSE(document.put("operator", op));
    CHECK_FALSE(document.put("operators", json()));
    CHECK_FALSE(document.put("operators", json::array({op})));
    CHECK(document == before);
}

TEST_CASE("document: put refuses a string that is not UTF-8", "[control]") {
    json op = Draft().at("/operators/0");
    op["name"] = "\xff";
    Document document;
    CHECK_FALSE(document.put("operators", op));
    CHECK(document.size() == 0);
}

TEST_CASE("document: erasing what is not there is refused by name", "[control]") {
    Document document = Draft().document();
    const auto erased = document.erase("institutions", "nobody");
    REQUIRE_FALSE(erased);
    CHECK(erased.error().code == ErrorCode::not_found);
    CHECK(erased.error().words == "institutions \"nobody\": there is none to erase");
    CHECK_FALSE(document.erase("castles", "nobody"));
}

TEST_CASE("document: a copy is changed and the original is not", "[control]") {
    const Document original = Draft().document();
    Document copy = original;
    json op = Draft().at("/operators/0");
    op["name"] = "Kita";
    REQUIRE(copy.put("operators", op));
    REQUIRE(copy.erase("routes", "minami 10.1.255.0/24"));
    REQUIRE(copy.erase("hub", ""));
    CHECK(std::get<Operator>(original.find(Kind::operators, "kita")->value).name == "Kita Medical Network");
    CHECK(std::get<Operator>(copy.find(Kind::operators, "kita")->value).name == "Kita");
    CHECK(original.find(Kind::routes, "minami 10.1.255.0/24") != nullptr);
    CHECK(copy.find(Kind::routes, "minami 10.1.255.0/24") == nullptr);
    CHECK(original.size() == copy.size() + 2);
    CHECK_FALSE(original == copy);
}

TEST_CASE("document: its text is canonical: equal for equal documents, and read back as it was", "[control]") {
    const Document document = Draft().document();
    json shuffled = Draft().json();
    std::reverse(shuffled["institutions"].begin(), shuffled["institutions"].end());
    const auto again = Document::parse(shuffled.dump(4));
    REQUIRE(again);
    CHECK(*again == document);
    CHECK(again->text() == document.text());
    const auto back = Document::parse(document.text());
    REQUIRE(back);
    CHECK(*back == document);
    CHECK(json::parse(document.text()) == json::parse(document.to_json().dump()));
    CHECK(json::parse(document.text())["hub"] == Draft().json()["hub"]);
}

TEST_CASE("document: an empty one has a text too", "[control]") {
    CHECK(json::parse(Document().text()) == json::object());
    CHECK(Document().to_json().dump() == "{}");
}

TEST_CASE("document: the policy has every object of it, understood", "[control]") {
    const Policy policy = Draft().policy();
    CHECK(policy.rules_version == "2026-04");
    CHECK(policy.hub_pools.size() == 2);
    CHECK(policy.operators.size() == 3);
    CHECK(policy.operators.at("kita").assessment.standard == "ISO/IEC 27001:2022");
    const Attachment& kita = policy.attachments.at("kita-1");
    CHECK(kita.vlan == 101);
    CHECK(kita.mtu == 1500);
    CHECK(kita.session_management == SessionManagement::operator_);
    CHECK(kita.ipv4->text() == "192.0.2.1");
    CHECK(kita.subnet4.text() == "192.0.2.0/30");
    CHECK(kita.subnet6.text() == "2001:db8:0:101::/64");
    CHECK(kita.link_local.text() == "fe80::ff:fe00:101");  // of 02:00:00:00:01:01 (RFC 4291, appendix A)
    CHECK(policy.attachments.at("chuo-1").link_local.text() == "fe80::3:1");
    CHECK(policy.attachments.at("chuo-1").designation == "designation 2026-12, article 2");
    const Institution& tanaka = policy.institutions.at("tanaka-clinic");
    CHECK(tanaka.kind == InstitutionKind::care_provider);
    CHECK(tanaka.links.at(0).method == LinkMethod::other);
    CHECK(tanaka.links.at(0).guideline == "guideline 6.0, appendix B");
    CHECK(policy.translations.at("minami-v4").hub_prefix.text() == "100.65.0.0/16");
    const Agreement& agreement = policy.agreements.at("kita-tanaka");
    CHECK(agreement.ports == std::vector<PortRange>{{443, 443}, {5201, 5210}});
    CHECK(agreement.state == AgreementState::stateless);
    CHECK(policy.agreements.at("kita-eligibility").client_operators == std::vector<std::string>{"kita"});
    CHECK(policy.routes.at("minami 10.1.255.0/24").blackhole);
    CHECK(policy.routes.at("kita fd00:0:0:1::/64").nexthops.at(0).gateway->text() == "fe80::1");
    const Gate& gate = policy.gates.at("tanaka-move");
    CHECK(gate.target == GateTarget::institution);
    CHECK(gate.until == "2026-12-02T05:00:00+09:00");
}

TEST_CASE("document: names of people's text may be Japanese", "[control]") {
    Document document;
    json op = Draft().at("/operators/0");
    op["name"] = "北医療ネットワーク";
    REQUIRE(document.put("operators", op));
    CHECK(std::get<Operator>(document.find(Kind::operators, "kita")->value).name == "北医療ネットワーク");
    const auto again = Document::parse(Draft().set("/operators/0", op).json().dump());
    REQUIRE(again);
    CHECK_THAT(again->text(), Contains("北医療ネットワーク"));
}

TEST_CASE("document: a text with random bytes changed is taken or refused in words, never anything worse",
          "[control]") {
    test::Random random("policy documents");
    INFO("SEKISHO_SEED=" << random.seed());
    const std::string whole = Draft().json().dump();
    const std::string letters = "{}[]\",:0123456789.-/abcdefz \\\n\x1b\x80\xff";
    std::size_t taken = 0;
    for (int round = 0; round < (test::kSanitized ? 500 : 2000); ++round) {
        std::string text = whole;
        for (std::size_t change = 0; change <= random.below(3); ++change) {
            const std::size_t at = random.below(text.size());
            switch (random.below(3)) {
                case 0: text[at] = letters[random.below(letters.size())]; break;
                case 1: text.erase(at, 1 + random.below(8)); break;
                default: text.insert(at, text, random.below(text.size()), random.below(40)); break;
            }
        }
        std::vector<Error> errors;
        const auto document = Document::parse(text, errors);
        REQUIRE(document.has_value() == errors.empty());
        if (document) {
            ++taken;
            errors = validate(policy_of(*document));
            REQUIRE(Document::parse(document->text()).value() == *document);
        }
        // Words go into JSON messages and onto terminals.
        for (const Error& error : errors) {
            REQUIRE_NOTHROW(json(error.words).dump());
            for (const char letter : error.words) REQUIRE((letter < 0 || (letter >= 0x20 && letter != 0x7f)));
        }
    }
    CHECK(taken > 0);
}

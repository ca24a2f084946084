// Differences of documents: what changed and what is only written otherwise, for people and for programs.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/diff.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using nlohmann::json;

TEST_CASE("diff: equal documents do not differ, however they were made", "[control]") {
    const Document document = Draft().document();
    CHECK(diff(document, document).empty());
    CHECK(diff(document, Draft().document()).empty());
    CHECK(text_of(diff(document, document)) == "no difference\n");
    CHECK(diff(Document(), Document()).empty());
}

TEST_CASE("diff: a changed field is told with what it was and what it is", "[control]") {
    const Document after = Draft()
                               .set("/institutions/0/links/0/cpe", "sato-ce2")
                               .set("/agreements/1/ports", {443})
                               .set("/attachments/1/vlan", 12)
                               .remove("/agreements/0/until")
                               .document();
    CHECK(text_of(diff(Draft().document(), after)) ==
          "~ attachments \"minami-1\"\n"
          "    vlan: (absent) -> 12\n"
          "~ institutions \"sato-hospital\"\n"
          "    links[0].cpe: \"sato-ce1\" -> \"sato-ce2\"\n"
          "~ agreements \"kita-eligibility\"\n"
          "    until: \"2028-04-01\" -> (absent)\n"
          "~ agreements \"kita-tanaka\"\n"
          "    ports: [443,{\"first\":5201,\"last\":5210}] -> [443]\n"
          "attachments: 0 added, 0 removed, 1 changed\n"
          "institutions: 0 added, 0 removed, 1 changed\n"
          "agreements: 0 added, 0 removed, 2 changed\n");
}

TEST_CASE("diff: added and removed objects are told by kind and id", "[control]") {
    const Document after = Draft().remove("/gates/0").set("/operators/2/id", "higashi").document();
    const DocumentDiff told = diff(Draft().document(), after);
    CHECK(text_of(told) ==
          "- operators \"chuo\"\n"
          "+ operators \"higashi\"\n"
          "- gates \"tanaka-move\"\n"
          "operators: 1 added, 1 removed, 0 changed\n"
          "gates: 0 added, 1 removed, 0 changed\n");
    CHECK(told.counts[static_cast<std::size_t>(Kind::operators)].added == 1);
    CHECK(told.counts[static_cast<std::size_t>(Kind::gates)].removed == 1);
}

TEST_CASE("diff: an element more or less shows the whole array", "[control]") {
    json link = Draft().at("/institutions/0/links/0");
    link["cpe"] = "sato-ce2";
    const DocumentDiff told = diff(Draft().document(), Draft().set("/institutions/0/links/-", link).document());
    REQUIRE(told.changes.size() == 1);
    REQUIRE(told.changes[0].fields.size() == 1);
    CHECK(told.changes[0].fields[0].field == "links");
    CHECK(json::parse(told.changes[0].fields[0].after).size() == 2);
}

TEST_CASE("diff: a stateless agreement that either side could open is said, and others are not", "[control]") {
    const auto notes = [](const char* protocol) {
        Draft draft;
        draft.set("/agreements/2/protocol", protocol);
        if (std::string_view(protocol) == "udp") draft.set("/agreements/2/ports", {53});
        return diff(Document(), draft.document()).notes;
    };
    CHECK(notes("icmp_echo").empty());
    REQUIRE(notes("udp").size() == 1);
    CHECK(notes("udp")[0] ==
          "agreements \"kita-tanaka-echo\": stateless UDP: the service can open towards the client "
          "too, from the agreement's ports");
    REQUIRE(notes("any").size() == 1);
    CHECK_THAT(notes("any")[0], Contains("stateless any: the service can open towards the client too"));
}

TEST_CASE("diff: an agreement that did not change is not noted again", "[control]") {
    Draft draft;
    draft.set("/agreements/2/protocol", "any");
    CHECK(diff(draft.document(), Draft(draft).set("/operators/0/name", "Kita").document()).notes.empty());
}

TEST_CASE("diff: for programs it has values, null where there was none, and what it left out", "[control]") {
    const Document after =
        Draft().set("/attachments/1/vlan", 12).set("/operators/0/name", "Kita").remove("/gates/0").document();
    const json told = json::parse(to_json(diff(Draft().document(), after)).dump());
    CHECK(told["changes"][0] ==
          json{{"kind", "operators"},
               {"id", "kita"},
               {"change", "changed"},
               {"fields", json::array({{{"field", "name"}, {"before", "Kita Medical Network"}, {"after", "Kita"}}})}});
    CHECK(told["changes"][1]["fields"][0]["before"] == nullptr);
    CHECK(told["changes"][1]["fields"][0]["after"] == 12);
    CHECK(told["changes"][2] == json{{"kind", "gates"}, {"id", "tanaka-move"}, {"change", "removed"}});
    CHECK(told["counts"]["gates"] == json{{"added", 0}, {"removed", 1}, {"changed", 0}});
    CHECK(told["omitted"] == 0);
    const json cut = json::parse(to_json(diff(Draft().document(), after), 1).dump());
    CHECK(cut["changes"].size() == 1);
    CHECK(cut["omitted"] == 2);
    CHECK_THAT(text_of(diff(Draft().document(), after), 1), Contains("... and 2 more objects\n"));
}

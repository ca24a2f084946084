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

TEST_CASE("validate: an agreement may be tracked, by saying so or by saying nothing", "[control]") {
    CHECK(Draft().remove("/agreements/1/state").errors() == Words{});
    CHECK(Draft().set("/agreements/1/state", "tracked").errors() == Words{});
}

// What the schema names and this version cannot do: refused by name.

TEST_CASE("validate: translations between families are refused by name", "[control]") {
    CHECK(
        Draft().set("/translations/0/kind", "family").errors() ==
        Words{"translations \"kita-v4\": kind family is not supported by this version; say \"kind\": \"prefix_map\""});
    CHECK(code_of_first(Draft().set("/translations/0/kind", "family")) == ErrorCode::unsupported);
}

TEST_CASE("validate: an attachment may say that it is no underlay", "[control]") {
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

TEST_CASE("validate: nexthops of a route are all different, and not all of them backup", "[control]") {
    CHECK(Draft().set("/routes/0/nexthops/-", {{"attachment", "kita-1"}, {"gateway", "192.0.2.2"}}).errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[1]: is the same as nexthops[0]"});
    CHECK(Draft().set("/routes/0/nexthops/0/backup", true).errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops: are all backup: at least one must not be"});
    CHECK(Draft().set("/routes/0/nexthops/-", {{"attachment", "kita-1"}, {"backup", true}, {"weight", 3}}).errors() ==
          Words{});
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
        policy.gates[gate.id] = gate;
    }
    const auto errors = validate(policy);
    REQUIRE(errors.size() == kMaxValidationErrors + 1);
    CHECK(errors.back().words == "and 900 more errors");
}

TEST_CASE("validate: an empty policy says only that it has no rules", "[control]") {
    CHECK(validate(Policy()).size() == 1);
}

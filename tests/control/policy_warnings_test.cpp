// Warnings: what is allowed and yet worth a second look, at a time that the test chooses.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/validate.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using nlohmann::json;

namespace {

Words warnings_at(const char* now, const Draft& draft = Draft()) {
    return warnings(draft.policy(), parse_time(now).value());
}

std::string about_kita(const char* now) {
    for (const std::string& words : warnings_at(now))
        if (words.starts_with("operators \"kita\": the certification")) return words.substr(36);
    return "";
}

}  // namespace

TEST_CASE("warnings: the worked example has none in its first year", "[control]") {
    CHECK(warnings_at("2026-05-01") == Words{});
}

TEST_CASE("warnings: a certification is told of 180, 90, 30 and 7 days before its end, and after it", "[control]") {
    CHECK(about_kita("2027-10-03T23:59:59+09:00") == "");
    CHECK(about_kita("2027-10-04") == "ends within 180 days, with 2028-03-31 (clause 5-1)");
    CHECK(about_kita("2028-01-02") == "ends within 90 days, with 2028-03-31 (clause 5-1)");
    CHECK(about_kita("2028-03-02") == "ends within 30 days, with 2028-03-31 (clause 5-1)");
    CHECK(about_kita("2028-03-25") == "ends within 7 days, with 2028-03-31 (clause 5-1)");
    CHECK(about_kita("2028-03-31T23:59:59+09:00") == "ends within 7 days, with 2028-03-31 (clause 5-1)");
    CHECK(about_kita("2028-04-01") == "ended with 2028-03-31 (clause 5-1)");
}

TEST_CASE("warnings: an agreement of a prefix with itself is told", "[control]") {
    const Draft draft = Draft().set("/agreements/2/services", {{"prefixes", {"100.64.1.0/25"}}});
    CHECK(
        warnings_at("2026-05-01", draft) ==
        Words{"agreements \"kita-tanaka-echo\": 100.64.1.0/25 is client and service: packets to itself do not pass the "
              "hub"});
    const Draft same = Draft().set("/agreements/1/services/institutions/-", "sato-hospital");
    CHECK(warnings_at("2026-05-01", same) ==
          Words{"agreements \"kita-tanaka\": institution \"sato-hospital\" is client and service"});
}

TEST_CASE("warnings: an agreement between families lets nothing pass, and is told", "[control]") {
    const Draft draft = Draft()
                            .set("/agreements/2/clients/prefixes", {"100.64.1.0/25"})
                            .set("/agreements/2/services", {{"prefixes", {"2001:db8:8002:1::/64"}}});
    CHECK(
        warnings_at("2026-05-01", draft) ==
        Words{"agreements \"kita-tanaka-echo\": clients and services have no family in common: it lets nothing pass"});
}

TEST_CASE("warnings: an agreement that is over is told", "[control]") {
    const Words all = warnings_at("2028-04-01");
    CHECK(std::find(all.begin(), all.end(), "agreements \"kita-eligibility\": went out of force at 2028-04-01") !=
          all.end());
}

TEST_CASE("warnings: an institution whose attachments do not carry its addresses is told", "[control]") {
    const Draft draft = Draft().set("/attachments/1/family", "ipv4").remove("/attachments/1/ipv6").remove("/routes/4");
    CHECK(warnings_at("2026-05-01", draft) ==
          Words{"institutions \"tanaka-clinic\": none of its attachments carries IPv6, of which it has prefixes"});
}

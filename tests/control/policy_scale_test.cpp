// A full node's document: 100,000 institutions and 10,000 agreements are read, validated and compared in their time.
#include <chrono>
#include <ctime>
#include <string>

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/diff.hpp"
#include "tests/control/policy_draft.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::control;
using nlohmann::json;
using std::chrono::milliseconds;

namespace {

constexpr int kOperators = 256;
constexpr int kAttachmentsEach = 4;
// The sanitizers look for what is wrong with memory, and a tenth of the objects has all of that.
constexpr int kInstitutions = sekisho::test::kAddressSanitizer ? 10'000 : 100'000;
constexpr int kAgreements = sekisho::test::kAddressSanitizer ? 1'000 : 10'000;
constexpr int kPatience = sekisho::test::kAddressSanitizer ? 20 : 1;
constexpr int kEach = (kInstitutions + kOperators - 1) / kOperators;

std::string operator_name(int i) {
    return fmt::format("operator-{:03}", i);
}

std::string big_document() {
    const Draft draft;
    json hub = {{"rules_version", "2026-04"}, {"pools", {"100.64.0.0/10"}}};
    json operators, attachments, translations, institutions, agreements;
    for (int i = 0; i < kOperators; ++i) {
        json op = draft.at("/operators/0");
        op["id"] = operator_name(i);
        operators.push_back(op);
        for (int j = 0; j < kAttachmentsEach; ++j) {
            json attachment = draft.at("/attachments/0");
            attachment["id"] = fmt::format("{}-{}", operator_name(i), j);
            attachment["operator"] = operator_name(i);
            attachment["vlan"] = kAttachmentsEach * i + j;
            attachment["ipv4"] = fmt::format("192.0.2.{}/30", 4 * j + 1);
            attachment["ipv6"] = fmt::format("2001:db8:0:{:x}::1/64", j);
            attachments.push_back(attachment);
        }
        translations.push_back({{"id", operator_name(i)},
                                {"operator", operator_name(i)},
                                {"kind", "prefix_map"},
                                {"operator_prefix", "10.0.0.0/18"},
                                {"hub_prefix", fmt::format("100.{}.{}.0/18", 64 + i / 4, i % 4 * 64)}});
    }
    for (int i = 0; i < kInstitutions; ++i) {
        json institution = draft.at("/institutions/0");
        const int owner = i / kEach;
        const int place = i % kEach * 32;
        institution["id"] = fmt::format("institution-{:06}", i);
        institution["operator"] = operator_name(owner);
        institution["prefixes"] = {
            fmt::format("100.{}.{}.{}/27", 64 + owner / 4, owner % 4 * 64 + place / 256, place % 256)};
        institution["links"][0]["attachments"] = {operator_name(owner) + "-0", operator_name(owner) + "-1"};
        institutions.push_back(institution);
    }
    for (int i = 0; i < kAgreements; ++i)
        agreements.push_back(
            {{"id", fmt::format("agreement-{:05}", i)},
             {"clients", {{"operators", {operator_name(i % kOperators)}}}},
             {"services", {{"institutions", {fmt::format("institution-{:06}", i * 7 % kInstitutions)}}}},
             {"protocol", "tcp"},
             {"ports", {443}},
             {"state", "stateless"}});
    return json{{"hub", hub},
                {"operators", operators},
                {"attachments", attachments},
                {"translations", translations},
                {"institutions", institutions},
                {"agreements", agreements}}
        .dump();
}

// Of this processor's time, so that a machine busy with other things does not fail the test.
template <class Call>
milliseconds time_of(Call call) {
    const std::clock_t start = std::clock();
    call();
    return milliseconds(1000 * (std::clock() - start) / CLOCKS_PER_SEC);
}

}  // namespace

// The limits are several times what a release build needs; under sanitizers they only guard against what is quadratic.
TEST_CASE("scale: a full node's document is read, validated and compared in time", "[control]") {
    const std::string text = big_document();
    std::vector<Error> errors;
    std::optional<Document> document;
    const milliseconds reading = time_of([&] { document = Document::parse(text, errors); });
    for (const Error& error : errors) FAIL_CHECK(error.words);
    REQUIRE(document);
    const Policy policy = policy_of(*document);
    const milliseconds validating = time_of([&] { errors = validate(policy); });
    for (const Error& error : errors) FAIL_CHECK(error.words);

    Document staged;
    const milliseconds staging = time_of([&] {
        staged = *document;
        json op = Draft().at("/operators/0");
        op["id"] = operator_name(0);
        op["name"] = "Renamed";
        REQUIRE(staged.put("operators", op));
    });
    DocumentDiff told;
    const milliseconds comparing = time_of([&] { told = diff(*document, staged); });
    CHECK(told.changes.size() == 1);
    const milliseconds all = time_of([&] { told = diff(Document(), *document); });
    CHECK(told.changes.size() == document->size());
    WARN(text.size() << " bytes: read in " << reading.count() << " ms, validated in " << validating.count()
                     << " ms, one change staged in " << staging.count() << " ms and found in " << comparing.count()
                     << " ms, all found in " << all.count() << " ms");
    CHECK(reading < milliseconds(10'000) * kPatience);
    CHECK(validating < milliseconds(1'000) * kPatience);
    CHECK(staging < milliseconds(20) * kPatience);
    CHECK(comparing < milliseconds(20) * kPatience);
    CHECK(all < milliseconds(500) * kPatience);
}

TEST_CASE("scale: a hundred thousand overlaps are found in time, and bounded", "[control]") {
    Policy policy = Draft().policy();
    const Institution sato = policy.institutions.at("sato-hospital");
    for (int i = 0; i < kInstitutions; ++i) {
        Institution institution = sato;
        institution.id = fmt::format("twin-{:06}", i);
        policy.institutions[institution.id] = institution;
    }
    std::vector<Error> errors;
    const milliseconds time = time_of([&] { errors = validate(policy); });
    CHECK(errors.size() == kMaxValidationErrors + 1);
    CHECK(errors.back().words ==
          fmt::format("and {} more errors", 2 * kInstitutions - static_cast<int>(kMaxValidationErrors)));
    CHECK(time < milliseconds(5'000) * kPatience);
}

// The drop table: one row a reason, and every row fit to be shown.
#include "net/drop_reason.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <catch2/catch.hpp>

using namespace sekisho;

TEST_CASE("drop reasons: every name is unique", "[net]") {
    std::set<std::string_view> names;
    for (const DropReasonText& row : kDropReasons) {
        INFO(row.name);
        CHECK(names.insert(row.name).second);
    }
}

TEST_CASE("drop reasons: every name is lower case words joined by underscores", "[net]") {
    for (const DropReasonText& row : kDropReasons) {
        INFO(row.name);
        CHECK(std::ranges::all_of(row.name,
                                  [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }));
        CHECK(row.name.front() >= 'a');
        CHECK(row.name.back() != '_');
    }
}

TEST_CASE("drop reasons: every sentence is unique, one line, and goes on where \"dropped:\" ends", "[net]") {
    std::set<std::string_view> sentences;
    for (const DropReasonText& row : kDropReasons) {
        INFO(row.name);
        REQUIRE_FALSE(row.sentence.empty());
        CHECK(sentences.insert(row.sentence).second);
        CHECK(row.sentence.find('\n') == std::string_view::npos);
        CHECK(row.sentence.back() != '.');
        CHECK(row.sentence.find('|') == std::string_view::npos);  // it stands in tables
    }
}

TEST_CASE("drop reasons: every rule is a clause, an RFC section or the hub's own", "[net]") {
    for (const DropReasonText& row : kDropReasons) {
        INFO(row.name << ": " << row.rule);
        REQUIRE_FALSE(row.rule.empty());
        const bool clause = row.rule[0] >= '1' && row.rule[0] <= '9' && row.rule.find('-') == 1;
        CHECK((clause || row.rule.starts_with("RFC ") || row.rule == "hub"));
    }
}

TEST_CASE("drop reasons: a name leads to its reason and a reason to its name", "[net]") {
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
        const auto reason = static_cast<DropReason>(i);
        CHECK(drop_reason_named(name_of(reason)) == reason);
    }
    CHECK(drop_reason_named("no_agreement") == DropReason::no_agreement);
    CHECK(name_of(DropReason::source_spoofed) == "source_spoofed");
    CHECK(text_of(DropReason::no_agreement).rule == "1-2");
}

TEST_CASE("drop reasons: a name that is none leads nowhere", "[net]") {
    CHECK_FALSE(drop_reason_named(""));
    CHECK_FALSE(drop_reason_named("no_agreemen"));
    CHECK_FALSE(drop_reason_named("No_Agreement"));
    CHECK_FALSE(drop_reason_named("no_agreement "));
}

TEST_CASE("drop reasons: all fit the byte that carries one", "[net]") {
    STATIC_REQUIRE(sizeof(DropReason) == 1);
    STATIC_REQUIRE(kDropReasonCount <= 256);
    STATIC_REQUIRE(static_cast<std::size_t>(DropReason::stopped) == kDropReasonCount - 1);
}

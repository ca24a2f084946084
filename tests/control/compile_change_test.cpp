// Small changes: what is told of them is what is told of the whole, and generations before do not notice.
#include <catch2/catch.hpp>

#include "tests/control/compile_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;

TEST_CASE("compile: an institution that changes leaves the tables before as they were", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    const Compiled before = compile(compiler, policy);
    CHECK_FALSE(before.report.from_last);
    const Question old{"kita-line", address("10.1.1.7"), address("100.65.1.9")};
    const Answer answer = look_up(compiler, *before.tables, old);
    CHECK(answer.passes);

    policy.institutions["kita-clinic"].prefixes = {prefix("100.64.9.0/24"), prefix("2001:db8:64:1::/64")};
    add_institution(policy, "kita-pharmacy", "kita", {"100.64.1.0/24"}, {"kita-line"});
    const Compiled after = compile(compiler, policy);
    CHECK(after.report.from_last);
    CHECK(after.report.who_rows == before.report.who_rows + 1);
    CHECK(look_up(compiler, *before.tables, old) == answer);
    const Answer now = look_up(compiler, *after.tables, old);
    CHECK(now.source_institution == "kita-pharmacy");
    CHECK(now == decide(policy, kNow, old));
    const Question fresh{"kita-line", address("10.1.9.7"), address("100.65.1.9")};
    CHECK(look_up(compiler, *after.tables, fresh).source_institution == "kita-clinic");
    CHECK(look_up(compiler, *before.tables, fresh).source_institution.empty());

    // Back to the beginning, and what only the record has: no row is made anew.
    policy.institutions.erase("kita-pharmacy");
    policy.institutions["kita-clinic"].kind = InstitutionKind::pharmacy;
    const Compiled last = compile(compiler, policy);
    CHECK(last.report.from_last);
    CHECK(last.tables->ipv4.who_rows.size() == after.tables->ipv4.who_rows.size());
    CHECK(last.report.who_rows == before.report.who_rows);
}

TEST_CASE("compile: a mistake in a small change is told as in a large one, and the next starts from the last good one",
          "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    compile(compiler, policy);
    Policy broken = policy;
    add_institution(broken, "other", "kita", {broken.institutions.at("kita-clinic").prefixes[0].text()}, {"kita-line"});
    const auto refused = compiler.compile(broken, 2, kNow);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().words.find("\"other\"") != std::string::npos);
    add_gate(policy, "closed", GateTarget::institution, "kita-clinic");
    const Compiled closed = compile(compiler, policy);
    CHECK(closed.report.from_last);
    const Question question{"kita-line", address("10.1.1.7"), address("100.65.1.9")};
    CHECK(look_up(compiler, *closed.tables, question).source_closed);
    CHECK(look_up(compiler, *closed.tables, question) == decide(policy, kNow, question));
}

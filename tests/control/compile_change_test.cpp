// Small changes: what is told of them is what is told of the whole, and generations before do not notice.
#include <algorithm>

#include <catch2/catch.hpp>
#include <fmt/format.h>

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

TEST_CASE("compile: small changes for ever do not make the rows grow", "[compile]") {
    Compiler compiler(ports());
    Policy policy = two_operators();
    std::size_t most = 0;
    int from_last = 0;
    for (int step = 0; step < 200; ++step) {
        for (int i = 0; i < 60; ++i) {  // all of them move
            const std::string name = fmt::format("office-{}", i);
            policy.institutions.erase(name);
            add_institution(policy, name, "kita", {fmt::format("100.64.{}.0/26", 10 + (step + i) % 100)},
                            {"kita-line"});
        }
        const Compiled compiled = compile(compiler, policy);
        from_last += compiled.report.from_last ? 1 : 0;
        most = std::max(most, compiled.tables->ipv4.who_rows.size());
    }
    CHECK(from_last > 100);
    CHECK(most < 4000);  // some 60 at once, room for 1,024 beside them, and holes
}

TEST_CASE("compile: an agreement of a whole operator changes cells and not one row", "[compile]") {
    Policy policy = two_operators();
    add_institution(policy, "kita-pharmacy", "kita", {"100.64.2.0/24"}, {"kita-line"});
    Compiler compiler(ports());
    const Compiled before = compile(compiler, policy);
    const Question question{"kita-line", address("10.1.2.7"), address("100.65.1.9"), 6, 40000, 8443};
    const Answer closed = look_up(compiler, *before.tables, question);
    CHECK_FALSE(closed.passes);

    add_agreement(policy, "portal", Protocol::tcp, {{8443, 8443}}).client_operators = {"kita"};
    policy.agreements["portal"].service_prefixes = {prefix("100.65.1.0/25")};
    const Compiled after = compile(compiler, policy);
    CHECK(after.report.from_last);
    // The clinic is cut in two, a half of it named; what kita has stays where it is.
    CHECK(after.tables->ipv4.who_rows.size() == before.tables->ipv4.who_rows.size() + 1);
    CHECK(look_up(compiler, *after.tables, question).passes);
    CHECK(look_up(compiler, *after.tables, question) == decide(policy, kNow, question));
    CHECK(look_up(compiler, *before.tables, question) == closed);

    // Somebody comes whose rights are the operator's own; and the agreement goes.
    add_institution(policy, "kita-office", "kita", {"100.64.3.0/24"}, {"kita-line"});
    policy.agreements.erase("portal");
    const Compiled last = compile(compiler, policy);
    CHECK(last.report.from_last);
    CHECK(look_up(compiler, *last.tables, question) == closed);
    const Question office{"kita-line", address("10.1.3.7"), address("100.65.1.9"), 6, 40000, 443};
    CHECK(look_up(compiler, *last.tables, office).passes);
}

TEST_CASE("compile: one of many services of an agreement costs that one", "[compile]") {
    Policy policy = two_operators();
    policy.agreements["records"].service_institutions.clear();
    for (int i = 0; i < 50; ++i) {
        const std::string name = "service-" + std::to_string(i);
        add_institution(policy, name, "minami", {"100.65." + std::to_string(10 + i) + ".0/24"}, {"minami-line"});
        if (i > 0) policy.agreements["records"].service_institutions.push_back(name);
    }
    Compiler compiler(ports());
    const Compiled before = compile(compiler, policy);
    policy.agreements["records"].service_institutions.push_back("service-0");
    const Compiled after = compile(compiler, policy);
    CHECK(after.report.from_last);
    CHECK(after.tables->ipv4.who_rows.size() == before.tables->ipv4.who_rows.size() + 1);
    for (const char* service : {"100.65.10.7", "100.65.11.7"}) {
        const Question question{"kita-line", address("10.1.1.7"), address(service), 6, 40000, 443};
        CHECK(look_up(compiler, *after.tables, question).passes);
        CHECK(look_up(compiler, *after.tables, question) == decide(policy, kNow, question));
    }
}

TEST_CASE("compile: an operator comes, with and without what it has, and goes", "[compile]") {
    const auto equip = [](Policy& policy, const std::string& id, const std::string& net) {
        add_translation(policy, id + "-all", id, "10.1.0.0/16", "100." + net + ".0.0/16");
        add_attachment(policy, id + "-line", id, "192.168." + net + ".0/24");
        add_institution(policy, id + "-clinic", id, {"100." + net + ".1.0/24"}, {id + "-line"});
        policy.agreements["records"].client_institutions.push_back(id + "-clinic");
    };
    Policy policy = two_operators();
    Compiler compiler(ports());
    const Compiled before = compile(compiler, policy);
    add_operator(policy, "chuo");
    const Compiled alone = compile(compiler, policy);
    CHECK(alone.report.from_last);
    CHECK(alone.tables->matrices.size() == before.tables->matrices.size() + 1);

    equip(policy, "chuo", "66");
    const Compiled with = compile(compiler, policy);
    CHECK(with.report.from_last);
    const Question question{"chuo-line", address("10.1.1.7"), address("100.65.1.9")};
    const Answer answer = look_up(compiler, *with.tables, question);
    CHECK(answer.passes);
    CHECK(answer == decide(policy, kNow, question));

    // At once: another one comes with all that it has.
    Policy both = policy;
    add_operator(both, "nishi");
    equip(both, "nishi", "67");
    const Compiled four = compile(compiler, both);
    CHECK(four.report.from_last);
    const Question of_nishi{"nishi-line", address("10.1.1.7"), address("100.65.1.9")};
    CHECK(look_up(compiler, *four.tables, of_nishi).passes);
    CHECK(look_up(compiler, *four.tables, question) == answer);

    // An operator goes when nothing is its own any more; generations before do not notice.
    both.agreements["records"].client_institutions.pop_back();
    both.institutions.erase("nishi-clinic");
    CHECK(compile(compiler, both).report.from_last);
    both.attachments.erase("nishi-line");
    both.translations.erase("nishi-all");
    both.operators.erase("nishi");
    const Compiled gone = compile(compiler, both);
    CHECK(gone.report.from_last);
    CHECK(look_up(compiler, *gone.tables, question) == answer);
    CHECK(look_up(compiler, *four.tables, question) == answer);
}

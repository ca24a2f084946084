// The compiled tables against a naive reading of the policy, over random policies and over random edits of them.
// SEKISHO_TEST_ROUNDS: how many policies are edited.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/control/compile_support.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;

namespace {

// All that the tables say of an attachment but what tunnel_of() does, by names.
std::string line_of(const Compiler& compiler, const dataplane::Tables& tables, const std::string& name) {
    const AttachmentId id = compiler.attachment_id(name).value();
    const dataplane::Attachment& line = tables.attachments.at(id.index());
    const bool is_placed = tables.attachment_on(line.port, line.vlan.index()) == id;
    const auto tap = std::find_if(tables.taps.begin(), tables.taps.end(),
                                  [&](const dataplane::TapSpec& each) { return each.attachment == id; });
    if (tap != tables.taps.end()) REQUIRE(tap->tap == line.tap);
    return fmt::format("port {} vlan {}{}, of {}, MTU {}, {} s, {} {}{}{}, ESP port {}{}{}", line.port.value(),
                       line.vlan.value(), is_placed ? "" : " elsewhere", compiler.vrf_name(line.vrf),
                       std::uint16_t{line.mtu}, line.reachable_time, line.subnet4.text(), line.subnet6.text(),
                       line.serves_ipv4 ? " IPv4" : "", line.serves_ipv6 ? " IPv6" : "", line.esp_port.value(),
                       line.underlay ? ", underlay" : "",
                       tap == tables.taps.end()
                           ? (line.tap == TapId() ? "" : ", a TAP that is none")
                           : fmt::format(", TAP {} in {}, MTU {}", tap->interface, tap->network_namespace, tap->mtu));
}

}  // namespace

TEST_CASE("compile: the tables answer as a naive reading of the policy does", "[compile]") {
    RandomPolicies random("compile, against the oracle");
    const int rounds = sekisho::test::kSanitized ? 50 : 150;
    int passed = 0;
    for (int round = 0; round < rounds; ++round) {
        const Policy policy = random.policy();
        if (policy.attachments.empty()) continue;
        Compiler compiler(ports());
        const Compiled compiled = compile(compiler, policy);
        for (const auto& [name, attachment] : policy.attachments)
            REQUIRE(tunnel_of(compiler, *compiled.tables, name) == tunnel_of(policy, name));
        for (int i = 0; i < 300; ++i) {
            const Question question = random.question(policy);
            const Answer answer = look_up(compiler, *compiled.tables, question);
            const Answer expected = decide(policy, kNow, question);
            if (answer == expected) {
                passed += answer.passes;
                continue;
            }
            INFO("round " << round << ", " << question);
            REQUIRE(answer == expected);
        }
    }
    // The questions must not all be about what is refused anyway.
    CHECK(3 * passed > 10 * rounds);
}

TEST_CASE("compile: editing a policy step by step comes to the same as compiling it afresh", "[compile][steps]") {
    RandomPolicies random("compile, step by step");
    const char* const given = std::getenv("SEKISHO_TEST_ROUNDS");
    const long rounds = given != nullptr ? std::strtol(given, nullptr, 10) : sekisho::test::kSanitized ? 4 : 10;
    int from_last = 0, steps = 0;
    for (long round = 0; round < rounds; ++round) {
        Policy policy = random.policy();
        Compiler compiler(ports());
        std::map<std::string, AttachmentId::Value> attachment_ids;
        std::map<std::string, std::uint32_t> tunnel_ids;
        for (int step = 0; step < 40; ++step) {
            if (step > 0) random.edit(policy);
            // A policy that cannot compile in between must leave no trace.
            if (random.below(4) == 0) {
                Policy broken = policy;
                random.edit(broken);
                add_institution(broken, "zz-nowhere", broken.operators.begin()->first, {"203.0.113.0/24"}, {});
                REQUIRE_FALSE(compiler.compile(broken, 1, kNow));
            }
            const Compiled stepped = compile(compiler, policy);
            from_last += stepped.report.from_last ? 1 : 0;
            ++steps;
            Compiler other(ports());
            const Compiled afresh = compile(other, policy);
            INFO("round " << round << ", step " << step);
            for (const auto& [name, attachment] : policy.attachments) {
                const AttachmentId::Value id = compiler.attachment_id(name).value().value();
                REQUIRE(attachment_ids.try_emplace(name, id).first->second == id);
                REQUIRE(tunnel_of(compiler, *stepped.tables, name) == tunnel_of(policy, name));
                REQUIRE(line_of(compiler, *stepped.tables, name) == line_of(other, *afresh.tables, name));
                if (!attachment.is_tunnel()) continue;
                const std::uint32_t tunnel = stepped.tables->attachments[id].tunnel.value();
                REQUIRE(tunnel_ids.try_emplace(attachment.tunnel, tunnel).first->second == tunnel);
            }
            CHECK(stepped.tables->taps.size() == afresh.tables->taps.size());
            CHECK(stepped.report.who_rows == afresh.report.who_rows);
            CHECK(stepped.report.hub_rows == afresh.report.hub_rows);
            CHECK(stepped.report.where_rows == afresh.report.where_rows);
            CHECK(stepped.report.next_change == afresh.report.next_change);
            if (policy.attachments.empty()) continue;
            for (int i = 0; i < 60; ++i) {
                const Question question = random.question(policy);
                const Answer answer = look_up(compiler, *stepped.tables, question);
                if (answer == look_up(other, *afresh.tables, question) && answer == decide(policy, kNow, question))
                    continue;
                INFO(question);
                REQUIRE(answer == look_up(other, *afresh.tables, question));
                REQUIRE(answer == decide(policy, kNow, question));
            }
        }
    }
    std::cout << "compile, step by step: " << from_last << " of " << steps << " steps from the last tables\n";
    // Both ways must have been gone, often.
    CHECK(from_last > steps / 3);
    CHECK(from_last < steps);
}

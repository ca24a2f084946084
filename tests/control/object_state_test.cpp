// The state of objects by gates and dates, at times that the test chooses.
#include "control/object_state.hpp"

#include <catch2/catch.hpp>

#include "control/calendar.hpp"

using namespace sekisho::control;

namespace {

Policy a_policy() {
    Policy policy;
    policy.operators["kita"] = {};
    policy.attachments["kita-1"].operator_id = "kita";
    policy.institutions["sato"].operator_id = "kita";
    policy.institutions["suzuki"].operator_id = "minami";
    policy.agreements["always"] = {};
    policy.agreements["april"].from = "2026-04-01";
    policy.agreements["april"].until = "2026-05-01T00:00:00+09:00";
    return policy;
}
Gate a_gate(const std::string& id, GateTarget target, const std::string& target_id, const std::string& from = "",
            const std::string& until = "") {
    Gate gate;
    gate.id = id;
    gate.target = target;
    gate.target_id = target_id;
    gate.from = from;
    gate.until = until;
    return gate;
}
ObjectState state(const Policy& policy, Kind kind, const std::string& id, const std::string& time) {
    const auto now = parse_time(time);
    REQUIRE(now);
    const auto found = StatesAt(policy, *now).of(kind, id);
    REQUIRE(found);
    return *found;
}

}  // namespace

TEST_CASE("object state: without gates everything is open", "[control]") {
    const Policy policy = a_policy();
    CHECK(state(policy, Kind::operators, "kita", "2026-04-01").word == "open");
    CHECK(state(policy, Kind::attachments, "kita-1", "2026-04-01").word == "open");
    CHECK(state(policy, Kind::institutions, "sato", "2026-04-01").word == "open");
}

TEST_CASE("object state: an operator's gate closes its institutions, not its attachments nor others'", "[control]") {
    Policy policy = a_policy();
    policy.gates["g"] = a_gate("g", GateTarget::operator_, "kita");
    CHECK(state(policy, Kind::operators, "kita", "2026-04-01").closed_by == std::vector<std::string>{"g"});
    CHECK(state(policy, Kind::institutions, "sato", "2026-04-01").word == "closed");
    CHECK(state(policy, Kind::institutions, "suzuki", "2026-04-01").word == "open");
    CHECK(state(policy, Kind::attachments, "kita-1", "2026-04-01").word == "open");
}

TEST_CASE("object state: every gate that closes an object is named, by id", "[control]") {
    Policy policy = a_policy();
    policy.gates["a"] = a_gate("a", GateTarget::institution, "sato");
    policy.gates["n"] = a_gate("n", GateTarget::node, "");
    policy.gates["x"] = a_gate("x", GateTarget::institution, "suzuki");
    CHECK(state(policy, Kind::institutions, "sato", "2026-04-01").closed_by == std::vector<std::string>{"a", "n"});
}

TEST_CASE("object state: from its first moment to just before its last a gate is in force", "[control]") {
    Policy policy = a_policy();
    policy.gates["g"] = a_gate("g", GateTarget::attachment, "kita-1", "2026-04-01T10:00:00+09:00", "2026-04-02");
    CHECK(state(policy, Kind::gates, "g", "2026-04-01T09:59:59+09:00").word == "to_come");
    CHECK(state(policy, Kind::attachments, "kita-1", "2026-04-01T09:59:59+09:00").word == "open");
    CHECK(state(policy, Kind::gates, "g", "2026-04-01T10:00:00+09:00").word == "in_force");
    CHECK(state(policy, Kind::attachments, "kita-1", "2026-04-01T23:59:59+09:00").word == "closed");
    CHECK(state(policy, Kind::gates, "g", "2026-04-02").word == "ended");
    CHECK(state(policy, Kind::attachments, "kita-1", "2026-04-02").word == "open");
}

TEST_CASE("object state: an agreement is in force by its dates, unless a gate closes it", "[control]") {
    Policy policy = a_policy();
    CHECK(state(policy, Kind::agreements, "always", "1999-01-01").word == "in_force");
    CHECK(state(policy, Kind::agreements, "april", "2026-03-31T23:59:59+09:00").word == "to_come");
    CHECK(state(policy, Kind::agreements, "april", "2026-04-01").word == "in_force");
    CHECK(state(policy, Kind::agreements, "april", "2026-05-01").word == "ended");
    policy.gates["g"] = a_gate("g", GateTarget::agreement, "april");
    CHECK(state(policy, Kind::agreements, "april", "2026-04-15").word == "closed");
    CHECK(state(policy, Kind::agreements, "always", "2026-04-15").word == "in_force");
}

TEST_CASE("object state: routes and translations have none", "[control]") {
    const Policy policy = a_policy();
    CHECK_FALSE(StatesAt(policy, {}).of(Kind::routes, "kita 10.0.0.0/8"));
    CHECK_FALSE(StatesAt(policy, {}).of(Kind::institutions, "nobody"));
}

TEST_CASE("object state: an allocation is in use, held down after its release, and then free", "[control]") {
    Policy policy = a_policy();
    policy.hold_down_days = 90;
    policy.allocations["used"] = {};
    policy.allocations["given-back"].released = "2026-06-01";
    CHECK(state(policy, Kind::allocations, "used", "2027-06-01").word == "allocated");
    CHECK(state(policy, Kind::allocations, "given-back", "2026-06-01").word == "held");
    CHECK(state(policy, Kind::allocations, "given-back", "2026-08-29T23:59:59+09:00").word == "held");
    CHECK(state(policy, Kind::allocations, "given-back", "2026-08-30").word == "free");
    CHECK_FALSE(StatesAt(policy, *parse_time("2026-06-01")).of(Kind::allocations, "none"));
}

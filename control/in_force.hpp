// What of the policy is in force at a time: agreements by their dates and gates, and what the gates close.
//
// A gate closes the node, an operator, an institution, an attachment or an agreement (clauses 5-4, 6-1, 6-2) while its
// time lasts; an agreement counts from `from` up to, not including, `until`. Nothing here limits a rate or writes an
// audit record. Pure; compiler thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/policy.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// Names and objects are the policy's own, by view and by pointer: valid while the policy is.
struct InForce {
    using Names = std::set<std::string_view>;

    std::vector<std::pair<std::string_view, const Agreement*>> agreements;
    bool node_closed = false;
    Names closed_operators;
    Names closed_institutions;
    Names closed_attachments;
    // The earliest time after `now` at which this answer may change.
    std::optional<std::chrono::system_clock::time_point> next_change;
};

// Errors name the gate or the agreement: a time that is none, a gate whose target the policy does not have.
Expected<InForce> in_force(const Policy& policy, std::chrono::system_clock::time_point now);

}  // namespace sekisho::control

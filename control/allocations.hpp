// The plan of hub numbers: which operator has which part, and when what was given back may be another's (clause 2-3).
//
// A policy without allocations has no plan, and nothing here costs it anything. Pure; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "control/findings.hpp"
#include "control/policy.hpp"

namespace sekisho::control {

// When a released allocation has rested; nullopt while it is in use.
std::optional<std::chrono::system_clock::time_point> free_from(const Allocation& allocation,
                                                               std::uint32_t hold_down_days);

// Each inside one pool, of an operator, and nobody's twice; one that was released rests before another operator has
// it. Those in use.
AddressSpace check_allocations(const Policy& policy, const AddressSpace& pools, Findings& findings);

// That a translation's hub prefix is inside one of its operator's, if there is a plan.
void check_allocated(const Policy& policy, const Translation& translation, const AddressSpace& allocations,
                     ObjectFindings& about);

// What of the plan may not change so at this time: numbers in use must be released, and released ones rest, before
// their allocation goes or is another's.
std::vector<Error> check_releases(const Policy& before, const Policy& policy,
                                  std::chrono::system_clock::time_point now);

}  // namespace sekisho::control

// Whether a policy agrees with itself, with the connection rules, and with what this version can do.
//
// Every object has passed the schema by now; here they meet: references, addresses that overlap, dates, and what the
// schema names but no code enforces yet, which is refused by name and never approximated. Ports and limits of one node
// are the compiler's business. Pure; n log n; any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/policy.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

inline constexpr std::size_t kMaxValidationErrors = 100;

// All that is wrong, each error with its object and field: `institutions "sato-clinic" .prefixes[1]: ...`. At most
// kMaxValidationErrors, and then one that says how many more there are. Codes: not_found for a dangling reference,
// unsupported for what this version cannot do, invalid otherwise. Empty: the policy may be compiled.
std::vector<Error> validate(const Policy& policy);

// What is wrong with one gate in this policy, as validate() would say it.
std::vector<Error> check_gate(const Policy& policy, const std::string& id, const Gate& gate);

// What is allowed and yet worth a second look, one sentence each: agreements that cannot matter, certifications that
// end within 180, 90, 30 or 7 days of `now` or have ended (clause 5-1). Bounded likewise.
std::vector<std::string> warnings(const Policy& policy, std::chrono::system_clock::time_point now);

}  // namespace sekisho::control

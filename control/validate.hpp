// Whether a policy agrees with itself, with the connection rules, and with what this version can do.
//
// Every object has passed the schema by now; here they meet: references, addresses that overlap, dates, and what the
// schema names but no code enforces yet, which is refused by name and never approximated. Ports and limits of one node
// are the compiler's business. Pure; n log n, or after a small change what that touches; any thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/policy.hpp"
#include "control/prefix_set.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

inline constexpr std::size_t kMaxValidationErrors = 100;

// By operator, what its institutions have behind port blocks, in its own space; operators without any are not there.
using Behind = std::map<std::string, PrefixSets, std::less<>>;

// What a valid policy leaves behind, so that the next one need not be looked at whole: the hub numbers of its
// institutions, and where those are that have none of their own. Copies are cheap.
struct HubNumbers : PrefixSets {
    Behind behind;
};

// All that is wrong, each error with its object and field: `institutions "sato-clinic" .prefixes[1]: ...`. At most
// kMaxValidationErrors, and then one that says how many more there are. Codes: not_found for a dangling reference,
// unsupported for what this version cannot do, invalid otherwise. Empty: the policy may be compiled.
std::vector<Error> validate(const Policy& policy);
// The same; `numbers` become the policy's, if nothing is wrong.
std::vector<Error> validate(const Policy& policy, HubNumbers& numbers);
// The same of a policy that follows `before`, which was valid and had these numbers. As long as little has changed, it
// costs what that costs: objects that are shared, and lean on nothing that changed, are not looked at again.
std::vector<Error> validate_change(const Policy& before, const Policy& policy, HubNumbers& numbers);

// What is wrong with one gate in this policy, as validate() would say it.
std::vector<Error> check_gate(const Policy& policy, const std::string& id, const Gate& gate);

// What is allowed and yet worth a second look, one sentence each: agreements that cannot matter, certifications that
// end within 180, 90, 30 or 7 days of `now` or have ended (clause 5-1). Bounded likewise.
std::vector<std::string> warnings(const Policy& policy, std::chrono::system_clock::time_point now);
// Those of operators and of whatever is not the same as in `before`; of all attachments, where one of those or of the
// tunnels is not.
std::vector<std::string> warnings_of_change(const Policy& before, const Policy& policy,
                                            std::chrono::system_clock::time_point now);

}  // namespace sekisho::control

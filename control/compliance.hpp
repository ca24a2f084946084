// What an auditor asks of the node's protection: suites, windows and keys in use, and what deserves an explanation.
//
// `show compliance` in its first form, about tunnels alone. Pure; control thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "control/ledger_thread.hpp"
#include "control/policy.hpp"

namespace sekisho::control {

// {"attachments": {"esp", "none", "underlay"}, "suites": {name: tunnels}, "replay_windows": {size: tunnels}, "esn":
// {"on", "off"}, "keys": {"manual", "ike"}, "manual_keys", "findings": [sentences]}.
nlohmann::json compliance(const Policy& policy, ManualKeys manual_keys, const LedgerState& ledger);

}  // namespace sekisho::control

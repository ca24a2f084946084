// What an object of the policy is worth at this moment: open or closed, and by which gates; in force, to come, ended.
//
// For people and `show`; what packets meet was compiled by the same dates (control/in_force.hpp). Pure; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/document.hpp"
#include "control/policy.hpp"

namespace sekisho::control {

struct ObjectState {
    // operators, attachments, institutions: "open" or "closed". agreements, gates: "in_force", "to_come", "ended";
    // an agreement that a gate closes is "closed". allocations: "allocated", "held" (down), "free".
    std::string_view word;
    std::vector<std::string> closed_by;  // gates, by id
};

// "in_force", "to_come" or "ended"; an empty text is no bound.
std::string_view state_by_dates(const std::string& from, const std::string& until,
                                std::chrono::system_clock::time_point now);

// The gates and dates of a policy as of one time; the policy outlives it.
class StatesAt {
  public:
    // `by_hand`: gates in force beside the policy's own.
    StatesAt(const Policy& policy, std::chrono::system_clock::time_point now, std::vector<const Gate*> by_hand = {});

    // nullopt for kinds that have no state: translations and routes.
    std::optional<ObjectState> of(Kind kind, const std::string& id) const;

  private:
    std::string_view by_dates(const std::string& from, const std::string& until) const {
        return state_by_dates(from, until, now_);
    }
    // Closed by the gates in force of these targets.
    ObjectState by_gates(std::string_view otherwise,
                         const std::vector<std::pair<GateTarget, std::string>>& targets) const;

    const Policy& policy_;
    std::chrono::system_clock::time_point now_;
    std::vector<const Gate*> in_force_;
};

}  // namespace sekisho::control

#include "control/object_state.hpp"

#include <algorithm>
#include <utility>

#include "control/allocations.hpp"
#include "control/calendar.hpp"

namespace sekisho::control {

StatesAt::StatesAt(const Policy& policy, std::chrono::system_clock::time_point now, std::vector<const Gate*> by_hand)
    : policy_(policy), now_(now), in_force_(std::move(by_hand)) {
    for (const auto& [id, gate] : policy.gates)
        if (by_dates(gate.from, gate.until) == "in_force") in_force_.push_back(&gate);
}

std::string_view state_by_dates(const std::string& from, const std::string& until,
                                std::chrono::system_clock::time_point now) {
    const auto begin = parse_time(from);  // the empty text, no bound, is no time either
    const auto end = parse_time(until);
    if (end && *end <= now) return "ended";
    if (begin && now < *begin) return "to_come";
    return "in_force";
}

ObjectState StatesAt::by_gates(std::string_view otherwise,
                               const std::vector<std::pair<GateTarget, std::string>>& targets) const {
    ObjectState state{otherwise, {}};
    for (const Gate* gate : in_force_)
        if (std::find(targets.begin(), targets.end(), std::pair(gate->target, gate->target_id)) != targets.end())
            state.closed_by.push_back(gate->id);
    if (!state.closed_by.empty()) state.word = "closed";
    return state;
}

std::optional<ObjectState> StatesAt::of(Kind kind, const std::string& id) const {
    const std::pair<GateTarget, std::string> node{GateTarget::node, ""};
    switch (kind) {
        case Kind::operators: return by_gates("open", {node, {GateTarget::operator_, id}});
        case Kind::attachments: return by_gates("open", {{GateTarget::attachment, id}});
        case Kind::institutions: {
            const auto institution = policy_.institutions.find(id);
            if (institution == policy_.institutions.end()) return std::nullopt;
            return by_gates(
                "open",
                {node, {GateTarget::operator_, institution->second.operator_id}, {GateTarget::institution, id}});
        }
        case Kind::agreements: {
            const auto agreement = policy_.agreements.find(id);
            if (agreement == policy_.agreements.end()) return std::nullopt;
            const std::string_view dates = by_dates(agreement->second.from, agreement->second.until);
            if (dates != "in_force") return ObjectState{dates, {}};
            return by_gates(dates, {{GateTarget::agreement, id}});
        }
        case Kind::gates: {
            const auto gate = policy_.gates.find(id);
            if (gate == policy_.gates.end()) return std::nullopt;
            return ObjectState{by_dates(gate->second.from, gate->second.until), {}};
        }
        case Kind::allocations: {
            const auto allocation = policy_.allocations.find(id);
            if (allocation == policy_.allocations.end()) return std::nullopt;
            const auto free = free_from(allocation->second, policy_.hold_down_days);
            return ObjectState{!free ? "allocated" : now_ < *free ? "held" : "free", {}};
        }
        case Kind::hub:
        case Kind::tunnels:
        case Kind::translations:
        case Kind::routes: return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace sekisho::control

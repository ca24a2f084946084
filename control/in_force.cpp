// Dates and gates. Compiler thread only.
#include "control/in_force.hpp"

#include "control/calendar.hpp"
#include "control/place.hpp"

namespace sekisho::control {
namespace {

using Time = std::chrono::system_clock::time_point;

class Clock {
  public:
    explicit Clock(Time now) : now_(now) {}

    // Whether `now` lies in [from, until); an empty text is no bound. Notes when that changes.
    Expected<bool> within(const std::string& from, const std::string& until) {
        bool inside = true;
        if (!from.empty()) {
            const auto begin = parse_time(from);
            if (!begin) return begin.error().at("from");
            inside = *begin <= now_;
            note(*begin);
        }
        if (!until.empty()) {
            const auto end = parse_time(until);
            if (!end) return end.error().at("until");
            inside = inside && now_ < *end;
            note(*end);
        }
        return inside;
    }
    std::optional<Time> next_change() const noexcept { return next_change_; }

  private:
    void note(Time boundary) noexcept {
        if (boundary > now_ && (!next_change_ || boundary < *next_change_)) next_change_ = boundary;
    }
    Time now_;
    std::optional<Time> next_change_;
};

template <class Map>
Expected<void> close(const char* what, const Map& objects, const std::string& name, bool closed, InForce::Names& into) {
    const auto target = objects.find(name);
    if (target == objects.end()) return Error{ErrorCode::not_found, std::string("no ") + what + " " + in_quotes(name)};
    if (closed) into.insert(target->first);
    return {};
}

}  // namespace

Expected<InForce> in_force(const Policy& policy, Time now) {
    InForce result;
    InForce::Names closed_agreements;
    Clock clock(now);
    for (const auto& [name, gate] : policy.gates) {
        const auto closed = clock.within(gate.from, gate.until);
        if (!closed) return closed.error().at(place_of("gates", name));
        Expected<void> known;
        switch (gate.target) {
            case GateTarget::node: result.node_closed = result.node_closed || *closed; break;
            case GateTarget::operator_:
                known = close("operator", policy.operators, gate.target_id, *closed, result.closed_operators);
                break;
            case GateTarget::attachment:
                known = close("attachment", policy.attachments, gate.target_id, *closed, result.closed_attachments);
                break;
            case GateTarget::institution:
                known = close("institution", policy.institutions, gate.target_id, *closed, result.closed_institutions);
                break;
            case GateTarget::agreement:
                known = close("agreement", policy.agreements, gate.target_id, *closed, closed_agreements);
                break;
        }
        if (!known) return known.error().at(place_of("gates", name));
    }
    for (const auto& [name, agreement] : policy.agreements) {
        const auto current = clock.within(agreement.from, agreement.until);
        if (!current) return current.error().at(place_of("agreements", name));
        if (*current && !closed_agreements.contains(name)) result.agreements.emplace_back(name, &agreement);
    }
    result.next_change = clock.next_change();
    return result;
}

}  // namespace sekisho::control

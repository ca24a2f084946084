#include "control/allocations.hpp"

#include <algorithm>

#include "control/calendar.hpp"

namespace sekisho::control {

namespace {

using Time = std::chrono::system_clock::time_point;

// Of a date that the reader has passed; the beginning of time for none.
Time time_of(const std::string& date) {
    return parse_time(date).value_or(Time());
}

Claim claim_of(const Allocation& allocation) {
    return {allocation.prefix, "allocations", allocation.id, "prefix", std::nullopt, allocation.operator_id};
}

// One that was released, and others that were given the same numbers since.
void check_rest(const Policy& policy, const Allocation& released, Findings& findings) {
    for (const auto& [id, other] : policy.allocations) {
        if (!other.released.empty() || !other.prefix.overlaps(released.prefix)) continue;
        const bool same_operator = other.operator_id == released.operator_id;
        const Time earliest = same_operator ? time_of(released.released) : *free_from(released, policy.hold_down_days);
        if (!other.from.empty() && time_of(other.from) >= earliest) continue;
        findings.add(ErrorCode::invalid, place_of("allocations", id, other.from.empty() ? "from" : "prefix"),
                     other.prefix.text() + " overlaps " + released.prefix.text() + " of " +
                         place_of("allocations", released.id) + ", which " +
                         (same_operator ? "was released on " : "is held down until ") + date_text(earliest) +
                         "; say from when on it is given");
    }
}

// Whether the operator has all of the allocation still: under another name, or as part of more.
bool is_kept(const Policy& policy, const Allocation& allocation) {
    return std::any_of(policy.allocations.begin(), policy.allocations.end(), [&](const auto& one) {
        const Allocation& other = one.second;
        return other.released.empty() && other.operator_id == allocation.operator_id &&
               other.prefix.length() <= allocation.prefix.length() && other.prefix.overlaps(allocation.prefix);
    });
}

}  // namespace

std::optional<Time> free_from(const Allocation& allocation, std::uint32_t hold_down_days) {
    if (allocation.released.empty()) return std::nullopt;
    return time_of(allocation.released) + std::chrono::hours(24) * hold_down_days;
}

AddressSpace check_allocations(const Policy& policy, const AddressSpace& pools, Findings& findings) {
    std::vector<Claim> in_use;
    for (const auto& [id, allocation] : policy.allocations) {
        ObjectFindings about(findings, "allocations", id);
        about.period("from", allocation.from, "released", allocation.released, true);
        if (pools.covering(allocation.prefix) == nullptr)
            about.wrong("prefix", allocation.prefix.text() + " is not inside one of the hub's pools");
        if (!allocation.released.empty()) continue;  // its operator may have gone
        if (!policy.operators.contains(allocation.operator_id))
            about.dangling("operator", "operator", allocation.operator_id);
        in_use.push_back(claim_of(allocation));
    }
    AddressSpace space(std::move(in_use), [&](const Claim& cover, const Claim& claim) {
        findings.add(ErrorCode::invalid, claim.place(),
                     claim.prefix.text() + " overlaps " + cover.prefix.text() + " of " + cover.place());
    });
    for (const auto& [id, allocation] : policy.allocations)
        if (!allocation.released.empty() && space.meeting(allocation.prefix) != nullptr)
            check_rest(policy, allocation, findings);
    return space;
}

void check_allocated(const Policy& policy, const Translation& translation, const AddressSpace& allocations,
                     ObjectFindings& about) {
    if (policy.allocations.empty()) return;
    const IpPrefix& hub = translation.hub_prefix;
    const Claim* has = allocations.covering(hub);
    if (has != nullptr && has->owner == translation.operator_id) return;
    std::string words = hub.text() + " is not inside one allocation of operator " + in_quotes(translation.operator_id);
    if (has == nullptr) has = allocations.meeting(hub);
    if (has != nullptr) {
        words += ": " + place_of("allocations", has->id) + " is " + has->prefix.text() + ", of operator " +
                 in_quotes(has->owner);
    } else {
        for (const auto& [id, allocation] : policy.allocations)
            if (allocation.prefix.overlaps(hub))
                words += ": " + place_of("allocations", id) + " was released on " + allocation.released;
    }
    about.wrong("hub_prefix", words);
}

std::vector<Error> check_releases(const Policy& before, const Policy& policy, Time now) {
    Findings findings;
    const Time today = time_of(date_text(now));
    decltype(policy.allocations)::differences(
        before.allocations, policy.allocations, [&](const Allocation* was, const Allocation* is) {
            if (was == nullptr) return;
            ObjectFindings about(findings, "allocations", was->id);
            const auto free = free_from(*was, before.hold_down_days);
            if (is == nullptr || is->prefix != was->prefix || is->operator_id != was->operator_id) {
                if (is_kept(policy, *was)) return;
                const char* const how = is == nullptr ? "cannot go" : "cannot become another";
                if (!free)
                    about.wrong("released", std::string("is missing: an allocation in use ") + how);
                else if (now < *free)
                    about.wrong("released", was->prefix.text() + " of operator " + in_quotes(was->operator_id) +
                                                " is held down until " + date_text(*free) + ", and " + how + " before");
                return;
            }
            // A date that is over would be a rest that never was.
            const Time earliest = was->released.empty() ? today : std::min(today, time_of(was->released));
            if (!is->released.empty() && is->released != was->released && time_of(is->released) < earliest)
                about.wrong("released", is->released + " is over: it was in use, or released later, until now");
        });
    return findings.take();
}

}  // namespace sekisho::control

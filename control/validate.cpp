// Validation from top to bottom, and what is short: operators, institutions' records, gates. Compiler thread.
#include "control/validate.hpp"

#include "control/calendar.hpp"
#include "control/findings.hpp"
#include "control/policy_reader.hpp"

namespace sekisho::control {

void ObjectFindings::period(std::string_view from_field, const std::string& from, std::string_view until_field,
                            const std::string& until, bool last_day_counts) {
    const auto read = [&](std::string_view field, const std::string& text) {
        auto time = text.empty() ? std::optional<Expected<std::chrono::system_clock::time_point>>() : parse_time(text);
        if (time && !*time) wrong(field, time->error().words);
        return time && *time ? std::optional(**time) : std::nullopt;
    };
    const auto first = read(from_field, from);
    const auto last = read(until_field, until);
    if (!first || !last || *first < *last || (last_day_counts && *first == *last)) return;
    wrong(until_field, in_quotes(until) + " is not after " + std::string(from_field) + ", " + in_quotes(from));
}

void check_operators(const Policy& policy, Findings& findings) {
    std::map<std::string_view, std::string_view> namespaces;
    for (const auto& [id, op] : policy.operators) {
        ObjectFindings about(findings, "operators", id);
        about.period("certification.valid_from", op.certification.valid_from, "certification.valid_until",
                     op.certification.valid_until, true);
        about.period("assessment.valid_from", op.assessment.valid_from, "assessment.valid_until",
                     op.assessment.valid_until, true);
        if (op.certification.expiry_action != ExpiryAction::warn)
            about.unsupported("expiry_action " + std::string(name_of(op.certification.expiry_action)),
                              R"(say "expiry_action": "warn", and close a gate by hand)");
        if (op.network_namespace.empty()) continue;
        const auto [taken, free] = namespaces.try_emplace(op.network_namespace, id);
        if (!free)
            about.wrong("network_namespace", in_quotes(op.network_namespace) + " is that of " +
                                                 place_of("operators", taken->second) + " already");
    }
}

void check_institution(const Policy& policy, const Institution& institution, ObjectFindings& about) {
    if (!policy.operators.contains(institution.operator_id))
        about.dangling("operator", "operator", institution.operator_id);
    for (std::size_t i = 0; i < institution.links.size(); ++i) {
        const Link& link = institution.links[i];
        const std::string field = indexed("links", i);
        if (link.method == LinkMethod::internet_vpn)
            about.unsupported(field + " method internet_vpn, which needs evidence of IKE (clause 4-3),",
                              "no gate of this version could hold it to that");
        if ((link.method == LinkMethod::other) == link.guideline.empty())
            about.wrong(field + ".guideline", link.guideline.empty()
                                                  ? "an other method names the guideline that it follows (clause 4-3)"
                                                  : "only an other method has one (clause 4-3)");
        for (std::size_t j = 0; j < link.attachments.size(); ++j) {
            const std::string place = field + "." + indexed("attachments", j);
            const auto attachment = policy.attachments.find(link.attachments[j]);
            if (attachment == policy.attachments.end())
                about.dangling(place, "attachment", link.attachments[j]);
            else if (attachment->second.operator_id != institution.operator_id)
                about.wrong(place, "attachment " + in_quotes(link.attachments[j]) + " belongs to operator " +
                                       in_quotes(attachment->second.operator_id) + ", not " +
                                       in_quotes(institution.operator_id));
            else if (attachment->second.underlay)
                about.wrong(place, "attachment " + in_quotes(link.attachments[j]) +
                                       " is an underlay, which carries tunnels only");
        }
    }
}

void check_institutions(const Policy& policy, Findings& findings) {
    for (const auto& [id, institution] : policy.institutions) {
        ObjectFindings about(findings, "institutions", id);
        check_institution(policy, institution, about);
    }
}

void check_one_gate(const Policy& policy, const std::string& id, const Gate& gate, Findings& findings) {
    const auto exists = [&] {
        switch (gate.target) {
            case GateTarget::node: return true;
            case GateTarget::operator_: return policy.operators.contains(gate.target_id);
            case GateTarget::attachment: return policy.attachments.contains(gate.target_id);
            case GateTarget::institution: return policy.institutions.contains(gate.target_id);
            case GateTarget::agreement: return policy.agreements.contains(gate.target_id);
        }
        return false;
    };
    ObjectFindings about(findings, "gates", id);
    const std::string target(name_of(gate.target));
    if (gate.target == GateTarget::node && !gate.target_id.empty())
        about.wrong("target_id", "a gate of the node has none, not " + in_quotes(gate.target_id));
    else if (gate.target != GateTarget::node && gate.target_id.empty())
        about.wrong("target_id", "is missing: which " + target + " the gate closes");
    else if (!exists())
        about.dangling("target_id", target, gate.target_id);
    if (gate.reason == GateReason::maintenance && gate.notice.empty())
        about.wrong("notice", "is missing: maintenance needs the notice given before (clause 6-1)");
    if (gate.reason == GateReason::violation && gate.clause.empty())
        about.wrong("clause", "is missing: a violation is of a clause (clause 6-2)");
    if (gate.reason == GateReason::arrears && gate.from.empty() && gate.clause.empty())
        about.wrong("from", "is missing: arrears need a due date, or a clause (clause 6-2)");
    about.period("from", gate.from, "until", gate.until, false);
}

std::vector<Error> check_gate(const Policy& policy, const std::string& id, const Gate& gate) {
    Findings findings;
    check_one_gate(policy, id, gate, findings);
    return findings.take();
}

void check_gates(const Policy& policy, Findings& findings) {
    for (const auto& [id, gate] : policy.gates) check_one_gate(policy, id, gate, findings);
}

std::vector<Error> validate(const Policy& policy, HubNumbers& numbers) {
    Findings findings;
    if (policy.rules_version.empty())
        findings.add(ErrorCode::invalid, "hub .rules_version",
                     "is missing: which connection rules the document is for (clause 1-1)");
    if (auto checked = policy.timers.check(); !checked)
        findings.add(ErrorCode::invalid, "hub .timers", checked.error().words);
    check_operators(policy, findings);
    const HubSpace hub = check_hub_space(policy, findings);
    numbers = check_numbers(policy, hub, findings);
    check_attachments(policy, hub, findings);
    check_tunnels(policy, findings);
    check_institutions(policy, findings);
    check_agreements(policy, numbers, findings);
    check_routes(policy, findings);
    check_underlays(policy, findings);
    check_gates(policy, findings);
    return findings.take();
}

std::vector<Error> validate(const Policy& policy) {
    HubNumbers numbers;
    return validate(policy, numbers);
}

}  // namespace sekisho::control

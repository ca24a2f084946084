// Counted from the policy; sentences where a choice is weaker than the usual one.
#include "control/compliance.hpp"

#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "control/place.hpp"
#include "control/policy_reader.hpp"

namespace sekisho::control {

using nlohmann::json;

json compliance(const Policy& policy, ManualKeys manual_keys, const LedgerState& ledger) {
    std::size_t esp = 0, none = 0, underlays = 0, esn = 0, manual = 0;
    for (const auto& [id, attachment] : policy.attachments)
        ++(attachment.is_tunnel() ? esp : attachment.underlay ? underlays : none);
    std::map<std::string, std::size_t> suites, windows;
    json findings = json::array();
    for (const auto& [id, tunnel] : policy.tunnels) {
        const std::string place = place_of("tunnels", id);
        ++suites[std::string(name_of(tunnel.suite))];
        ++windows[std::to_string(tunnel.replay_window)];
        esn += tunnel.esn ? 1 : 0;
        manual += tunnel.keys == TunnelKeys::manual ? 1 : 0;
        if (!tunnel.esn) findings.push_back(place + ": no ESN: each of its SAs ends with 4,294,967,295 packets");
        if (tunnel.lifetimes.hard_bytes == 0 && tunnel.lifetimes.hard_packets == 0 &&
            tunnel.lifetimes.hard_time.count() == 0)
            findings.push_back(place + ": its SAs have no hard lifetime");
        if (tunnel.marks.ecn == crypto::EcnMode::compatibility)
            findings.push_back(place + ": congestion is not marked through it (ecn compatibility)");
    }
    if (manual_keys == ManualKeys::local_ledger)
        findings.push_back(
            "manual keys rest on this node's own ledger (local_ledger): a machine put back to an earlier day would not "
            "be noticed");
    if (manual != 0 && !ledger.standing)
        findings.push_back("manual keys are refused: " + ledger.standing.error().words);
    if (!ledger.renewal) findings.push_back("reserves of numbers are not extended: " + ledger.renewal.error().words);
    return {{"attachments", {{"esp", esp}, {"none", none}, {"underlay", underlays}}},
            {"suites", suites},
            {"replay_windows", windows},
            {"esn", {{"on", esn}, {"off", policy.tunnels.size() - esn}}},
            {"keys", {{"manual", manual}, {"ike", policy.tunnels.size() - manual}}},
            {"manual_keys", name_of(manual_keys)},
            {"findings", std::move(findings)}};
}

}  // namespace sekisho::control

// Agreements: who may reach whom with what, and whether they exist (clauses 1-2, 2-5). Compiler thread.
#include <algorithm>

#include "control/findings.hpp"
#include "control/policy_reader.hpp"

namespace sekisho::control {

namespace {

template <class Objects>
void check_names(const std::vector<std::string>& names, const Objects& objects, std::string_view field,
                 std::string_view noun, ObjectFindings& about) {
    for (std::size_t i = 0; i < names.size(); ++i)
        if (!objects.contains(names[i])) about.dangling(indexed(field, i), noun, names[i]);
}

void check_prefixes(const std::vector<IpPrefix>& prefixes, const HubNumbers& institutions, std::string_view field,
                    ObjectFindings& about) {
    for (std::size_t i = 0; i < prefixes.size(); ++i)
        if (!institutions.cover(prefixes[i]))
            about.wrong(indexed(field, i),
                        prefixes[i].text() + " is not inside a prefix of one institution, in hub space");
}

void check_ports(const Agreement& agreement, ObjectFindings& about) {
    const bool has_ports = agreement.protocol == Protocol::tcp || agreement.protocol == Protocol::udp;
    const std::string protocol = "protocol " + std::string(name_of(agreement.protocol));
    if (has_ports && agreement.ports.empty())
        about.wrong("ports", "is missing: " + protocol + R"( needs the service's ports; for all of them, say )" +
                                 R"([{"first": 1, "last": 65535}])");
    if (!has_ports && !agreement.ports.empty()) about.wrong("ports", protocol + " has none");
    for (std::size_t i = 0; i < agreement.ports.size(); ++i) {
        const PortRange& range = agreement.ports[i];
        if (range.first > range.last)
            about.wrong(indexed("ports", i), "the first port, " + std::to_string(range.first) +
                                                 ", is after the last, " + std::to_string(range.last));
        else if (range.first == 0)
            about.wrong(indexed("ports", i), "0 is not a port");
    }
}

// Behind a port block only a session tells who a packet is from, or for.
void check_stateless(const Policy& policy, const Agreement& agreement, const Behind& behind, ObjectFindings& about) {
    if (behind.empty()) return;
    const auto refuse = [&](const std::string& who) {
        about.wrong("state", "is stateless, and " + who + ": only tracked agreements work there");
    };
    for (const auto* names : {&agreement.client_institutions, &agreement.service_institutions})
        for (const std::string& id : *names) {
            const auto found = policy.institutions.find(id);
            if (found != policy.institutions.end() && !found->second.operator_prefixes.empty())
                return refuse("institution " + in_quotes(id) + " is behind a port block, by its operator_prefixes");
        }
    for (const std::string& id : agreement.client_operators)
        if (const auto found = behind.find(id); found != behind.end())
            return refuse("operator " + in_quotes(id) + " has " + found->second.front().text() +
                          ", an institution's operator_prefixes, behind a port block");
}

}  // namespace

void check_agreement(const Policy& policy, const Agreement& agreement, const HubNumbers& numbers,
                     ObjectFindings& about) {
    if (agreement.client_operators.empty() && agreement.client_institutions.empty() &&
        agreement.client_prefixes.empty())
        about.wrong("clients", "names nobody: operators, institutions or prefixes");
    if (agreement.service_institutions.empty() && agreement.service_prefixes.empty())
        about.wrong("services", "names nothing: institutions or prefixes");
    check_names(agreement.client_operators, policy.operators, "clients.operators", "operator", about);
    check_names(agreement.client_institutions, policy.institutions, "clients.institutions", "institution", about);
    check_names(agreement.service_institutions, policy.institutions, "services.institutions", "institution", about);
    check_prefixes(agreement.client_prefixes, numbers, "clients.prefixes", about);
    check_prefixes(agreement.service_prefixes, numbers, "services.prefixes", about);
    check_ports(agreement, about);
    if (agreement.state == AgreementState::stateless) check_stateless(policy, agreement, numbers.behind, about);
    about.period("from", agreement.from, "until", agreement.until, false);
}

void check_agreements(const Policy& policy, const HubNumbers& numbers, Findings& findings) {
    for (const auto& [id, agreement] : policy.agreements) {
        ObjectFindings about(findings, "agreements", id);
        check_agreement(policy, agreement, numbers, about);
    }
}

}  // namespace sekisho::control

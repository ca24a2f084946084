// What is allowed and yet worth a second look. Compiler thread.
#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "control/calendar.hpp"
#include "control/place.hpp"
#include "control/tunnels.hpp"
#include "control/validate.hpp"

namespace sekisho::control {

namespace {

using std::chrono::system_clock;

class Warnings {
  public:
    void add(const std::string& place, const std::string& words) {
        if (++count_ <= kMaxValidationErrors) sentences_.push_back(place + ": " + words);
    }
    std::vector<std::string> take() {
        if (count_ > kMaxValidationErrors)
            sentences_.push_back("and " + std::to_string(count_ - kMaxValidationErrors) + " more warnings");
        return std::move(sentences_);
    }

  private:
    std::vector<std::string> sentences_;
    std::size_t count_ = 0;
};

// Clause 5-1: warnings at 180, 90, 30 and 7 days. The last day counts, so the end is the midnight after it.
void warn_of_end(const std::string& place, const char* what, const std::string& valid_until,
                 system_clock::time_point now, Warnings& warnings) {
    const auto last_day = parse_date(valid_until);
    if (!last_day) return;
    const auto end = *last_day + std::chrono::hours(24);
    if (now >= end) return warnings.add(place, std::string(what) + " ended with " + valid_until + " (clause 5-1)");
    for (const int days : {7, 30, 90, 180}) {
        if (now < end - std::chrono::hours(24 * days)) continue;
        return warnings.add(place, std::string(what) + " ends within " + std::to_string(days) + " days, with " +
                                       valid_until + " (clause 5-1)");
    }
}

struct Families {
    bool ipv4 = false;
    bool ipv6 = false;

    void add(const std::vector<IpPrefix>& prefixes) {
        for (const IpPrefix& prefix : prefixes) (prefix.is_ipv4() ? ipv4 : ipv6) = true;
    }
};

void warn_of_agreement(const Policy& policy, const Agreement& agreement, system_clock::time_point now,
                       Warnings& warnings) {
    const std::string place = place_of("agreements", agreement.id);
    const std::set<IpPrefix> service_prefixes(agreement.service_prefixes.begin(), agreement.service_prefixes.end());
    for (const IpPrefix& client : agreement.client_prefixes)
        if (service_prefixes.contains(client))
            warnings.add(place, client.text() + " is client and service: packets to itself do not pass the hub");
    const std::set<std::string_view> services(agreement.service_institutions.begin(),
                                              agreement.service_institutions.end());
    for (const std::string& client : agreement.client_institutions)
        if (services.contains(client))
            warnings.add(place, "institution " + in_quotes(client) + " is client and service");
    if (const auto until = parse_time(agreement.until); until && *until <= now)
        warnings.add(place, "went out of force at " + agreement.until);

    Families clients;
    Families served;
    const auto add = [&](Families& families, const std::vector<std::string>& names) {
        for (const std::string& name : names)
            if (const auto found = policy.institutions.find(name); found != policy.institutions.end()) {
                families.add(found->second.prefixes);
                families.add(found->second.operator_prefixes);
            }
    };
    clients.add(agreement.client_prefixes);
    add(clients, agreement.client_institutions);
    served.add(agreement.service_prefixes);
    add(served, agreement.service_institutions);
    const bool common = (clients.ipv4 && served.ipv4) || (clients.ipv6 && served.ipv6);
    if (agreement.client_operators.empty() && !common)
        warnings.add(place, "clients and services have no family in common: it lets nothing pass");
}

void warn_of_tunnel(const Policy& policy, const Attachment& attachment, Warnings& warnings) {
    const auto tunnel = policy.tunnels.find(attachment.tunnel);
    if (tunnel == policy.tunnels.end()) return;
    const std::string place = place_of("attachments", attachment.id);
    if (const std::uint16_t mtu = mtu_of(policy, attachment); attachment.serves(Family::ipv6) && mtu < 1280)
        warnings.add(place, "its tunnel " + in_quotes(tunnel->first) + " leaves packets of " + std::to_string(mtu) +
                                " bytes, and IPv6 needs 1280 (RFC 8200 section 5)");
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const auto& all = tunnel->second.selectors;
        const bool carried = std::any_of(all.begin(), all.end(),
                                         [&](const crypto::Selector& each) { return each.local.family() == family; });
        if (attachment.serves(family) && !carried)
            warnings.add(place, std::string("no selector of its tunnel ") + in_quotes(tunnel->first) + " is for " +
                                    (family == Family::ipv4 ? "IPv4" : "IPv6") + ", which it serves");
    }
}

void warn_of_institution(const Policy& policy, const Institution& institution, Warnings& warnings) {
    Families own;
    own.add(institution.prefixes);
    own.add(institution.operator_prefixes);
    const auto translates = [&](const auto& each) {
        return each.second.kind == TranslationKind::port_block && each.second.operator_id == institution.operator_id;
    };
    if (!institution.operator_prefixes.empty() &&
        std::none_of(policy.translations.begin(), policy.translations.end(), translates))
        warnings.add(place_of("institutions", institution.id),
                     "its operator has no port block here, so its operator_prefixes reach nothing by this node");
    Families carried;
    for (const Link& link : institution.links)
        for (const std::string& name : link.attachments)
            if (const auto found = policy.attachments.find(name); found != policy.attachments.end()) {
                carried.ipv4 = carried.ipv4 || found->second.serves(Family::ipv4);
                carried.ipv6 = carried.ipv6 || found->second.serves(Family::ipv6);
            }
    if ((own.ipv4 && !carried.ipv4) || (own.ipv6 && !carried.ipv6))
        warnings.add(place_of("institutions", institution.id), std::string("none of its attachments carries ") +
                                                                   (own.ipv4 && !carried.ipv4 ? "IPv4" : "IPv6") +
                                                                   ", of which it has prefixes");
}

void warn_of_operators(const Policy& policy, system_clock::time_point now, Warnings& warnings) {
    for (const auto& [id, op] : policy.operators) {
        warn_of_end(place_of("operators", id), "the certification", op.certification.valid_until, now, warnings);
        warn_of_end(place_of("operators", id), "the assessment", op.assessment.valid_until, now, warnings);
    }
}
void warn_of_attachments(const Policy& policy, Warnings& warnings) {
    for (const auto& [id, attachment] : policy.attachments) warn_of_tunnel(policy, attachment, warnings);
}

}  // namespace

std::vector<std::string> warnings(const Policy& policy, system_clock::time_point now) {
    Warnings warnings;
    warn_of_operators(policy, now, warnings);
    warn_of_attachments(policy, warnings);
    for (const auto& [id, institution] : policy.institutions) warn_of_institution(policy, institution, warnings);
    for (const auto& [id, agreement] : policy.agreements) warn_of_agreement(policy, agreement, now, warnings);
    return warnings.take();
}

std::vector<std::string> warnings_of_change(const Policy& before, const Policy& policy, system_clock::time_point now) {
    Warnings warnings;
    warn_of_operators(policy, now, warnings);
    std::set<std::string_view> tunnels;
    decltype(policy.tunnels)::differences(before.tunnels, policy.tunnels, [&](const Tunnel*, const Tunnel* is) {
        if (is != nullptr) tunnels.insert(is->id);
    });
    std::set<std::string_view> told;
    decltype(policy.attachments)::differences(before.attachments, policy.attachments,
                                              [&](const Attachment*, const Attachment* is) {
                                                  if (is == nullptr) return;
                                                  warn_of_tunnel(policy, *is, warnings);
                                                  told.insert(is->id);
                                              });
    if (!tunnels.empty())
        for (const auto& [id, attachment] : policy.attachments)
            if (tunnels.contains(attachment.tunnel) && !told.contains(id)) warn_of_tunnel(policy, attachment, warnings);
    decltype(policy.institutions)::differences(before.institutions, policy.institutions,
                                               [&](const Institution*, const Institution* is) {
                                                   if (is != nullptr) warn_of_institution(policy, *is, warnings);
                                               });
    decltype(policy.agreements)::differences(before.agreements, policy.agreements,
                                             [&](const Agreement*, const Agreement* is) {
                                                 if (is != nullptr) warn_of_agreement(policy, *is, now, warnings);
                                             });
    return warnings.take();
}

}  // namespace sekisho::control

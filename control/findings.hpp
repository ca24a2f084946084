// What validation found so far, and the rooms of control/validate that find it.
//
// Inner header of control/validate*.cpp: a bounded list of errors, and one function for each part of the policy. One
// thread.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/address_space.hpp"
#include "control/place.hpp"
#include "control/policy.hpp"
#include "control/tunnels.hpp"
#include "control/validate.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

class Findings {
  public:
    void add(ErrorCode code, const std::string& place, std::string words) {
        if (++count_ > kMaxValidationErrors) return;
        errors_.push_back(Error{code, std::move(words)}.at(place));
    }

    bool empty() const noexcept { return count_ == 0; }
    std::vector<Error> take() {
        if (count_ > kMaxValidationErrors)
            errors_.push_back(
                {ErrorCode::invalid, "and " + std::to_string(count_ - kMaxValidationErrors) + " more errors"});
        return std::move(errors_);
    }

  private:
    std::vector<Error> errors_;
    std::size_t count_ = 0;
};

// Findings about one object.
class ObjectFindings {
  public:
    ObjectFindings(Findings& findings, std::string_view kind, std::string_view id)
        : findings_(findings), kind_(kind), id_(id) {}

    void wrong(std::string_view field, std::string words) { add(ErrorCode::invalid, field, std::move(words)); }
    // `institutions "a" .operator: there is no operator "kita"`
    void dangling(std::string_view field, std::string_view noun, std::string_view name) {
        add(ErrorCode::not_found, field, "there is no " + std::string(noun) + " " + in_quotes(name));
    }
    // For what the schema names and this version cannot do: `protection esp is not supported by this version`. The
    // words name it; no field goes before them.
    void unsupported(const std::string& what, const std::string& instead) {
        add(ErrorCode::unsupported, "", what + " is not supported by this version; " + instead);
    }
    // `valid_from` to `valid_until` and the like: both must be times, the first before the second. Either may be "".
    void period(std::string_view from_field, const std::string& from, std::string_view until_field,
                const std::string& until, bool last_day_counts);

  private:
    void add(ErrorCode code, std::string_view field, std::string words) {
        findings_.add(code, place_of(kind_, id_, field), std::move(words));
    }

    Findings& findings_;
    std::string_view kind_;
    std::string_view id_;
};

// The two spaces that several rooms ask.
struct HubSpace {
    AddressSpace pools;
    AddressSpace translations;  // hub prefixes; owner is the operator
};

HubSpace check_hub_space(const Policy& policy, Findings& findings);                       // pools and translations
HubNumbers check_numbers(const Policy& policy, const HubSpace& hub, Findings& findings);  // institutions' prefixes
void check_own_numbers(const Policy& policy, const Institution& institution, const HubSpace& hub,
                       ObjectFindings& about);
// By operator, the sides of its port blocks in its own space.
using BlocksOf = std::map<std::string_view, std::vector<IpPrefix>>;
BlocksOf blocks_of(const Policy& policy);
Behind check_behind(const Policy& policy, Findings& findings);  // what institutions have behind port blocks
void check_own_behind(const BlocksOf& blocks, const Institution& institution, ObjectFindings& about);
void check_port_blocks(const Policy& policy, const Behind& behind, Findings& findings);  // whether they can serve them
void check_operators(const Policy& policy, Findings& findings);
void check_attachments(const Policy& policy, const HubSpace& hub, Findings& findings);
void check_attachment(const Policy& policy, const Attachment& attachment, ObjectFindings& about);        // by itself
void check_kernel_interface(const Policy& policy, const Attachment& attachment, ObjectFindings& about);  // likewise
void check_subnets(const Policy& policy, const HubSpace& hub, const Attachment& attachment, Findings& findings);
// All but their prefixes.
void check_institutions(const Policy& policy, Findings& findings);
void check_institution(const Policy& policy, const Institution& institution, ObjectFindings& about);
void check_agreements(const Policy& policy, const HubNumbers& numbers, Findings& findings);
void check_agreement(const Policy& policy, const Agreement& agreement, const HubNumbers& numbers,
                     ObjectFindings& about);
void check_gates(const Policy& policy, Findings& findings);
void check_routes(const Policy& policy, Findings& findings);
// By operator and prefix, the attachment whose subnet it is.
using Subnets = std::map<std::pair<std::string_view, IpPrefix>, std::string_view>;
Subnets subnets_of(const Policy& policy, std::string_view operator_id);  // "": of all operators
void check_route(const Policy& policy, const Route& route, const Subnets& subnets, ObjectFindings& about);
void check_protection(const Policy& policy, const Attachment& attachment, ObjectFindings& about);  // of an attachment
void check_tunnels(const Policy& policy, Findings& findings);
// By tunnel, the attachments that have it as their path. `ways` has those to its peer.
using TunnelUsers = std::map<std::string_view, std::vector<const Attachment*>>;
void check_tunnel(const Policy& policy, const Tunnel& tunnel, const std::vector<const Attachment*>& users,
                  const PeerWays& ways, ObjectFindings& about);
// Attachments and tunnels that changed, and nothing else. False: everything must be looked at.
bool lines_are_fine(const Policy& before, const Policy& policy, const HubSpace& hub, Findings& findings);
void check_underlays(const Policy& policy, Findings& findings);  // that none carries an institution's packets

}  // namespace sekisho::control

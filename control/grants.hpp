// Agreements in force as grants: who may reach whom on which terms, with names turned into numbers.
//
// Agreements that say the same of the same clients become one grant with all their services, and those that say the
// same of the same services one with all their clients: what is allowed stays exactly what it was, and a thousand
// agreements of one operator cost as much as one. Where the parties' addresses are is control/leaves' business.
// Compiler thread only.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/in_force.hpp"
#include "control/numbering.hpp"
#include "control/port_classes.hpp"
#include "net/prefix.hpp"

namespace sekisho::control {

// One that an agreement names: an operator or institution by its number, or a prefix by its index in Grants::prefixes.
struct Party {
    enum class Kind : std::uint8_t { operator_, institution, prefix };
    Kind kind = Kind::operator_;
    std::uint32_t number = 0;

    friend auto operator<=>(const Party&, const Party&) = default;
};

struct Grant {
    std::vector<Party> clients;                // ascending, all different
    std::vector<Party> services;               // likewise
    std::uint32_t terms = 0;                   // index in Grants::terms
    std::vector<std::string_view> agreements;  // that it stands for
};

struct Grants {
    std::vector<Grant> grants;
    std::vector<Terms> terms;
    std::vector<IpPrefix> prefixes;  // in hub space
    // What each agreement says by itself, ascending by name: the same object says the same in the next generation.
    struct Told {
        const Agreement* agreement = nullptr;
        std::shared_ptr<const Grant> grant;
    };
    std::vector<Told> told;
};

// For errors of size: the agreements of the grants with the greatest weight (by grant), the heaviest first.
std::string heaviest(const Grants& grants, const std::vector<std::uint64_t>& weights);

// Errors name the agreement: a party that does not exist, terms that are none. With those of `before`, which lean on
// the same names, terms, prefixes and grants keep their numbers as far as they can: a grant that has the same terms as
// one before, and the same clients or the same services. What nothing uses any more is left behind: grants of nobody,
// prefixes and terms that no grant names.
Expected<Grants> grants_of(const InForce& in_force, const Numbers& numbers, const Grants* before = nullptr);

}  // namespace sekisho::control

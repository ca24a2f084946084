// Reading and uniting agreements. Compiler thread only.
#include "control/grants.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {
namespace {

using Parties = std::vector<Party>;

void sort_out(Parties& parties) {
    std::sort(parties.begin(), parties.end());
    parties.erase(std::unique(parties.begin(), parties.end()), parties.end());
}

// Equal values numbered in the order of first use.
template <class Value>
class Catalogue {
  public:
    std::uint32_t number_of(const Value& value) {
        const auto [known, fresh] = numbers_.try_emplace(value, static_cast<std::uint32_t>(values_.size()));
        if (fresh) values_.push_back(value);
        return known->second;
    }
    std::vector<Value> take() { return std::move(values_); }

  private:
    std::map<Value, std::uint32_t> numbers_;
    std::vector<Value> values_;
};

Expected<void> add(Parties& parties, Party::Kind kind, const std::vector<std::string>& names,
                   const Numbering::Plan& plan) {
    for (const std::string& name : names) {
        const auto number = plan.number_of(name);
        if (!number) return number.error();
        parties.push_back({kind, *number});
    }
    return {};
}

// Grants with the same terms and the same `shared` parties become one, with all their `others`.
std::vector<Grant> unite(std::vector<Grant> grants, Parties Grant::*shared, Parties Grant::*others) {
    std::map<std::pair<std::uint32_t, Parties>, std::size_t> first;
    std::vector<Grant> result;
    for (Grant& grant : grants) {
        const auto [known, fresh] = first.try_emplace({grant.terms, grant.*shared}, result.size());
        if (fresh) {
            result.push_back(std::move(grant));
            continue;
        }
        Grant& whole = result[known->second];
        (whole.*others).insert((whole.*others).end(), (grant.*others).begin(), (grant.*others).end());
        whole.agreements.insert(whole.agreements.end(), grant.agreements.begin(), grant.agreements.end());
    }
    for (Grant& grant : result) sort_out(grant.*others);
    return result;
}

}  // namespace

std::string heaviest(const Grants& grants, const std::vector<std::uint64_t>& weights) {
    constexpr std::size_t kNamed = 3;
    std::vector<std::size_t> order(grants.grants.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto named = order.begin() + static_cast<std::ptrdiff_t>(std::min(kNamed, order.size()));
    std::partial_sort(order.begin(), named, order.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(weights[b], a) < std::pair(weights[a], b);
    });
    std::string words;
    for (auto at = order.begin(); at != named; ++at) {
        const std::vector<std::string_view>& agreements = grants.grants[*at].agreements;
        words += (words.empty() ? "" : ", ") + in_quotes(agreements.front());
        if (agreements.size() > 1) words += fmt::format(" and {} like it", agreements.size() - 1);
    }
    return words;
}

Expected<Grants> grants_of(const InForce& in_force, const Numbers& numbers) {
    Catalogue<Terms> terms;
    Catalogue<IpPrefix> prefixes;
    std::vector<Grant> grants;
    for (const auto& [name, agreement] : in_force.agreements) {
        const std::string place = place_of("agreements", name);
        const auto its_terms = terms_of(*agreement);
        if (!its_terms) return its_terms.error().at(place);

        Grant grant;
        grant.terms = terms.number_of(*its_terms);
        grant.agreements = {name};
        using Kind = Party::Kind;
        auto found = add(grant.clients, Kind::operator_, agreement->client_operators, numbers.operators);
        if (found) found = add(grant.clients, Kind::institution, agreement->client_institutions, numbers.institutions);
        if (found)
            found = add(grant.services, Kind::institution, agreement->service_institutions, numbers.institutions);
        if (!found) return found.error().at(place);
        for (const IpPrefix& prefix : agreement->client_prefixes)
            grant.clients.push_back({Kind::prefix, prefixes.number_of(prefix)});
        for (const IpPrefix& prefix : agreement->service_prefixes)
            grant.services.push_back({Kind::prefix, prefixes.number_of(prefix)});
        sort_out(grant.clients);
        sort_out(grant.services);
        grants.push_back(std::move(grant));
    }
    grants = unite(std::move(grants), &Grant::clients, &Grant::services);
    grants = unite(std::move(grants), &Grant::services, &Grant::clients);
    return Grants{std::move(grants), terms.take(), prefixes.take()};
}

}  // namespace sekisho::control

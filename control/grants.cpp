// Reading and uniting agreements. Compiler thread only.
#include "control/grants.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_map>
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
    Catalogue() = default;
    explicit Catalogue(const std::vector<Value>& values) {
        for (const Value& value : values) number_of(value);
    }
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

// Which grant has these terms and parties; the parties are looked at where they are.
using Key = std::pair<std::uint32_t, const Parties*>;
struct HashOfKey {
    std::size_t operator()(const Key& key) const noexcept {
        std::uint64_t hash = key.first;
        for (const Party& party : *key.second) {
            hash = (hash ^ (std::uint64_t{party.number} << 8 | static_cast<std::uint8_t>(party.kind))) *
                   0x9e37'79b9'7f4a'7c15ULL;
            hash ^= hash >> 32;
        }
        return hash;
    }
};
struct SameKey {
    bool operator()(const Key& a, const Key& b) const noexcept { return a.first == b.first && *a.second == *b.second; }
};
using Places = std::unordered_map<Key, std::size_t, HashOfKey, SameKey>;

// Grants with the same terms and the same `shared` parties become one, with all their `others`.
std::vector<Grant> unite(std::vector<Grant> grants, Parties Grant::*shared, Parties Grant::*others) {
    Places first(grants.size());
    std::vector<Grant> result;
    result.reserve(grants.size());
    for (Grant& grant : grants) {
        if (const auto known = first.find({grant.terms, &(grant.*shared)}); known != first.end()) {
            Grant& whole = result[known->second];
            (whole.*others).insert((whole.*others).end(), (grant.*others).begin(), (grant.*others).end());
            whole.agreements.insert(whole.agreements.end(), grant.agreements.begin(), grant.agreements.end());
            continue;
        }
        result.push_back(std::move(grant));
        first.emplace(Key{result.back().terms, &(result.back().*shared)}, result.size() - 1);
    }
    for (Grant& grant : result) sort_out(grant.*others);
    return result;
}

// `now` in the places of those `before` that they continue; the others in places that are free, or behind.
std::vector<Grant> keep_places(const std::vector<Grant>& before, std::vector<Grant> now) {
    Places of_clients(before.size()), of_services(before.size());
    for (std::size_t place = 0; place < before.size(); ++place) {
        if (before[place].agreements.empty()) continue;
        of_clients.emplace(Key{before[place].terms, &before[place].clients}, place);
        of_services.emplace(Key{before[place].terms, &before[place].services}, place);
    }
    std::vector<Grant> result(before.size());
    std::vector<bool> taken(before.size());
    const auto settle = [&](Grant& grant, const Places& places, const Parties& parties) {
        const auto found = places.find(Key{grant.terms, &parties});
        if (grant.agreements.empty() || found == places.end() || taken[found->second]) return;
        taken[found->second] = true;
        result[found->second] = std::move(grant);
        grant.agreements.clear();
    };
    for (Grant& grant : now) settle(grant, of_clients, grant.clients);
    for (Grant& grant : now) settle(grant, of_services, grant.services);
    std::size_t next = 0;
    for (Grant& grant : now) {
        if (grant.agreements.empty()) continue;
        while (next < taken.size() && taken[next]) ++next;
        if (next < taken.size())
            result[next++] = std::move(grant);
        else
            result.push_back(std::move(grant));
    }
    return result;
}

}  // namespace

std::string heaviest(const Grants& grants, const std::vector<std::uint64_t>& weights) {
    constexpr std::size_t kNamed = 3;
    std::vector<std::size_t> order(grants.grants.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::erase_if(order, [&](std::size_t grant) { return grants.grants[grant].agreements.empty(); });
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

Expected<Grants> grants_of(const InForce& in_force, const Numbers& numbers, const Grants* before) {
    Catalogue<Terms> terms(before != nullptr ? before->terms : std::vector<Terms>());
    Catalogue<IpPrefix> prefixes(before != nullptr ? before->prefixes : std::vector<IpPrefix>());
    std::vector<Grants::Told> told;
    std::vector<Grant> grants;
    std::size_t at = 0;
    for (const auto& [name, agreement] : in_force.agreements) {
        while (before != nullptr && at < before->told.size() && before->told[at].grant->agreements.front() < name) ++at;
        if (before != nullptr && at < before->told.size() && before->told[at].agreement == agreement) {
            told.push_back(before->told[at]);
            grants.push_back(*told.back().grant);
            continue;
        }
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
        told.push_back({agreement, std::make_shared<const Grant>(grant)});
        grants.push_back(std::move(grant));
    }
    grants = unite(std::move(grants), &Grant::clients, &Grant::services);
    grants = unite(std::move(grants), &Grant::services, &Grant::clients);
    if (before != nullptr) grants = keep_places(before->grants, std::move(grants));
    return Grants{std::move(grants), terms.take(), prefixes.take(), std::move(told)};
}

}  // namespace sekisho::control

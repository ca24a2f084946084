// Comparing sides and marks, before and after. Compiler thread only.
#include "control/rights_change.hpp"

#include <algorithm>
#include <iterator>

namespace sekisho::control {

namespace {

constexpr std::size_t kMostInstitutions = 4096;  // to be cut again; beyond, the whole way takes no longer

Sets::Id set_at(const std::vector<Sets::Id>& sets, std::size_t number) {
    return number < sets.size() ? sets[number] : Sets::kEmpty;
}

using OfSide = std::vector<Sets::Id> Sides::Side::*;

bool is_named(const Sides& sides, OfSide of, std::size_t number) {
    return set_at(sides.client.*of, number) != Sets::kEmpty || set_at(sides.service.*of, number) != Sets::kEmpty;
}

bool differ(const Sides& a, const Sides& b, OfSide of, std::size_t number) {
    return set_at(a.client.*of, number) != set_at(b.client.*of, number) ||
           set_at(a.service.*of, number) != set_at(b.service.*of, number);
}

class Affected {
  public:
    Affected(const Compiler::State::Basis& basis, const Sides& now) : basis_(basis) {
        operators_.resize(basis.numbers.operators.size());
        for (std::size_t i = 0; i < operators_.size(); ++i)
            operators_[i] = differ(basis.sides, now, &Sides::Side::of_operator, i);
        const std::size_t institutions =
            std::max(basis.sides.client.of_institution.size(), now.client.of_institution.size());
        for (std::size_t i = 0; i < institutions; ++i) {
            const OfSide of = &Sides::Side::of_institution;
            const bool by_operator = of_operator(i) && (is_named(basis.sides, of, i) || is_named(now, of, i));
            if (by_operator || differ(basis.sides, now, of, i)) add(i);
        }
    }

    const std::vector<bool>& operators() const noexcept { return operators_; }

    // Those in whose prefixes marks have come, gone or changed; and those with a mark whose operator's rights have.
    template <class Address>
    void add_marked(const Ground<Address>& ground, const Marks<Address>& now, const lpm::FibView<Address>& hub,
                    const dataplane::SharedRows<dataplane::HubRow<Address>>& rows) {
        Marks<Address> moved;
        std::set_symmetric_difference(ground.marks.begin(), ground.marks.end(), now.begin(), now.end(),
                                      std::back_inserter(moved));
        const auto at = [&](const Prefix<Address>& prefix, bool all) {
            const lpm::Row row = hub.find(lpm::TableId{0}, prefix.address());
            if (row == lpm::kNoRow || rows[row].is_pool()) return;
            if (const std::size_t number = rows[row].institution.index(); all || of_operator(number)) add(number);
        };
        const auto each = [&](const Prefix<Address>& mark, bool all) {
            if (ground.taken.covers(mark)) return at(mark, all);
            ground.taken.for_each_inside(mark, [&](const Prefix<Address>& inside) {
                at(inside, all);
                return numbers_.size() <= kMostInstitutions;
            });
        };
        for (const auto& [mark, profile] : moved) each(mark, true);
        if (std::find(operators_.begin(), operators_.end(), true) == operators_.end()) return;
        for (const auto& [mark, profile] : ground.marks) each(mark, false);
        for (const auto& [mark, profile] : now) each(mark, false);
    }

    std::vector<std::uint32_t> take() {
        std::sort(numbers_.begin(), numbers_.end());
        numbers_.erase(std::unique(numbers_.begin(), numbers_.end()), numbers_.end());
        return std::move(numbers_);
    }

  private:
    bool of_operator(std::size_t institution) const {
        const std::uint32_t owner = institution < basis_.owner_of.size() ? basis_.owner_of[institution] : ~0U;
        return owner < operators_.size() && operators_[owner];
    }
    void add(std::size_t institution) { numbers_.push_back(static_cast<std::uint32_t>(institution)); }

    const Compiler::State::Basis& basis_;
    std::vector<bool> operators_;
    std::vector<std::uint32_t> numbers_;
};

}  // namespace

std::vector<Terms> terms_in_use(const Grants& grants) {
    std::vector<bool> used(grants.terms.size());
    for (const Grant& grant : grants.grants)
        if (!grant.agreements.empty()) used[grant.terms] = true;
    std::vector<Terms> terms = grants.terms;
    for (std::size_t i = 0; i < terms.size(); ++i)
        if (!used[i]) terms[i] = Terms();
    return terms;
}

std::optional<RightsChange> rights_change(Compiler::State::Basis& basis, const InForce& force, const Numbers& numbers) {
    auto grants = grants_of(force, numbers, &basis.grants);
    if (!grants) return std::nullopt;
    RightsChange change;
    change.grants = std::move(*grants);
    const std::vector<Terms> terms = terms_in_use(change.grants);
    auto classes = classify(terms);
    if (!classes) return std::nullopt;
    change.classes = std::move(*classes);
    change.tracks = std::any_of(terms.begin(), terms.end(), [](const Terms& each) { return each.tracked; });
    Sets& sets = basis.profiles.sets;
    change.sides = sides_of(change.grants, numbers, sets);
    change.marks4 = marks_of<Ipv4Address>(change.grants, change.sides);
    change.marks6 = marks_of<Ipv6Address>(change.grants, change.sides);

    Affected affected(basis, change.sides);
    affected.add_marked(basis.ground4, change.marks4, basis.tables.ipv4.hub, basis.tables.ipv4.hub_rows);
    affected.add_marked(basis.ground6, change.marks6, basis.tables.ipv6.hub, basis.tables.ipv6.hub_rows);
    for (std::uint32_t vrf = 0; vrf < affected.operators().size(); ++vrf) {
        if (!affected.operators()[vrf]) continue;
        constexpr std::size_t kNobody = ~std::size_t{0};
        const std::uint32_t was = basis.profiles.number_of(profile_of(basis.sides, vrf, kNobody, sets));
        const std::uint32_t is = basis.profiles.number_of(profile_of(change.sides, vrf, kNobody, sets));
        change.renamed[was] = is;
    }
    change.institutions = affected.take();
    if (change.institutions.size() > kMostInstitutions) return std::nullopt;
    return change;
}

}  // namespace sekisho::control

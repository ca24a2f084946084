// How many sessions an owner may have: an institution, and the operator that it belongs to.
//
// So one that is scanned, or scans, takes nobody else's place. Both families count together. A budget is the node's:
// each worker has an equal share of it, and counts by itself.
#pragma once

#include <cstdint>

#include "nat/pages.hpp"
#include "net/ids.hpp"

namespace sekisho::nat {

struct SessionOwner {
    InstitutionId institution;
    OperatorId operator_id;
};

struct SessionLimits {
    std::uint32_t institution = 65'536;
    std::uint32_t operator_ = 524'288;
};

// Worker `worker`'s share of what the node allows. The shares of all workers are the whole, exactly.
constexpr SessionLimits share_of(SessionLimits node, std::size_t workers, std::size_t worker) noexcept {
    const auto share = [&](std::uint32_t whole) {
        return static_cast<std::uint32_t>(whole / workers + (worker < whole % workers ? 1 : 0));
    };
    return {share(node.institution), share(node.operator_)};
}

enum class SessionRefusal : std::uint8_t { none, table_full, institution_full, operator_full };

class SessionBudget {
  public:
    explicit SessionBudget(SessionLimits limits, std::size_t institutions = 524'288, std::size_t operators = 65'536)
        : limits_(limits),
          institution_count_(institutions),
          operator_count_(operators),
          pages_((institutions + operators) * sizeof(std::uint32_t), Pages::Size::small),
          institutions_(reinterpret_cast<std::uint32_t*>(pages_.data())),
          operators_(institutions_ + institutions) {}

    // Takes one, or says who has none left and takes nothing. Who has a number beyond those that are counted has none.
    SessionRefusal take(const SessionOwner& owner) noexcept {
        if (owner.institution.index() >= institution_count_ ||
            institutions_[owner.institution.index()] >= limits_.institution)
            return SessionRefusal::institution_full;
        if (owner.operator_id.index() >= operator_count_ || operators_[owner.operator_id.index()] >= limits_.operator_)
            return SessionRefusal::operator_full;
        ++institutions_[owner.institution.index()];
        ++operators_[owner.operator_id.index()];
        return SessionRefusal::none;
    }
    void give_back(const SessionOwner& owner) noexcept {
        --institutions_[owner.institution.index()];
        --operators_[owner.operator_id.index()];
    }
    std::uint32_t of(InstitutionId institution) const noexcept { return institutions_[institution.index()]; }
    std::uint32_t of(OperatorId operator_id) const noexcept { return operators_[operator_id.index()]; }

    const SessionLimits& limits() const noexcept { return limits_; }
    void set(SessionLimits limits) noexcept { limits_ = limits; }

  private:
    SessionLimits limits_;
    std::size_t institution_count_;
    std::size_t operator_count_;
    Pages pages_;
    std::uint32_t* institutions_;
    std::uint32_t* operators_;
};

}  // namespace sekisho::nat

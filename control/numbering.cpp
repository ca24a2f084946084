// Giving out numbers. Compiler thread only.
#include "control/numbering.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {

Expected<std::uint32_t> Numbering::Plan::number_of(std::string_view name) const {
    const auto at = std::lower_bound(names_.begin(), names_.end(), name);
    if (at == names_.end() || *at != name)
        return Error{ErrorCode::not_found, fmt::format("no {} {}", what_, in_quotes(name))};
    return numbers_[static_cast<std::size_t>(at - names_.begin())];
}

std::vector<std::string> Numbering::Plan::names() const {
    std::vector<std::string> names(size_);
    for (std::size_t i = 0; i < names_.size(); ++i) names[numbers_[i]] = names_[i];
    return names;
}

Expected<Numbering::Plan> Numbering::plan(std::vector<std::string_view> names) const {
    if (names.size() > limit_)
        return Error{ErrorCode::limit,
                     fmt::format("{} {}s: this node has numbers for {}", names.size(), what_, limit_)};
    Plan plan;
    plan.what_ = what_;
    plan.names_ = std::move(names);
    plan.numbers_.resize(plan.names_.size());

    // 1. Names that have a number, whether they stay or return, keep it.
    std::vector<bool> kept(name_of_.size());
    std::vector<std::size_t> fresh;
    std::size_t stayed = 0;
    for (std::size_t i = 0; i < plan.names_.size(); ++i) {
        const auto known = known_.find(plan.names_[i]);
        if (known == known_.end()) {
            fresh.push_back(i);
            continue;
        }
        plan.numbers_[i] = known->second;
        kept[known->second] = true;
        if (in_use_[known->second]) ++stayed;
    }
    // 2. New names get new numbers, and after the last of those what has been free longest.
    std::size_t next = name_of_.size();
    auto left = left_.begin();
    for (const std::size_t i : fresh) {
        if (next < limit_) {
            plan.numbers_[i] = static_cast<std::uint32_t>(next++);
            continue;
        }
        while (left != left_.end() && kept[*left]) ++left;
        if (left == left_.end())
            return Error{ErrorCode::limit,
                         fmt::format("{} {}: all {} numbers are taken; those of the {}s that this generation "
                                     "removes are free in the next one",
                                     what_, in_quotes(plan.names_[i]), limit_, what_)};
        plan.numbers_[i] = *left++;
    }
    for (const std::uint32_t number : plan.numbers_) plan.size_ = std::max<std::size_t>(plan.size_, number + 1);
    const auto used = static_cast<std::size_t>(std::count(in_use_.begin(), in_use_.end(), true));
    plan.changed_ = stayed != plan.names_.size() || stayed != used;
    return plan;
}

void Numbering::adopt(const Plan& plan) {
    if (!plan.changed_) return;
    const std::size_t size = std::max(plan.size_, name_of_.size());
    name_of_.resize(size);
    in_use_.resize(size);
    std::vector<bool> now(size);
    for (const std::uint32_t number : plan.numbers_) now[number] = true;

    std::erase_if(left_, [&](std::uint32_t number) { return now[number]; });
    for (std::uint32_t number = 0; number < size; ++number)
        if (in_use_[number] && !now[number]) left_.push_back(number);
    for (std::size_t i = 0; i < plan.names_.size(); ++i) {
        const std::uint32_t number = plan.numbers_[i];
        if (name_of_[number] != nullptr && *name_of_[number] == plan.names_[i]) continue;
        if (name_of_[number] != nullptr) known_.erase(*name_of_[number]);
        name_of_[number] = &known_.emplace(plan.names_[i], number).first->first;
    }
    in_use_ = std::move(now);
}

}  // namespace sekisho::control

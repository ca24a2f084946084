// Giving out numbers. Compiler thread only.
#include "control/numbering.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {

Expected<std::uint32_t> Numbering::Plan::number_of(std::string_view name) const {
    const NamedPtr named = named_.find(name);
    if (named == nullptr) return Error{ErrorCode::not_found, fmt::format("no {} {}", what_, in_quotes(name))};
    return named->number;
}

std::vector<std::string> Numbering::Plan::names() const {
    std::vector<std::string> names(size_);
    named_.for_each([&](const NamedPtr& named) { names[named->number] = named->id; });
    return names;
}

void Numbering::Plan::name(NumberedNames& names) const {
    if (came_.empty() && left_.empty()) {
        names = {};
        named_.for_each([&](const NamedPtr& named) { names.set(named->number, named); });
    }
    for (const NamedPtr& named : left_) names.set(named->number, nullptr);
    for (const NamedPtr& named : came_) names.set(named->number, named);
}

Expected<Numbering::Plan> Numbering::plan(const std::vector<std::string_view>& names) const {
    if (names.size() > limit_)
        return Error{ErrorCode::limit,
                     fmt::format("{} {}s: this node has numbers for {}", names.size(), what_, limit_)};
    Plan plan;
    plan.what_ = what_;
    std::vector<NamedPtr> named(names.size());

    // 1. Names that have a number, whether they stay or return, keep it.
    std::vector<bool> kept(name_of_.size());
    std::vector<std::size_t> fresh;
    std::size_t stayed = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto known = known_.find(names[i]);
        if (known == known_.end()) {
            fresh.push_back(i);
            continue;
        }
        named[i] = known->second;
        kept[named[i]->number] = true;
        if (in_use_[named[i]->number]) ++stayed;
    }
    // 2. New names get new numbers, and after the last of those what has been free longest.
    std::size_t next = name_of_.size();
    auto left = left_.begin();
    for (const std::size_t i : fresh) {
        std::uint32_t number = 0;
        if (next < limit_) {
            number = static_cast<std::uint32_t>(next++);
        } else {
            while (left != left_.end() && kept[*left]) ++left;
            if (left == left_.end())
                return Error{ErrorCode::limit,
                             fmt::format("{} {}: all {} numbers are taken; those of the {}s that this generation "
                                         "removes are free in the next one",
                                         what_, in_quotes(names[i]), limit_, what_)};
            number = *left++;
        }
        named[i] = std::make_shared<const Named>(Named{std::string(names[i]), number});
    }
    plan.in_order_.reserve(named.size());
    for (NamedPtr& each : named) {
        plan.in_order_.push_back(each->number);
        plan.size_ = std::max<std::size_t>(plan.size_, each->number + 1);
        plan.named_.put(std::move(each));
    }
    const auto used = static_cast<std::size_t>(std::count(in_use_.begin(), in_use_.end(), true));
    plan.changed_ = stayed != names.size() || stayed != used;
    return plan;
}

Expected<Numbering::Plan> Numbering::plan_change(const std::vector<std::string_view>& gone,
                                                 const std::vector<std::string_view>& fresh) const {
    Plan plan = last_;
    plan.in_order_ = {};
    plan.came_.clear();
    plan.left_.clear();
    for (const std::string_view name : gone)
        if (NamedPtr named = plan.named_.erase(name)) plan.left_.push_back(std::move(named));
    std::size_t next = name_of_.size();
    for (const std::string_view name : fresh) {
        const auto known = known_.find(name);
        if (known == known_.end() && next == limit_)
            return Error{ErrorCode::limit, fmt::format("{} {}: no number is left", what_, in_quotes(name))};
        NamedPtr named =
            known != known_.end()
                ? known->second
                : std::make_shared<const Named>(Named{std::string(name), static_cast<std::uint32_t>(next++)});
        plan.size_ = std::max<std::size_t>(plan.size_, named->number + 1);
        plan.came_.push_back(named);
        plan.named_.put(std::move(named));
    }
    if (plan.named_.size() > limit_) return Error{ErrorCode::limit, fmt::format("too many {}s", what_)};
    plan.changed_ = !plan.came_.empty() || !plan.left_.empty();
    return plan;
}

void Numbering::give(const NamedPtr& named) {
    NamedPtr& holder = name_of_[named->number];
    if (holder == named) return;
    if (holder != nullptr) known_.erase(holder->id);
    holder = named;
    known_.emplace(holder->id, holder);
}

void Numbering::adopt(const Plan& plan) {
    if (!plan.changed_) return;
    const std::size_t size = std::max(plan.size_, name_of_.size());
    name_of_.resize(size);
    in_use_.resize(size);
    if (!plan.came_.empty() || !plan.left_.empty()) {
        for (const NamedPtr& named : plan.left_) {
            in_use_[named->number] = false;
            left_.push_back(named->number);
        }
        for (const NamedPtr& named : plan.came_) {
            std::erase(left_, named->number);
            in_use_[named->number] = true;
            give(named);
        }
    } else {
        std::vector<bool> now(size);
        for (const std::uint32_t number : plan.in_order_) now[number] = true;
        std::erase_if(left_, [&](std::uint32_t number) { return now[number]; });
        for (std::uint32_t number = 0; number < size; ++number)
            if (in_use_[number] && !now[number]) left_.push_back(number);
        plan.named_.for_each([&](const NamedPtr& named) { give(named); });
        in_use_ = std::move(now);
    }
    last_ = plan;
}

}  // namespace sekisho::control

// Equal lists kept once: a list of numbers becomes one number, and equal lists become the same.
//
// Interner is the plain form. Sets interns sorted lists as sets and remembers unions, so that a hundred thousand rows
// that inherit the same agreements cost one union. Numbers are given in the order of first use. Compiler thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sekisho::control {

template <class Value, class Allocator = std::allocator<Value>>
class Interner {
  public:
    using List = std::vector<Value, Allocator>;

    Interner() = default;
    explicit Interner(const Allocator& allocator) : numbers_(allocator), lists_(allocator) {}

    std::uint32_t intern(List list) {
        const auto [known, fresh] = numbers_.try_emplace(std::move(list), static_cast<std::uint32_t>(lists_.size()));
        if (fresh) lists_.push_back(&known->first);
        return known->second;
    }
    const List& operator[](std::uint32_t number) const noexcept { return *lists_[number]; }
    std::size_t size() const noexcept { return lists_.size(); }

  private:
    struct Hash {
        std::size_t operator()(const List& list) const noexcept {
            std::uint64_t hash = list.size();
            for (const Value value : list) {
                hash = (hash ^ value) * 0x9e37'79b9'7f4a'7c15ULL;
                hash ^= hash >> 32;
            }
            return hash;
        }
    };
    template <class Other>
    using For = typename std::allocator_traits<Allocator>::template rebind_alloc<Other>;

    std::unordered_map<List, std::uint32_t, Hash, std::equal_to<List>, For<std::pair<const List, std::uint32_t>>>
        numbers_;
    std::vector<const List*, For<const List*>> lists_;  // keys of numbers_, whose nodes do not move
};

class Sets {
  public:
    using Id = std::uint32_t;
    static constexpr Id kEmpty = 0;

    Sets() { sets_.intern({}); }

    // The set of these members: any order, repetitions allowed.
    Id intern(std::vector<std::uint32_t> members) {
        std::sort(members.begin(), members.end());
        members.erase(std::unique(members.begin(), members.end()), members.end());
        return store(std::move(members));
    }
    Id unite(Id a, Id b) {
        if (a == b || b == kEmpty) return a;
        if (a == kEmpty) return b;
        const std::uint64_t pair = std::uint64_t{std::min(a, b)} << 32 | std::max(a, b);
        if (const auto known = unions_.find(pair); known != unions_.end()) return known->second;
        std::vector<std::uint32_t> both;
        both.reserve(sets_[a].size() + sets_[b].size());
        std::set_union(sets_[a].begin(), sets_[a].end(), sets_[b].begin(), sets_[b].end(), std::back_inserter(both));
        return unions_[pair] = store(std::move(both));
    }
    // The members, ascending.
    const std::vector<std::uint32_t>& operator[](Id set) const noexcept { return sets_[set]; }
    std::size_t size() const noexcept { return sets_.size(); }
    // Members of all sets together: what the sets cost.
    std::size_t members() const noexcept { return members_; }

  private:
    Id store(std::vector<std::uint32_t> members) {
        const std::size_t before = sets_.size();
        const std::size_t size = members.size();
        const Id id = sets_.intern(std::move(members));
        if (sets_.size() != before) members_ += size;
        return id;
    }
    Interner<std::uint32_t> sets_;
    std::unordered_map<std::uint64_t, Id> unions_;
    std::size_t members_ = 0;
};

}  // namespace sekisho::control

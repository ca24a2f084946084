// Stable numbers for names: a name keeps its number while the policy has it, and gets it back when it returns.
//
// Counters, neighbours and sessions are kept by number. So a number whose name has left goes to another name only when
// all numbers up to the limit have been given out: the one that has been free longest first, and never in the
// generation that frees it. plan() changes nothing; adopt() does, once the generation is whole. Compiler thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/copy_on_write.hpp"
#include "control/object_map.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct Named {
    std::string id;
    std::uint32_t number = 0;
};
using NamedPtr = std::shared_ptr<const Named>;

// The names behind numbers. Copies are cheap, and may go to another thread.
class NumberedNames {
  public:
    const Named* find(std::size_t number) const {
        return number < size_ ? (*chunks_[number / kChunk])[number % kChunk].get() : nullptr;
    }
    std::size_t size() const noexcept { return size_; }
    void set(std::size_t number, NamedPtr named) {
        for (; size_ <= number; size_ = chunks_.size() * kChunk) chunks_.emplace_back(Chunk(kChunk));
        chunks_[number / kChunk].own()[number % kChunk] = std::move(named);
    }

  private:
    static constexpr std::size_t kChunk = 512;
    using Chunk = std::vector<NamedPtr>;
    std::vector<CopyOnWrite<Chunk>> chunks_;
    std::size_t size_ = 0;
};

class Numbering {
  public:
    // The numbers of one generation. Copies are cheap.
    class Plan {
      public:
        // Error not_found: no operator "kita".
        Expected<std::uint32_t> number_of(std::string_view name) const;
        // The number of the i-th name, in the order that plan() was given. Of what plan() gave only, until settle().
        std::uint32_t operator[](std::size_t i) const noexcept { return in_order_[i]; }
        // More than the highest number in use: how long a vector by number must be.
        std::size_t size() const noexcept { return size_; }
        // False when these are the names and numbers of the last generation that was adopted.
        bool changed() const noexcept { return changed_; }
        // The names by number; empty text for a number that is not in use.
        std::vector<std::string> names() const;
        // Makes the names of the generation before those of this one.
        void name(NumberedNames& names) const;
        // It is the last generation now: what another one differs in begins from nothing, and the order is over.
        void settle() {
            in_order_ = {};
            changed_ = false;
            came_ = left_ = {};
        }

      private:
        friend class Numbering;
        std::string what_;
        ObjectMap<Named> named_;
        std::vector<std::uint32_t> in_order_;
        std::size_t size_ = 0;
        bool changed_ = false;
        std::vector<NamedPtr> came_, left_;  // of plan_change()
    };

    // `what` names one thing in errors ("operator"); numbers are below `limit`.
    Numbering(std::string what, std::size_t limit) : what_(std::move(what)), limit_(limit) {}

    // Numbers for exactly these names, which ascend and are all different. Error limit: too many.
    Expected<Plan> plan(const std::vector<std::string_view>& names) const;
    // Numbers for those of the last generation but for `gone`, and `fresh`, which it has not; in the time that these
    // take. Error limit: numbers would have to be given again, which plan() does.
    Expected<Plan> plan_change(const std::vector<std::string_view>& gone,
                               const std::vector<std::string_view>& fresh) const;
    // Makes `plan` the last generation. It must come from the latest plan() or plan_change() since the last adopt().
    void adopt(const Plan& plan);

  private:
    void give(const NamedPtr& named);

    std::string what_;
    std::size_t limit_;
    std::unordered_map<std::string_view, NamedPtr> known_;  // names in use, and names that left
    std::vector<NamedPtr> name_of_;                         // by number
    std::vector<bool> in_use_;                              // by number
    std::vector<std::uint32_t> left_;                       // numbers of names that left, the longest ago first
    Plan last_;
};

// The keys of an object map of the policy, ascending; views of them.
template <class Map>
std::vector<std::string_view> names_of(const Map& objects) {
    std::vector<std::string_view> names;
    names.reserve(objects.size());
    for (const auto& [name, object] : objects) names.push_back(name);
    return names;
}

// The numbers of one generation, all kinds.
struct Numbers {
    Numbering::Plan operators;
    Numbering::Plan attachments;
    Numbering::Plan tunnels;  // a TunnelId is one more: 0 is none
    Numbering::Plan institutions;
    Numbering::Plan port_blocks;  // translations of that kind

    void settle() {
        for (Numbering::Plan* const plan : {&operators, &attachments, &tunnels, &institutions, &port_blocks})
            plan->settle();
    }
};

}  // namespace sekisho::control

// Stable numbers for names: a name keeps its number while the policy has it, and gets it back when it returns.
//
// Counters, neighbours and sessions are kept by number. So a number whose name has left goes to another name only when
// all numbers up to the limit have been given out: the one that has been free longest first, and never in the
// generation that frees it. plan() changes nothing; adopt() does, once the generation is whole. Compiler thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/expected.hpp"

namespace sekisho::control {

class Numbering {
  public:
    // The numbers of one generation. Its names are views of what plan() was given: valid for as long.
    class Plan {
      public:
        // Error not_found: no operator "kita".
        Expected<std::uint32_t> number_of(std::string_view name) const;
        // The number of the i-th name, in the order that plan() was given.
        std::uint32_t operator[](std::size_t i) const noexcept { return numbers_[i]; }
        // One more than the highest number in use: how long a vector by number must be.
        std::size_t size() const noexcept { return size_; }
        // False when these are the names and numbers of the last generation that was adopted.
        bool changed() const noexcept { return changed_; }
        // The names by number; empty text for a number that is not in use.
        std::vector<std::string> names() const;

      private:
        friend class Numbering;
        std::string what_;
        std::vector<std::string_view> names_;  // ascending
        std::vector<std::uint32_t> numbers_;   // of the name at the same place
        std::size_t size_ = 0;
        bool changed_ = false;
    };

    // `what` names one thing in errors ("operator"); numbers are below `limit`.
    Numbering(std::string what, std::size_t limit) : what_(std::move(what)), limit_(limit) {}

    // Numbers for exactly these names, which ascend and are all different. Error limit: too many.
    Expected<Plan> plan(std::vector<std::string_view> names) const;
    // Makes `plan` the last generation. It must come from the latest plan() since the last adopt().
    void adopt(const Plan& plan);

  private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
    };

    std::string what_;
    std::size_t limit_;
    std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> known_;  // names in use, and names that left
    std::vector<const std::string*> name_of_;                                      // by number: the keys of known_
    std::vector<bool> in_use_;                                                     // by number
    std::vector<std::uint32_t> left_;  // numbers of names that left, the longest ago first
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
};

}  // namespace sekisho::control

// Sets of attachments, as rows name them: which ones an institution may use.
//
// A set of one, which most are, is named by its member; any other by the place of its list. Control adds before the
// tables are published; workers read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "net/ids.hpp"

namespace sekisho::dataplane {

// Of lines, underlays and tunnels' attachments together; and of tunnels.
inline constexpr std::size_t kMostAttachments = 262'144;

class AttachmentSets {
  public:
    using Name = std::uint32_t;
    static constexpr Name kNone = 0;  // the empty set

    // The name of a set that is not there yet, its members ascending, each once.
    Name add(std::span<const std::uint32_t> members) {
        if (members.empty()) return kNone;
        if (members.size() == 1) return kOne | members.front();
        const auto name = static_cast<Name>(lists_.size());
        lists_.push_back(static_cast<std::uint32_t>(members.size()));
        lists_.insert(lists_.end(), members.begin(), members.end());
        return name;
    }

    bool has(Name set, AttachmentId attachment) const noexcept {
        if ((set & kOne) != 0) return set == (kOne | attachment.value());
        const std::uint32_t* const members = &lists_[set] + 1;
        const std::uint32_t count = lists_[set];
        if (count > kFew) [[unlikely]]
            return is_among(members, count, attachment.value());
        for (std::uint32_t i = 0; i < count; ++i)
            if (members[i] == attachment.value()) return true;
        return false;
    }

  private:
    static constexpr Name kOne = std::uint32_t{1} << 31;
    static constexpr std::uint32_t kFew = 8;

    [[gnu::noinline]] static bool is_among(const std::uint32_t* members, std::uint32_t count,
                                           std::uint32_t wanted) noexcept {
        return std::binary_search(members, members + count, wanted);
    }
    std::vector<std::uint32_t> lists_{0};  // of each its length, then its members
};

}  // namespace sekisho::dataplane

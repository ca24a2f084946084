// Several nexthops of one route: which of them a flow goes by.
//
// A flow's hash names a bucket, a bucket a member, by weight. Only when that member is withdrawn does the flow go by
// another, found by walking the buckets in a step of the flow's own: the flows of members that stay never move, and
// those that moved come back with their member. Backup members have buckets of their own, asked when no primary is
// usable. Pure; workers read it in the tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "net/ids.hpp"

namespace sekisho::dataplane {

struct GroupMember {
    NexthopId nexthop;
    std::uint8_t weight = 1;
    bool backup = false;
};

class NexthopGroup {
  public:
    static constexpr std::size_t kMembers = 16;
    static constexpr std::size_t kBuckets = 64;
    static constexpr std::size_t kNone = kMembers;
    using Usable = std::uint16_t;  // bit m: member m may be used
    static constexpr Usable kAll = 0xffff;

    NexthopGroup() = default;
    // One to kMembers of them.
    explicit NexthopGroup(std::span<const GroupMember> members) noexcept : count_(members.size()) {
        for (std::size_t m = 0; m < count_; ++m) {
            members_[m] = members[m];
            auto& mask = members[m].backup ? backup_ : primary_;
            mask = static_cast<Usable>(mask | 1U << m);
        }
        fill(primary_, primary_buckets_);
        fill(backup_, backup_buckets_);
    }

    std::size_t size() const noexcept { return count_; }
    const GroupMember& member(std::size_t m) const noexcept { return members_[m]; }

    // The members that flows go by now: the usable primaries, or else the usable backups.
    Usable in_use(Usable usable) const noexcept {
        const auto primaries = static_cast<Usable>(usable & primary_);
        return primaries != 0 ? primaries : static_cast<Usable>(usable & backup_);
    }
    // The member that a flow goes by, or kNone when none is usable.
    std::size_t choose(std::uint32_t hash, Usable usable) const noexcept {
        const Usable candidates = in_use(usable);
        if (candidates == 0) return kNone;
        const auto& buckets = (candidates & primary_) != 0 ? primary_buckets_ : backup_buckets_;
        const std::size_t step = hash >> 16 | 1;  // odd: it visits every bucket
        std::size_t bucket = hash % kBuckets;
        while ((candidates >> buckets[bucket] & 1) == 0) bucket = (bucket + step) % kBuckets;
        return buckets[bucket];
    }

  private:
    using Buckets = std::array<std::uint8_t, kBuckets>;
    // Each bucket to the member that is furthest behind its share.
    void fill(Usable which, Buckets& buckets) noexcept {
        int sum = 0;
        for (std::size_t m = 0; m < count_; ++m) sum += (which >> m & 1) != 0 ? members_[m].weight : 0;
        if (sum == 0) return;
        std::array<int, kMembers> behind{};
        for (std::uint8_t& bucket : buckets) {
            std::size_t best = kNone;
            for (std::size_t m = 0; m < count_; ++m) {
                if ((which >> m & 1) == 0) continue;
                behind[m] += members_[m].weight;
                if (best == kNone || behind[m] > behind[best]) best = m;
            }
            behind[best] -= sum;
            bucket = static_cast<std::uint8_t>(best);
        }
    }

    std::size_t count_ = 0;
    Usable primary_ = 0, backup_ = 0;
    std::array<GroupMember, kMembers> members_{};
    Buckets primary_buckets_{}, backup_buckets_{};
};

}  // namespace sekisho::dataplane

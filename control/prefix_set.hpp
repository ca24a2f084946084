// A set of prefixes of which none lies inside another; copies are cheap and share what does not change.
//
// Sorted chunks of a few hundred, as in control/object_map.hpp. What the prefixes are whose is not its business. One
// thread a set; copies may live on different threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "control/copy_on_write.hpp"
#include "net/prefix.hpp"

namespace sekisho::control {

template <class Address>
class PrefixSet {
  public:
    using Member = Prefix<Address>;

    PrefixSet() = default;
    // From prefixes that ascend, none inside another.
    explicit PrefixSet(const std::vector<Member>& members) : size_(members.size()) {
        for (std::size_t first = 0; first < members.size(); first += kChunk) {
            const auto begin = members.begin() + static_cast<std::ptrdiff_t>(first);
            const auto end = begin + static_cast<std::ptrdiff_t>(std::min(kChunk, members.size() - first));
            chunks_.emplace_back(Chunk(begin, end));
        }
    }

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const Member& front() const noexcept { return chunks_.front()->front(); }  // of one that is not empty

    // Whether a member contains all of `prefix`.
    bool covers(const Member& prefix) const {
        const Member* const before = at_or_before(prefix);
        return before != nullptr && before->contains(prefix);
    }
    // Whether a member shares an address with `prefix`.
    bool meets(const Member& prefix) const {
        if (covers(prefix)) return true;
        if (chunks_.empty()) return false;
        // The first member after it: what lies inside it comes right behind.
        std::size_t index = chunk_of(prefix);
        auto after = std::upper_bound(chunks_[index]->begin(), chunks_[index]->end(), prefix);
        if (after == chunks_[index]->end()) {
            if (++index == chunks_.size()) return false;
            after = chunks_[index]->begin();
        }
        return prefix.contains(*after);
    }

    // Calls with the members that lie inside `prefix`, ascending, until it says false.
    template <class Call>
    void for_each_inside(const Member& prefix, Call&& call) const {
        for (std::size_t index = chunks_.empty() ? 0 : chunk_of(prefix); index < chunks_.size(); ++index) {
            const Chunk& chunk = *chunks_[index];
            for (auto at = std::lower_bound(chunk.begin(), chunk.end(), prefix); at != chunk.end(); ++at)
                if (!prefix.contains(*at) || !call(*at)) return;
        }
    }

    // False, and nothing is changed, when it meets a member.
    bool insert(const Member& prefix) {
        if (meets(prefix)) return false;
        if (chunks_.empty()) chunks_.emplace_back();
        const std::size_t index = chunk_of(prefix);
        Chunk& chunk = chunks_[index].own();
        chunk.insert(std::upper_bound(chunk.begin(), chunk.end(), prefix), prefix);
        ++size_;
        if (chunk.size() > 2 * kChunk) {
            Chunk rest(chunk.begin() + kChunk, chunk.end());
            chunk.resize(kChunk);
            chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1, CopyOnWrite(std::move(rest)));
        }
        return true;
    }
    // False when it is no member.
    bool erase(const Member& prefix) {
        const Member* const found = at_or_before(prefix);
        if (found == nullptr || *found != prefix) return false;
        const std::size_t index = chunk_of(prefix);
        Chunk& chunk = chunks_[index].own();
        chunk.erase(std::lower_bound(chunk.begin(), chunk.end(), prefix));
        --size_;
        if (chunk.empty()) chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(index));
        return true;
    }

  private:
    static constexpr std::size_t kChunk = 512;
    using Chunk = std::vector<Member>;  // never empty within chunks_, but for the first insert

    // The last chunk that begins at or before `prefix`, or the first.
    std::size_t chunk_of(const Member& prefix) const {
        const auto after = std::upper_bound(chunks_.begin(), chunks_.end(), prefix,
                                            [](const Member& wanted, const CopyOnWrite<Chunk>& chunk) {
                                                return !chunk->empty() && wanted < chunk->front();
                                            });
        return after == chunks_.begin() ? 0 : static_cast<std::size_t>(after - chunks_.begin()) - 1;
    }
    const Member* at_or_before(const Member& prefix) const {
        if (chunks_.empty()) return nullptr;
        const Chunk& chunk = *chunks_[chunk_of(prefix)];
        const auto after = std::upper_bound(chunk.begin(), chunk.end(), prefix);
        return after == chunk.begin() ? nullptr : &*std::prev(after);
    }

    std::vector<CopyOnWrite<Chunk>> chunks_;
    std::size_t size_ = 0;
};

// One of each family.
struct PrefixSets {
    PrefixSet<Ipv4Address> ipv4;
    PrefixSet<Ipv6Address> ipv6;

    // Whether one member contains all of it.
    bool cover(const IpPrefix& prefix) const {
        return prefix.is_ipv4() ? ipv4.covers(prefix.ipv4()) : ipv6.covers(prefix.ipv6());
    }
    // Whether some member has an address of it.
    bool meet(const IpPrefix& prefix) const {
        return prefix.is_ipv4() ? ipv4.meets(prefix.ipv4()) : ipv6.meets(prefix.ipv6());
    }
    bool insert(const IpPrefix& prefix) {
        return prefix.is_ipv4() ? ipv4.insert(prefix.ipv4()) : ipv6.insert(prefix.ipv6());
    }
    bool erase(const IpPrefix& prefix) {
        return prefix.is_ipv4() ? ipv4.erase(prefix.ipv4()) : ipv6.erase(prefix.ipv6());
    }
    bool empty() const noexcept { return ipv4.empty() && ipv6.empty(); }
    // Of those that are not empty.
    IpPrefix front() const { return ipv4.empty() ? IpPrefix(ipv6.front()) : IpPrefix(ipv4.front()); }
    // Whether all of them are inside one of `others`.
    bool are_inside(const std::vector<IpPrefix>& others) const {
        return are_inside(ipv4, others) && are_inside(ipv6, others);
    }

  private:
    template <class Address>
    static bool are_inside(const PrefixSet<Address>& set, const std::vector<IpPrefix>& others) {
        bool inside = true;
        set.for_each_inside({}, [&](const Prefix<Address>& member) {
            inside = std::any_of(others.begin(), others.end(),
                                 [&](const IpPrefix& other) { return other.contains(member); });
            return inside;
        });
        return inside;
    }
};

}  // namespace sekisho::control

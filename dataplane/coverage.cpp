// Ranges in a sorted array: they are few.
#include "dataplane/coverage.hpp"

#include <algorithm>

namespace sekisho::dataplane {

Coverage::Outcome Coverage::add(std::uint16_t begin, std::uint16_t end, bool last) noexcept {
    // 1. The place: behind all ranges that end before it or where it begins.
    std::size_t at = 0;
    while (at < count_ && ranges_[at].end <= begin) ++at;
    if (at < count_ && ranges_[at].begin < end)
        return ranges_[at].begin <= begin && end <= ranges_[at].end ? Outcome::known : Outcome::overlaps;

    // 2. The end: one only, and nothing behind it.
    if (last && (end_ != 0 || at < count_)) return Outcome::overlaps;
    if (!last && end_ != 0 && end >= end_) return Outcome::overlaps;

    // 3. One range with the neighbours that it touches.
    const bool touches_before = at > 0 && ranges_[at - 1].end == begin;
    const bool touches_behind = at < count_ && ranges_[at].begin == end;
    const auto place = ranges_.begin() + static_cast<std::ptrdiff_t>(at);
    const auto behind_all = ranges_.begin() + count_;
    if (touches_before && touches_behind) {
        ranges_[at - 1].end = ranges_[at].end;
        std::copy(place + 1, behind_all, place);
        --count_;
    } else if (touches_before) {
        ranges_[at - 1].end = end;
    } else if (touches_behind) {
        ranges_[at].begin = begin;
    } else {
        if (count_ == kRanges) return Outcome::scattered;
        std::copy_backward(place, behind_all, behind_all + 1);
        ranges_[at] = {begin, end};
        ++count_;
    }
    if (last) end_ = end;
    return Outcome::added;
}

}  // namespace sekisho::dataplane

// The rings of all pairs.
#include "dataplane/team.hpp"

namespace sekisho::dataplane {

namespace {
constexpr std::size_t kNeighbours = 65536;
constexpr std::size_t kNeighboursPerAttachment = 4096;
}  // namespace

Team::Team(std::span<const unsigned> weights, std::uint64_t tsc_hz, std::size_t ring_capacity)
    : neighbours(kNeighbours, kNeighboursPerAttachment, tsc_hz),
      conflicts(tsc_hz),
      spread(weights),
      kernel(weights.size()),
      size_(weights.size()) {
    for (std::size_t giver = 0; giver < size_; ++giver)
        for (std::size_t taker = 0; taker < size_; ++taker)
            rings_.push_back(giver == taker ? nullptr : std::make_unique<HandoverRing>(ring_capacity));
}

std::vector<HandoverRing*> Team::rings_from(WorkerId giver) const {
    std::vector<HandoverRing*> result;
    for (std::size_t taker = 0; taker < size_; ++taker) result.push_back(rings_[giver.index() * size_ + taker].get());
    return result;
}

std::vector<HandoverRing*> Team::rings_to(WorkerId taker) const {
    std::vector<HandoverRing*> result;
    for (std::size_t giver = 0; giver < size_; ++giver) result.push_back(rings_[giver * size_ + taker.index()].get());
    return result;
}

}  // namespace sekisho::dataplane

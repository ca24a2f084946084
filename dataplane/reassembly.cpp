// The places for datagrams: a few in each set, the oldest of which makes way.
#include "dataplane/reassembly.hpp"

#include <algorithm>
#include <random>

namespace sekisho::dataplane {

Reassembly::Reassembly(std::uint64_t tsc_hz)
    : tsc_hz_(tsc_hz),
      seed_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()),
      datagrams_(std::make_unique<Datagram[]>(kSets * kWays)) {}

Reassembly::Datagram* Reassembly::set_of(const Key& key) noexcept {
    std::uint64_t hash = seed_;
    const auto mix = [&hash](std::uint64_t word) {
        hash = (hash ^ word) * 0x9e37'79b9'7f4a'7c15ULL;
        hash ^= hash >> 32;
    };
    mix(key.source.high());
    mix(key.source.low());
    mix(key.destination.high());
    mix(key.destination.low());
    mix(std::uint64_t{key.identification} << 32 | std::uint64_t{key.attachment.value()} << 16 | key.protocol);
    mix(key.origin.value());
    return datagrams_.get() + static_cast<std::size_t>(hash % kSets) * kWays;
}

Reassembly::Datagram* Reassembly::find(const Key& key) noexcept {
    if (count_ == 0) return nullptr;
    Datagram* const set = set_of(key);
    Datagram* const found = std::find_if(
        set, set + kWays, [&](const Datagram& each) { return each.state != State::none && each.key == key; });
    return found == set + kWays ? nullptr : found;
}

Reassembly::Datagram& Reassembly::place_for(const Key& key) noexcept {
    Datagram* const set = set_of(key);
    Datagram* const place = std::min_element(set, set + kWays, [](const Datagram& a, const Datagram& b) {
        return (a.state == State::none ? 0 : a.until) < (b.state == State::none ? 0 : b.until);
    });
    if (place->state != State::none) --count_;
    return *place;
}

}  // namespace sekisho::dataplane

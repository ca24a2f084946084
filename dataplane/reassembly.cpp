// The places for datagrams: a few in each set, the oldest of which makes way.
#include "dataplane/reassembly.hpp"

#include <algorithm>

#include "dataplane/keyed_hash.hpp"

namespace sekisho::dataplane {

Reassembly::Reassembly(std::uint64_t tsc_hz)
    : tsc_hz_(tsc_hz), seed_(KeyedHash::random_key()), datagrams_(std::make_unique<Datagram[]>(kSets * kWays)) {}

Reassembly::Datagram* Reassembly::set_of(const Key& key) noexcept {
    const std::uint64_t hash = KeyedHash(seed_).add_datagram(key).add(key.origin.value()).value();
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

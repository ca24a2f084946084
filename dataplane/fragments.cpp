// The table of datagrams in fragments: chains in buckets, and two queues by age. Nothing is allocated after the start.
#include "dataplane/fragments.hpp"

#include <bit>

#include "dataplane/keyed_hash.hpp"

namespace sekisho::dataplane {

namespace {
constexpr std::size_t kBuckets = std::bit_ceil(2 * Fragments::kDatagrams);
}  // namespace

Fragments::Fragments(std::uint64_t tsc_hz)
    : tsc_hz_(tsc_hz),
      seed_(KeyedHash::random_key()),
      datagrams_(std::make_unique<Datagram[]>(kDatagrams)),
      held_(std::make_unique<Held[]>(kHeld)),
      buckets_(kBuckets, kNone) {
    for (std::uint32_t i = kDatagrams; i-- > 0;) {
        datagrams_[i].next_in_bucket = free_datagram_;
        free_datagram_ = i;
    }
    for (std::uint32_t i = kHeld; i-- > 0;) {
        held_[i].next = free_held_;
        free_held_ = i;
    }
}

std::size_t Fragments::bucket_of(const Key& key) const noexcept {
    const std::uint64_t hash = KeyedHash(seed_).add_datagram(key).add(key.vrf.value()).value();
    return static_cast<std::size_t>(hash) & (kBuckets - 1);
}

Fragments::Datagram* Fragments::find(const Key& key) noexcept {
    for (std::uint32_t i = buckets_[bucket_of(key)]; i != kNone; i = datagrams_[i].next_in_bucket)
        if (datagrams_[i].key == key) return &datagrams_[i];
    return nullptr;
}

Fragments::Datagram* Fragments::add(const Key& key, std::uint64_t now) noexcept {
    std::uint16_t& count = datagram_count_[key.attachment];
    if (free_datagram_ == kNone || count == kDatagramsPerAttachment) return nullptr;
    ++count;
    const std::uint32_t number = free_datagram_;
    Datagram& datagram = datagrams_[number];
    free_datagram_ = datagram.next_in_bucket;
    datagram = Datagram();
    datagram.key = key;
    std::uint32_t& bucket = buckets_[bucket_of(key)];
    datagram.next_in_bucket = bucket;
    bucket = number;
    enqueue(datagram, now + kSecondsForFirst * tsc_hz_);
    return &datagram;
}

void Fragments::settle(Datagram& datagram, State state, std::uint64_t now) noexcept {
    dequeue(datagram);
    datagram.state = state;
    enqueue(datagram, now + kSecondsForOthers * tsc_hz_);
}

void Fragments::forget(Datagram& datagram) noexcept {
    dequeue(datagram);
    const std::uint32_t number = number_of(datagram);
    std::uint32_t* link = &buckets_[bucket_of(datagram.key)];
    while (*link != number) link = &datagrams_[*link].next_in_bucket;
    *link = datagram.next_in_bucket;
    --datagram_count_[datagram.key.attachment];
    datagram.next_in_bucket = free_datagram_;
    free_datagram_ = number;
}

void Fragments::hold(Datagram& datagram, const Packet& packet, PortId origin) noexcept {
    const std::uint32_t number = free_held_;
    Held& held = held_[number];
    free_held_ = held.next;
    ++held_count_[datagram.key.attachment];
    held.packet = packet;
    held.origin = origin;
    held.next = kNone;
    if (datagram.held_last == kNone)
        datagram.held_first = number;
    else
        held_[datagram.held_last].next = number;
    datagram.held_last = number;
}

void Fragments::enqueue(Datagram& datagram, std::uint64_t until) noexcept {
    Queue& queue = queue_of(datagram);
    const std::uint32_t number = number_of(datagram);
    datagram.until = until;
    datagram.before = queue.last;
    datagram.behind = kNone;
    (queue.last == kNone ? queue.first : datagrams_[queue.last].behind) = number;
    queue.last = number;
}

void Fragments::dequeue(Datagram& datagram) noexcept {
    Queue& queue = queue_of(datagram);
    (datagram.before == kNone ? queue.first : datagrams_[datagram.before].behind) = datagram.behind;
    (datagram.behind == kNone ? queue.last : datagrams_[datagram.behind].before) = datagram.before;
}

}  // namespace sekisho::dataplane

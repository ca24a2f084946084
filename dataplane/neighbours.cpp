// The neighbour table: open addressing over entries that keep their place while anybody may name it.
#include "dataplane/neighbours.hpp"

#include <bit>

namespace sekisho::dataplane {

Neighbours::Neighbours(std::size_t capacity, std::size_t per_attachment, std::uint64_t tsc_hz)
    : tsc_hz_(tsc_hz),
      capacity_(capacity),
      per_attachment_(per_attachment),
      entries_(capacity),
      buckets_(std::bit_ceil(2 * capacity)),
      index_(std::make_unique<std::atomic<std::uint32_t>[]>(buckets_)) {
    pending_.reserve(kPending);
    for (auto* const numbers : {&removed_, &scrubbed_, &free_}) numbers->reserve(capacity);
}

std::size_t Neighbours::bucket_of(AttachmentId attachment, const Ipv6Address& address) const noexcept {
    std::uint64_t hash = address.high() * 0x9e37'79b9'7f4a'7c15ULL ^ address.low();
    hash = (hash ^ hash >> 32) * 0xd6e8'feb8'6659'fd93ULL + attachment.value();
    hash = (hash ^ hash >> 29) * 0x9e37'79b9'7f4a'7c15ULL;
    return static_cast<std::size_t>(hash >> 20) & (buckets_ - 1);
}

std::uint32_t Neighbours::find(AttachmentId attachment, const Ipv6Address& address) const noexcept {
    // Half of the buckets at most have an entry; tombstones may have the rest, so the search ends by itself.
    std::size_t bucket = bucket_of(attachment, address);
    for (std::size_t looked = 0; looked < buckets_; ++looked, bucket = (bucket + 1) & (buckets_ - 1)) {
        const std::uint32_t number = index_[bucket].load(std::memory_order_acquire);
        if (number == 0) return kNone;
        if (number != kTombstone && is(entries_[NeighbourId(number - 1)], attachment, address)) return number - 1;
    }
    return kNone;
}

std::uint32_t Neighbours::find_or_add(AttachmentId attachment, const Ipv6Address& address) noexcept {
    std::size_t bucket = bucket_of(attachment, address);
    std::size_t place = buckets_;  // the first that is free
    for (std::size_t looked = 0; looked < buckets_; ++looked, bucket = (bucket + 1) & (buckets_ - 1)) {
        const std::uint32_t number = index_[bucket].load(std::memory_order_relaxed);
        if (number != 0 && number != kTombstone) {
            if (is(entries_[NeighbourId(number - 1)], attachment, address)) return number - 1;
            continue;
        }
        if (place == buckets_) place = bucket;
        if (number == 0) break;
    }
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if ((free_.empty() && count == capacity_) || per_attachment_count_[attachment] == per_attachment_) return kNone;
    ++per_attachment_count_[attachment];
    auto neighbour = static_cast<std::uint32_t>(count);
    if (!free_.empty()) {
        neighbour = free_.back();
        free_.pop_back();
    }
    Slot& slot = entries_[NeighbourId(neighbour)];
    // Control may be reading it: what it reads under an even version, or under two, it throws away.
    slot.high.store(address.high(), std::memory_order_release);
    slot.low.store(address.low(), std::memory_order_release);
    slot.attachment.store(attachment.value(), std::memory_order_release);
    slot.link.store(0, std::memory_order_release);
    slot.used.store(false, std::memory_order_relaxed);
    slot.since = slot.next = slot.watched_until = 0;
    slot.asks = 0;
    slot.gone = false;
    slot.version.store(slot.version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    index_[place].store(neighbour + 1, std::memory_order_release);
    if (neighbour == count) count_.store(count + 1, std::memory_order_release);
    return neighbour;
}

void Neighbours::remove(std::uint32_t neighbour) noexcept {
    Slot& slot = entries_[NeighbourId(neighbour)];
    const AttachmentId attachment = attachment_of(slot);
    const Ipv6Address address(slot.high.load(std::memory_order_relaxed), slot.low.load(std::memory_order_relaxed));
    std::size_t bucket = bucket_of(attachment, address);
    while (index_[bucket].load(std::memory_order_relaxed) != neighbour + 1) bucket = (bucket + 1) & (buckets_ - 1);
    index_[bucket].store(kTombstone, std::memory_order_release);
    // Tombstones before an empty bucket keep nobody looking.
    const bool last = index_[(bucket + 1) & (buckets_ - 1)].load(std::memory_order_relaxed) == 0;
    while (last && index_[bucket].load(std::memory_order_relaxed) == kTombstone) {
        index_[bucket].store(0, std::memory_order_release);
        bucket = (bucket - 1) & (buckets_ - 1);
    }
    --per_attachment_count_[attachment];
    slot.version.store(slot.version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    removed_.push_back(neighbour);
}

void Neighbours::grace_passed(std::span<std::atomic<std::uint32_t>> hints) noexcept {
    free_.insert(free_.end(), scrubbed_.begin(), scrubbed_.end());
    scrubbed_.swap(removed_);
    removed_.clear();
    if (scrubbed_.empty()) return;
    for (std::atomic<std::uint32_t>& hint : hints) {
        const std::uint32_t known = hint.load(std::memory_order_relaxed);
        if (known != kNone && !is_alive(known)) hint.store(kNone, std::memory_order_relaxed);
    }
}

void Neighbours::set(std::uint32_t neighbour, const Link& link, std::uint64_t now) noexcept {
    Slot& slot = entries_[NeighbourId(neighbour)];
    slot.since = now;
    slot.asks = 0;
    slot.next = now;
    slot.used.store(false, std::memory_order_relaxed);
    slot.link.store(link.word(), std::memory_order_release);
}

void Neighbours::confirm(std::uint32_t neighbour, const MacAddress& mac, std::uint64_t now) noexcept {
    set(neighbour, Link(State::reachable, mac), now);
    entries_[NeighbourId(neighbour)].gone = false;
}

void Neighbours::hear(std::uint32_t neighbour, const MacAddress& mac, std::uint64_t now) noexcept {
    const Link known = link(neighbour);
    if (known.is_known() && known.mac() == mac) return;
    set(neighbour, Link(State::stale, mac), now);
    entries_[NeighbourId(neighbour)].gone = false;
}

void Neighbours::doubt(std::uint32_t neighbour, std::uint64_t now) noexcept {
    const Link known = link(neighbour);
    if (known.state() == State::reachable) set(neighbour, Link(State::stale, known.mac()), now);
}

void Neighbours::fail(std::uint32_t neighbour, std::uint64_t now) noexcept {
    set(neighbour, Link(State::failed, {}), now);
    entries_[NeighbourId(neighbour)].next = now + tsc_hz_;
    entries_[NeighbourId(neighbour)].gone = true;
}

std::uint64_t Neighbours::reachable_ticks(std::uint32_t neighbour, bool watched) const noexcept {
    const std::uint16_t told = reachable_time_[attachment_of(entries_[NeighbourId(neighbour)])];
    const std::uint64_t seconds = told != 0 ? told : kReachableTime;
    if (watched) return std::min<std::uint64_t>(seconds, kWatchTime) * tsc_hz_;
    // RFC 4861 §6.3.2: half of it to one and a half, so that not all are asked at once.
    const std::uint64_t part = (neighbour + std::uint64_t{1}) * 0x9e37'79b9'7f4a'7c15ULL >> 54;
    return seconds * tsc_hz_ / 2 + seconds * tsc_hz_ / 1024 * part;
}

bool Neighbours::age(std::uint32_t neighbour, std::uint64_t now) noexcept {
    Slot& slot = entries_[NeighbourId(neighbour)];
    if (!is_alive(neighbour) || slot.pending != 0) return false;
    if (slot.since == 0) slot.since = now;
    const Link known = link(neighbour);
    const bool watched = now < slot.watched_until;
    const auto is_over = [&](std::uint64_t ticks) { return now - slot.since >= ticks; };
    const auto begin = [&](State state) { set(neighbour, Link(state, known.mac()), now); };
    switch (known.state()) {
        case State::reachable:
            if (!is_over(reachable_ticks(neighbour, watched))) return false;
            begin(watched ? State::probe : State::stale);
            break;
        case State::stale:
            if (watched)
                begin(State::probe);
            else if (slot.used.load(std::memory_order_relaxed))
                begin(State::delay);
            else if (is_over(kKeepUnused * tsc_hz_))
                remove(neighbour);
            break;
        case State::delay:
            if (watched || is_over(kDelay * tsc_hz_)) begin(State::probe);
            break;
        case State::probe: break;
        case State::incomplete:
        case State::failed:
            if (!watched && is_over(kKeepFailed * tsc_hz_)) remove(neighbour);
            return false;
    }
    if (link(neighbour).state() != State::probe || now < slot.next) return false;
    if (slot.asks == kProbes) {
        fail(neighbour, now);
        return false;
    }
    ++slot.asks;
    slot.next = now + tsc_hz_;
    return true;
}

bool Neighbours::asks_unknown(std::uint32_t neighbour, std::uint64_t now) noexcept {
    Slot& slot = entries_[NeighbourId(neighbour)];
    if (slot.pending != 0 || is_known(neighbour) || now < slot.next) return false;
    const bool failed = link(neighbour).state() == State::failed;
    if (!failed && slot.asks == kAsks) {
        fail(neighbour, now);
        return false;
    }
    if (!failed) ++slot.asks;
    slot.next = now + (failed ? kWatchTime : 1) * tsc_hz_;
    return true;
}

Neighbours::HoldOutcome Neighbours::hold(std::uint32_t neighbour, const Packet& packet, PortId origin,
                                         std::uint64_t now) noexcept {
    Slot& slot = entries_[NeighbourId(neighbour)];
    if (slot.pending == 0) {
        // One that was given up is nobody's: the next packet finds the neighbour anew.
        if (!is_alive(neighbour)) return HoldOutcome::unresolved;
        if (link(neighbour).state() == State::failed && now < slot.since + tsc_hz_) return HoldOutcome::unresolved;
        std::uint16_t& on_attachment = pending_on_[attachment_of(slot)];
        if (pending_.size() == kPending || on_attachment == kPendingPerAttachment) return HoldOutcome::full;
        ++on_attachment;
        set(neighbour, Link(State::incomplete, {}), now);
        Pending& pending = pending_.emplace_back();
        slot.pending = static_cast<std::uint16_t>(pending_.size());
        pending.neighbour = neighbour;
        pending.asks = 1;
        pending.next = now + tsc_hz_;
        pending.count = 1;
        pending.held[0] = {packet, origin};
        return HoldOutcome::held_and_ask;
    }
    Pending& pending = pending_[slot.pending - std::size_t{1}];
    if (pending.count == kHold) return HoldOutcome::full;
    pending.held[pending.count++] = {packet, origin};
    return HoldOutcome::held;
}

Neighbours::Question Neighbours::question(std::uint32_t neighbour) const noexcept {
    const Slot& slot = entries_[NeighbourId(neighbour)];
    Question question;
    question.attachment = AttachmentId(slot.attachment.load(std::memory_order_acquire));
    const Ipv6Address address(slot.high.load(std::memory_order_acquire), slot.low.load(std::memory_order_acquire));
    if (address.is_mapped_ipv4()) {
        question.ipv4 = Ipv4Address(static_cast<std::uint32_t>(address.low()));
    } else {
        question.family = Family::ipv6;
        question.ipv6 = address;
    }
    return question;
}

Neighbours::Question Neighbours::probe(std::uint32_t neighbour) const noexcept {
    Question result = question(neighbour);
    result.to = link(neighbour).mac();
    return result;
}

std::optional<Neighbours::Entry> Neighbours::entry(std::size_t index) const {
    const auto neighbour = static_cast<std::uint32_t>(index);
    const std::uint32_t before = version(neighbour);
    const Question key = question(neighbour);
    const Link known = link(neighbour);
    if (before % 2 == 0 || version(neighbour) != before) return std::nullopt;
    const IpAddress address = key.family == Family::ipv4 ? IpAddress(key.ipv4) : IpAddress(key.ipv6);
    return Entry{key.attachment, address, known};
}

}  // namespace sekisho::dataplane

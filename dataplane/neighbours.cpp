// The neighbour table: open addressing over entries that keep their place.
#include "dataplane/neighbours.hpp"

#include <bit>

namespace sekisho::dataplane {

Neighbours::Neighbours(std::size_t capacity, std::size_t per_attachment, std::uint64_t tsc_hz)
    : tsc_hz_(tsc_hz),
      capacity_(capacity),
      per_attachment_(per_attachment),
      entries_(std::make_unique<Slot[]>(capacity)),
      buckets_(std::bit_ceil(2 * capacity)),
      index_(std::make_unique<std::atomic<std::uint32_t>[]>(buckets_)),
      per_attachment_count_(65536, 0) {
    pending_.reserve(kPending);
}

std::size_t Neighbours::bucket_of(AttachmentId attachment, const Ipv6Address& address) const noexcept {
    std::uint64_t hash = address.high() * 0x9e37'79b9'7f4a'7c15ULL ^ address.low();
    hash = (hash ^ hash >> 32) * 0xd6e8'feb8'6659'fd93ULL + attachment.value();
    hash = (hash ^ hash >> 29) * 0x9e37'79b9'7f4a'7c15ULL;
    return static_cast<std::size_t>(hash >> 20) & (buckets_ - 1);
}

std::uint32_t Neighbours::find(AttachmentId attachment, const Ipv6Address& address) const noexcept {
    for (std::size_t bucket = bucket_of(attachment, address);; bucket = (bucket + 1) & (buckets_ - 1)) {
        const std::uint32_t number = index_[bucket].load(std::memory_order_acquire);
        if (number == 0) return kNone;
        const Slot& slot = entries_[number - 1];
        if (slot.attachment == attachment && slot.address == address) return number - 1;
    }
}

std::uint32_t Neighbours::find_or_add(AttachmentId attachment, const Ipv6Address& address) noexcept {
    std::size_t bucket = bucket_of(attachment, address);
    for (;; bucket = (bucket + 1) & (buckets_ - 1)) {
        const std::uint32_t number = index_[bucket].load(std::memory_order_relaxed);
        if (number == 0) break;
        const Slot& slot = entries_[number - 1];
        if (slot.attachment == attachment && slot.address == address) return number - 1;
    }
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (count == capacity_ || per_attachment_count_[attachment.index()] == per_attachment_) return kNone;
    ++per_attachment_count_[attachment.index()];
    entries_[count].attachment = attachment;
    entries_[count].address = address;
    index_[bucket].store(static_cast<std::uint32_t>(count + 1), std::memory_order_release);
    count_.store(count + 1, std::memory_order_release);
    return static_cast<std::uint32_t>(count);
}

void Neighbours::learn(std::uint32_t neighbour, const MacAddress& mac) noexcept {
    set_link(neighbour, Link(State::reachable, mac));
}

void Neighbours::fail(std::uint32_t neighbour, std::uint64_t now) noexcept {
    set_link(neighbour, Link(State::failed, {}));
    entries_[neighbour].rests_until = now + tsc_hz_;
}

Neighbours::HoldOutcome Neighbours::hold(std::uint32_t neighbour, const Packet& packet, PortId origin,
                                         std::uint64_t now) noexcept {
    Slot& slot = entries_[neighbour];
    if (slot.pending == kNotPending) {
        if (link(neighbour).state() == State::failed && now < slot.rests_until) return HoldOutcome::unresolved;
        if (pending_.size() == kPending) return HoldOutcome::full;
        slot.pending = static_cast<std::uint16_t>(pending_.size());
        set_link(neighbour, Link(State::incomplete, {}));
        Pending& pending = pending_.emplace_back();
        pending.neighbour = neighbour;
        pending.asks = 1;
        pending.next = now + tsc_hz_;
        pending.count = 1;
        pending.held[0] = {packet, origin};
        return HoldOutcome::held_and_ask;
    }
    Pending& pending = pending_[slot.pending];
    if (pending.count == kHold) return HoldOutcome::full;
    pending.held[pending.count++] = {packet, origin};
    return HoldOutcome::held;
}

Neighbours::Question Neighbours::question(std::uint32_t neighbour) const noexcept {
    const Slot& slot = entries_[neighbour];
    Question question;
    question.attachment = slot.attachment;
    if (slot.address.is_mapped_ipv4()) {
        question.ipv4 = Ipv4Address(static_cast<std::uint32_t>(slot.address.low()));
    } else {
        question.family = Family::ipv6;
        question.ipv6 = slot.address;
    }
    return question;
}

Neighbours::Entry Neighbours::entry(std::size_t index) const {
    const Question key = question(static_cast<std::uint32_t>(index));
    const IpAddress address = key.family == Family::ipv4 ? IpAddress(key.ipv4) : IpAddress(key.ipv6);
    return {key.attachment, address, link(static_cast<std::uint32_t>(index))};
}

}  // namespace sekisho::dataplane

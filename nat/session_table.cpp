// The table's memory, and its lines of signatures. Owner's thread.
#include "nat/session_table.hpp"

#include <algorithm>
#include <random>

namespace sekisho::nat {

namespace {

std::uint32_t buckets_for(std::size_t capacity) noexcept {
    return static_cast<std::uint32_t>(std::max<std::size_t>(1, (capacity * 10 + 7 * kPlaces - 1) / (7 * kPlaces)));
}
std::size_t bytes_of(std::uint32_t buckets, std::size_t record_bytes) noexcept {
    return buckets * (sizeof(SignatureLine) + sizeof(DueLine) + kPlaces * record_bytes);
}
HashSeed new_seed() {
    std::random_device source;
    HashSeed seed;
    for (std::uint64_t& word : seed.word) word = std::uint64_t{source()} << 32 | source();
    return seed;
}

}  // namespace

SessionTableBase::SessionTableBase(std::size_t capacity, std::size_t record_bytes)
    : view_{nullptr, nullptr, record_bytes, buckets_for(capacity), new_seed()},
      pages_(bytes_of(view_.buckets, record_bytes), Pages::Size::huge),
      lines_(reinterpret_cast<SignatureLine*>(pages_.data())),
      dues_(reinterpret_cast<DueLine*>(lines_ + view_.buckets)) {
    view_.lines = lines_;
    view_.records = reinterpret_cast<const std::byte*>(dues_ + view_.buckets);
}

void SessionTableBase::occupy(Slot slot, const Place& place) noexcept {
    lines_[bucket_of(slot)].signature[place_of(slot)] = place.signature();
    if (bucket_of(slot) != place.first) ++lines_[place.first].overflow;
    ++size_;
}

void SessionTableBase::vacate(Slot slot, const Place& place) noexcept {
    lines_[bucket_of(slot)].signature[place_of(slot)] = 0;
    dues_[bucket_of(slot)].due[place_of(slot)] = 0;
    if (bucket_of(slot) != place.first) --lines_[place.first].overflow;
    --size_;
}

}  // namespace sekisho::nat

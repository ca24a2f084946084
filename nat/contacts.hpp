// Which addresses a lent port has sessions with: what address-dependent filtering asks (RFC 4787 §5).
//
// A table of fixed size, open, without tombstones. Where it is full, a new pair is not remembered, and what is not
// remembered does not pass: it errs on the strict side only. Memory comes as pairs do. For one at a time.
#pragma once

#include <bit>
#include <cstdint>

#include "nat/pages.hpp"
#include "nat/session_layout.hpp"
#include "net/address.hpp"
#include "net/prefetch.hpp"

namespace sekisho::nat {

class Contacts {
  public:
    // For so many pairs.
    Contacts(std::size_t most, std::uint64_t seed)
        : most_(most),
          mask_(std::bit_ceil(most * 2) - 1),
          seed_(seed),
          pages_((mask_ + 1) * sizeof(Pair), Pages::Size::small),
          pairs_(reinterpret_cast<Pair*>(pages_.data())) {}

    bool has(std::uint32_t mapping, Ipv4Address address) const noexcept {
        return pairs_[place_of(mapping, address)].sessions != 0;
    }
    // Asked for or told of soon.
    void expect(std::uint32_t mapping, Ipv4Address address) const noexcept {
        prefetch_to_write(&pairs_[home_of(mapping, address.value())]);
    }
    // One session more.
    void add(std::uint32_t mapping, Ipv4Address address) noexcept {
        Pair& pair = pairs_[place_of(mapping, address)];
        if (pair.sessions == 0) {
            if (size_ == most_) return;
            ++size_;
            pair = {mapping, address.value(), 0};
        }
        ++pair.sessions;
    }
    // One less; of a pair that is not remembered, nothing.
    void remove(std::uint32_t mapping, Ipv4Address address) noexcept {
        if (size_ == 0) return;
        std::size_t hole = place_of(mapping, address);
        if (pairs_[hole].sessions == 0 || --pairs_[hole].sessions != 0) return;
        --size_;
        // What was put further on because of it moves up.
        for (std::size_t at = (hole + 1) & mask_; pairs_[at].sessions != 0; at = (at + 1) & mask_) {
            const std::size_t home = home_of(pairs_[at].mapping, pairs_[at].address);
            if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
            pairs_[hole] = pairs_[at];
            hole = at;
        }
        pairs_[hole] = {};
    }
    std::size_t size() const noexcept { return size_; }

  private:
    struct Pair {
        std::uint32_t mapping, address, sessions;  // 0 sessions: free
    };

    // Of all bits of both: many mappings are with one address, and one mapping with many.
    std::size_t home_of(std::uint32_t mapping, std::uint32_t address) const noexcept {
        constexpr std::uint64_t kOdd = 0x9e37'79b9'7f4a'7c15ULL;
        return static_cast<std::size_t>(multiply_and_fold((std::uint64_t{mapping} << 32 | address) ^ seed_, kOdd)) &
               mask_;
    }
    std::size_t place_of(std::uint32_t mapping, Ipv4Address address) const noexcept {
        std::size_t at = home_of(mapping, address.value());
        while (pairs_[at].sessions != 0 && (pairs_[at].mapping != mapping || pairs_[at].address != address.value()))
            at = (at + 1) & mask_;
        return at;
    }

    std::size_t most_;
    std::size_t mask_;
    std::uint64_t seed_;
    Pages pages_;
    Pair* pairs_;
    std::size_t size_ = 0;
};

}  // namespace sekisho::nat

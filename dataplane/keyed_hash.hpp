// A hash under a random key, so that nobody can choose what meets in one bucket. Not for secrets.
#pragma once

#include <cstdint>
#include <random>

namespace sekisho::dataplane {

class KeyedHash {
  public:
    static std::uint64_t random_key() {
        std::random_device device;
        return std::uint64_t{device()} << 32 | device();
    }

    explicit KeyedHash(std::uint64_t key) noexcept : hash_(key) {}
    KeyedHash& add(std::uint64_t word) noexcept {
        hash_ = (hash_ ^ word) * 0x9e37'79b9'7f4a'7c15ULL;
        hash_ ^= hash_ >> 32;
        return *this;
    }
    // Of a datagram in fragments: what RFC 791 §3.2 and RFC 8200 §4.5 tell it by, and where it came by.
    template <class Key>
    KeyedHash& add_datagram(const Key& key) noexcept {
        add(key.source.high()).add(key.source.low()).add(key.destination.high()).add(key.destination.low());
        return add(std::uint64_t{key.identification} << 32 | key.attachment.value()).add(key.protocol);
    }
    std::uint64_t value() const noexcept { return hash_; }

  private:
    std::uint64_t hash_;
};

}  // namespace sekisho::dataplane

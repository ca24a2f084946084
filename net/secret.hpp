// Key bytes that wipe themselves, never print, and are never compared in variable time.
//
// They lie in memory that is left out of core dumps and locked, as far as the process may lock any (what keeps keys for
// long insists: crypto/key_store.hpp). Move-only: a key has one place. There is deliberately no text(), no operator<<
// and no operator==. Any thread may make one and let one die.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace sekisho {

// Overwrites `bytes` with zeros; the asm keeps the compiler from calling it dead.
inline void wipe(std::span<std::uint8_t> bytes) noexcept {
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    asm volatile("" : : "r"(bytes.data()) : "memory");
}

class Secret {
  public:
    Secret() noexcept = default;
    explicit Secret(std::span<const std::uint8_t> bytes);
    Secret(Secret&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, std::size_t{0})) {}
    Secret& operator=(Secret&& other) noexcept {
        if (this != &other) {
            die();
            at_ = std::exchange(other.at_, nullptr);
            size_ = std::exchange(other.size_, std::size_t{0});
        }
        return *this;
    }
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret() { die(); }

    std::size_t size() const noexcept { return size_; }
    // For the cipher only. The span dies with the Secret.
    std::span<const std::uint8_t> reveal() const noexcept { return {at_, size_}; }

    // Takes as long for equal bytes as for different ones; the lengths are no secret.
    friend bool equal_in_constant_time(const Secret& a, const Secret& b) noexcept {
        if (a.size() != b.size()) return false;
        std::uint8_t difference = 0;
        for (std::size_t i = 0; i < a.size(); ++i)
            difference = static_cast<std::uint8_t>(difference | (a.at_[i] ^ b.at_[i]));
        asm volatile("" : "+r"(difference));
        return difference == 0;
    }

  private:
    void die() noexcept;

    std::uint8_t* at_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace sekisho

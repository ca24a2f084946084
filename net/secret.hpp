// Key bytes that wipe themselves, never print, and are never compared in variable time.
//
// Move-only: a key has one place. There is deliberately no text(), no operator<< and no operator==.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sekisho {

// Overwrites `bytes` with zeros; the asm keeps the compiler from calling it dead.
inline void wipe(std::span<std::uint8_t> bytes) noexcept {
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    asm volatile("" : : "r"(bytes.data()) : "memory");
}

class Secret {
  public:
    Secret() noexcept = default;
    explicit Secret(std::span<const std::uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {}
    Secret(Secret&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    Secret& operator=(Secret&& other) noexcept {
        if (this != &other) {
            wipe(bytes_);
            bytes_ = std::exchange(other.bytes_, {});
        }
        return *this;
    }
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret() { wipe(bytes_); }

    std::size_t size() const noexcept { return bytes_.size(); }
    // For the cipher only. The span dies with the Secret.
    std::span<const std::uint8_t> reveal() const noexcept { return bytes_; }

    // Takes as long for equal bytes as for different ones; the lengths are no secret.
    friend bool equal_in_constant_time(const Secret& a, const Secret& b) noexcept {
        if (a.size() != b.size()) return false;
        std::uint8_t difference = 0;
        for (std::size_t i = 0; i < a.size(); ++i)
            difference = static_cast<std::uint8_t>(difference | (a.bytes_[i] ^ b.bytes_[i]));
        asm volatile("" : "+r"(difference));
        return difference == 0;
    }

  private:
    std::vector<std::uint8_t> bytes_;
};

}  // namespace sekisho

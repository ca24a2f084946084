// The ports of one block: which are in use, which rest, and whose they are, for each protocol apart.
//
// A port that was given back rests for the hold-down before it is free again (RFC 6888 REQ-8), without a clock of its
// own: it goes into one of two bitmaps, the younger; when the hold-down has passed the younger becomes the older, and
// after another one it is free. So it rests between one hold-down and two. Taking one looks at each word once: exact to
// the last free port, in bounded time. Plain data over memory that the pool owns.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

#include "nat/endpoint.hpp"

namespace sekisho::nat {

inline constexpr std::uint32_t kBlockPorts = 64 * 4;  // ports 0 to 1023 are whole blocks
inline constexpr std::uint32_t kBlocksOfAddress = 65'536 / kBlockPorts;

// Who outside may open to a lent port (RFC 4787 §5, RFC 5382 REQ-3): anyone; an address that it has a session with;
// nobody, for only the answers of its sessions come in.
enum class Filtering : std::uint8_t { endpoint_independent, address_dependent, address_and_port_dependent };
inline constexpr std::array<std::string_view, 3> kFilteringNames = {"endpoint_independent", "address_dependent",
                                                                    "address_and_port_dependent"};

enum class Parity : std::uint8_t { any, even, odd };

class PortSet {
  public:
    static constexpr std::size_t kWords = kBlockPorts / 64;

    // A free port, searched from `start` on, of that parity if there is one, else of the other (RFC 4787 REQ-4); among
    // the first kAsked of them, the first that `suits` says yes to, if there is one. kNone: none is free.
    static constexpr std::uint32_t kNone = 0xffff'ffffU;
    static constexpr std::uint32_t kAsked = 32;
    template <class Suits>
    std::uint32_t take(std::uint32_t start, Parity parity, std::uint32_t now, std::uint32_t hold_down,
                       Suits&& suits) noexcept {
        let_rest(now, hold_down);
        constexpr std::uint64_t kEven = 0x5555'5555'5555'5555ULL, kAll = ~std::uint64_t{0};
        std::uint64_t wanted = parity == Parity::any ? kAll : parity == Parity::even ? kEven : ~kEven;
        std::uint32_t first = first_free(start, wanted);
        if (first == kNone) first = first_free(start, wanted = kAll);
        if (first == kNone) return kNone;
        std::uint32_t port = first;
        for (std::uint32_t asked = 0; asked < kAsked; ++asked) {
            if (suits(port)) return claim(port);
            port = first_free((port + 1) % kBlockPorts, wanted);
            if (port == first) break;
        }
        return claim(first);
    }
    std::uint32_t take(std::uint32_t start, Parity parity, std::uint32_t now, std::uint32_t hold_down) noexcept {
        return take(start, parity, now, hold_down, [](std::uint32_t) noexcept { return true; });
    }
    // This port, never to be given to anyone.
    void reserve(std::uint32_t port) noexcept { claim(port); }
    void give_back(std::uint32_t port, std::uint32_t now, std::uint32_t hold_down) noexcept {
        let_rest(now, hold_down);
        used_[port / 64] &= ~bit(port);
        younger_[port / 64] |= bit(port);
    }
    bool is_used(std::uint32_t port) const noexcept { return (used_[port / 64] & bit(port)) != 0; }
    std::uint32_t used() const noexcept {
        std::uint32_t count = 0;
        for (const std::uint64_t word : used_) count += static_cast<std::uint32_t>(std::popcount(word));
        return count;
    }
    void clear() noexcept { *this = {}; }

  private:
    using Words = std::array<std::uint64_t, kWords>;

    static std::uint64_t bit(std::uint32_t port) noexcept { return std::uint64_t{1} << port % 64; }
    std::uint32_t claim(std::uint32_t port) noexcept {
        used_[port / 64] |= bit(port);
        return port;
    }
    std::uint32_t first_free(std::uint32_t start, std::uint64_t wanted) const noexcept {
        for (std::uint32_t n = 0; n <= kWords; ++n) {  // the first word twice: its upper part, and at last its lower
            const std::uint32_t w = (start / 64 + n) % kWords;
            std::uint64_t free = ~(used_[w] | younger_[w] | older_[w]) & wanted;
            if (n == 0) free &= ~std::uint64_t{0} << start % 64;
            if (free != 0) return w * 64 + static_cast<std::uint32_t>(std::countr_zero(free));
        }
        return kNone;
    }
    void let_rest(std::uint32_t now, std::uint32_t hold_down) noexcept {
        const std::uint32_t passed = now - turned_;
        if (passed < hold_down) return;
        older_ = passed < 2 * hold_down ? younger_ : Words{};
        younger_ = {};
        turned_ = now;
    }

    Words used_{}, younger_{}, older_{};
    std::uint32_t turned_ = 0;  // second at which the younger ones began
};

}  // namespace sekisho::nat

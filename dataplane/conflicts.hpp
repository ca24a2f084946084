// Who else claims an address of the hub (RFC 5227 §2.4, RFC 4862 §5.4): the last such station of each attachment.
//
// The hub never gives its address up: it is the others' router there. It says so aloud, and defends the address by one
// announcement in ten seconds at most (RFC 5227 §2.4(c)). Written by the keeper; control reads, at any time.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "dataplane/by_number.hpp"
#include "net/address.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

class Conflicts {
  public:
    static constexpr std::uint64_t kDefendInterval = 10;  // seconds
    static constexpr std::uint64_t kLasts = 60;           // seconds after the last claim
    enum class Which : std::uint8_t { none, ipv4, ipv6, link_local };
    struct Claim {
        Which which = Which::none;
        MacAddress mac;
    };

    explicit Conflicts(std::uint64_t tsc_hz) : tsc_hz_(tsc_hz) {}

    // Keeper: a station claims the address. True when the address may be defended now, and counts as defended.
    bool note(AttachmentId attachment, Which which, const MacAddress& mac, std::uint64_t now) noexcept {
        Cell& cell = cells_[attachment];
        cell.claim.store(std::uint64_t{static_cast<std::uint8_t>(which)} << 56 | mac.bits(), std::memory_order_relaxed);
        cell.last.store(now, std::memory_order_relaxed);
        if (cell.defended != 0 && now - cell.defended < kDefendInterval * tsc_hz_) return false;
        cell.defended = now;
        return true;
    }
    // The claim of the last minute.
    std::optional<Claim> claim(AttachmentId attachment, std::uint64_t now) const noexcept {
        const Cell& cell = cells_[attachment];
        const std::uint64_t word = cell.claim.load(std::memory_order_relaxed);
        const std::uint64_t last = cell.last.load(std::memory_order_relaxed);
        if (word == 0 || (now > last && now - last >= kLasts * tsc_hz_)) return std::nullopt;
        Claim result{static_cast<Which>(word >> 56), {}};
        result.mac.store(word);
        return result;
    }

  private:
    struct Cell {
        std::atomic<std::uint64_t> claim{0};  // which address in the highest byte, the MAC in the lowest six
        std::atomic<std::uint64_t> last{0};   // TSC
        std::uint64_t defended = 0;           // TSC; the keeper's
    };
    std::uint64_t tsc_hz_;
    ByAttachment<Cell> cells_;
};

}  // namespace sekisho::dataplane

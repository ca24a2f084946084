// What was refused of one SA's packets, by reason: for `show`, and for whoever looks for an attack or a wrong key.
//
// Workers count, control reads. Only packets that fail touch these words.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "net/drop_reason.hpp"

namespace sekisho::crypto {

inline constexpr std::array kInboundFailures = {
    DropReason::sa_elsewhere,        DropReason::sa_expired,   DropReason::esp_truncated,
    DropReason::esp_length,          DropReason::replay_stale, DropReason::replay_duplicate,
    DropReason::icv_wrong,           DropReason::esp_padding,  DropReason::esp_next_header,
    DropReason::esp_inner_malformed, DropReason::ecn_refused,  DropReason::selector_mismatch,
};
inline constexpr std::array kOutboundFailures = {
    DropReason::sa_expired,    DropReason::sequence_exhausted, DropReason::nonce_reserve_exhausted,
    DropReason::engine_failed, DropReason::packet_too_big,     DropReason::no_room,
};

template <const auto& kReasons>
class FailureCounts {
  public:
    void count(DropReason reason) noexcept {
        for (std::size_t i = 0; i < kReasons.size(); ++i)
            if (kReasons[i] == reason) counts_[i].fetch_add(1, std::memory_order_relaxed);
    }
    // Of the reason with this place in the list.
    std::uint64_t at(std::size_t i) const noexcept { return counts_[i].load(std::memory_order_relaxed); }

  private:
    std::array<std::atomic<std::uint64_t>, kReasons.size()> counts_{};
};

using InboundFailures = FailureCounts<kInboundFailures>;
using OutboundFailures = FailureCounts<kOutboundFailures>;

}  // namespace sekisho::crypto

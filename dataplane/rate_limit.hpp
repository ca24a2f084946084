// Token buckets on the TSC, for what the hub makes or answers itself (RFC 1812 §4.3.2.8, RFC 4443 §2.4(f)).
//
// A bucket is refilled when it is asked, never by a timer. Written and read by its worker only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sekisho::dataplane {

struct Rate {
    std::uint64_t cycles_each = 0;   // TSC cycles that one packet costs
    std::uint64_t burst_cycles = 0;  // how far the bucket fills

    // `per_second` packets, at most `burst` at once.
    static constexpr Rate of(std::uint64_t per_second, std::uint64_t burst, std::uint64_t tsc_hz) noexcept {
        const std::uint64_t each = std::max<std::uint64_t>(1, tsc_hz / per_second);
        return {each, each * burst};
    }
};

class TokenBucket {
  public:
    // Takes one token at time `now` (TSC); false when there is none.
    bool take(const Rate& rate, std::uint64_t now) noexcept {
        // full_at_ is when the bucket would be full again: the further ahead of now, the emptier it is.
        const std::uint64_t from = std::max(full_at_, now);
        if (from + rate.cycles_each > now + rate.burst_cycles) return false;
        full_at_ = from + rate.cycles_each;
        return true;
    }

  private:
    std::uint64_t full_at_ = 0;
};

}  // namespace sekisho::dataplane

// The sessions of one worker: both families, within one budget. What becomes of packets by them is recall's business.
//
// Sizes are set before the worker runs; memory comes from the system as sessions come. Written and read by its worker.
#pragma once

#include <cstdint>
#include <optional>

#include "nat/sessions.hpp"

namespace sekisho::dataplane {

struct SessionCapacity {
    std::size_t ipv4 = 262'144;
    std::size_t ipv6 = 65'536;
};

class Tracker {
  public:
    Tracker() { make_room({}); }
    Tracker(const Tracker&) = delete;
    Tracker& operator=(const Tracker&) = delete;

    // Empty, for so many sessions; an operator may have half of them, an institution a sixteenth, unless told
    // otherwise.
    void make_room(SessionCapacity capacity) {
        const auto all = static_cast<std::uint32_t>(capacity.ipv4 + capacity.ipv6);
        budget_.set({all / 16, all / 2});
        ipv4_.emplace(capacity.ipv4, budget_, timeouts_);
        ipv6_.emplace(capacity.ipv6, budget_, timeouts_);
    }

    template <class Address>
    auto& of() noexcept {
        if constexpr (Address::kFamily == Family::ipv4)
            return *ipv4_;
        else
            return *ipv6_;
    }
    nat::SessionBudget& budget() noexcept { return budget_; }
    nat::Timeouts& timeouts() noexcept { return timeouts_; }
    std::size_t size() const noexcept { return ipv4_->records() + ipv6_->records(); }

  private:
    nat::SessionBudget budget_{{}};
    nat::Timeouts timeouts_;
    std::optional<nat::Sessions<nat::Session4>> ipv4_;
    std::optional<nat::Sessions<nat::Session6>> ipv6_;
};

}  // namespace sekisho::dataplane

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

    // Empty, for so many sessions. Of the node's, so many for each of its workers, an operator may have half and an
    // institution a sixteenth: a share of that is this worker's.
    void make_room(SessionCapacity capacity, std::size_t workers = 1, std::size_t worker = 0) {
        const auto all = static_cast<std::uint32_t>((capacity.ipv4 + capacity.ipv6) * workers);
        budget_.set(nat::share_of({all / 16, all / 2}, workers, worker));
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

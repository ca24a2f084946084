// The ports of a pool of hub-space addresses: a share for each worker.
//
// The one part of a pool that outlives a generation: what is lent stays lent while the next ones have the pool with
// these addresses. Tables hold it. A worker's share is its own but for hairpinned sessions, whose two ports may be of
// two shares: where there are several workers, whoever uses a share holds it, for as long as one call takes. The log of
// a share is read by control.
#pragma once

#include <atomic>
#include <compare>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nat/port_pool.hpp"
#include "net/expected.hpp"
#include "net/ids.hpp"
#include "net/prefix.hpp"

namespace sekisho::dataplane {

// A share that nobody else uses as long as this lives.
class HeldShare {
  public:
    // It lends by these rules now. `busy`: null where there is only one worker.
    HeldShare(nat::PortPool& share, std::atomic_flag* busy, const nat::PortRules& rules) noexcept
        : share_(share), busy_(busy) {
        if (busy_ != nullptr)
            while (busy_->test_and_set(std::memory_order_acquire)) __builtin_ia32_pause();
        share_.set(rules);
    }
    ~HeldShare() {
        if (busy_ != nullptr) busy_->clear(std::memory_order_release);
    }
    HeldShare(const HeldShare&) = delete;
    HeldShare& operator=(const HeldShare&) = delete;
    nat::PortPool* operator->() const noexcept { return &share_; }

  private:
    nat::PortPool& share_;
    std::atomic_flag* busy_;
};

class PortShares {
  public:
    // What tells one pool from another.
    struct Identity {
        std::string name;  // the translation's
        Prefix4 addresses;
        bool by_institution = false;  // blocks are an institution's; otherwise a host's
        friend auto operator<=>(const Identity&, const Identity&) = default;
    };
    // For so many workers. `since`: the low bits of the generation that it is made for.
    static Expected<std::shared_ptr<PortShares>> make(Identity identity, std::size_t workers, std::uint32_t since) {
        const Prefix4& addresses = identity.addresses;
        nat::PortPoolOptions options;
        for (std::uint64_t i = 0; i < std::uint64_t{1} << (32 - addresses.length()); ++i)
            options.addresses.push_back(Ipv4Address(static_cast<std::uint32_t>(addresses.address().value() + i)));
        options.shares = static_cast<std::uint32_t>(workers);
        std::shared_ptr<PortShares> made(new PortShares(std::move(identity), since, workers));
        for (; options.share < options.shares; ++options.share) {
            auto share = nat::PortPool::make(options);
            if (!share) return share.error();
            made->shares_.push_back(std::move(*share));
        }
        return made;
    }

    // For control and tests: of the log, and where no worker runs.
    nat::PortPool& of(WorkerId worker) noexcept { return *shares_[worker.index()]; }
    // The worker's; worker threads. Two are never held at once.
    HeldShare hold(WorkerId worker, const nat::PortRules& rules) noexcept {
        return {*shares_[worker.index()], workers() == 1 ? nullptr : &busy_[worker.index()].flag, rules};
    }
    // The one that lends this hub-space endpoint.
    WorkerId lender_of(const nat::Endpoint& outside) const noexcept {
        return WorkerId(
            static_cast<WorkerId::Value>(nat::PortPool::share_of(outside, static_cast<std::uint32_t>(workers()))));
    }
    std::size_t workers() const noexcept { return shares_.size(); }
    const std::string& name() const noexcept { return identity_.name; }
    const Prefix4& addresses() const noexcept { return identity_.addresses; }
    bool by_institution() const noexcept { return identity_.by_institution; }
    // Whether a session decided under tables of this epoch has its ports from here, and not from a pool of the same
    // addresses before.
    bool lent_in(std::uint32_t epoch) const noexcept { return static_cast<std::int32_t>(epoch - since_) >= 0; }

  private:
    PortShares(Identity identity, std::uint32_t since, std::size_t workers)
        : identity_(std::move(identity)), since_(since), busy_(std::make_unique<Busy[]>(workers)) {}

    struct alignas(64) Busy {
        std::atomic_flag flag;
    };

    Identity identity_;
    std::uint32_t since_;
    std::vector<std::unique_ptr<nat::PortPool>> shares_;  // by WorkerId
    std::unique_ptr<Busy[]> busy_;                        // likewise
};

// A pool in a generation.
struct PortPoolRow {
    std::shared_ptr<PortShares> shares;  // null: a hole in the numbering
    VrfId vrf;                           // whose institutions are behind it
    nat::PortRules rules;
};

}  // namespace sekisho::dataplane

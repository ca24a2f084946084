// The ports of a pool of hub-space addresses: a share for each worker.
//
// The one part of a pool that outlives a generation: what is lent stays lent while the next ones have the pool with
// these addresses. Tables hold it; a worker writes its own share and no other. The log of a share is read by control.
#pragma once

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
        std::shared_ptr<PortShares> made(new PortShares(std::move(identity), since));
        for (; options.share < options.shares; ++options.share) {
            auto share = nat::PortPool::make(options);
            if (!share) return share.error();
            made->shares_.push_back(std::move(*share));
        }
        return made;
    }

    nat::PortPool& of(WorkerId worker) noexcept { return *shares_[worker.index()]; }
    std::size_t workers() const noexcept { return shares_.size(); }
    const std::string& name() const noexcept { return identity_.name; }
    const Prefix4& addresses() const noexcept { return identity_.addresses; }
    bool by_institution() const noexcept { return identity_.by_institution; }
    // Whether a session decided under tables of this epoch has its ports from here, and not from a pool of the same
    // addresses before.
    bool lent_in(std::uint32_t epoch) const noexcept { return static_cast<std::int32_t>(epoch - since_) >= 0; }

  private:
    PortShares(Identity identity, std::uint32_t since) : identity_(std::move(identity)), since_(since) {}

    Identity identity_;
    std::uint32_t since_;
    std::vector<std::unique_ptr<nat::PortPool>> shares_;  // by WorkerId
};

// A pool in a generation.
struct PortPoolRow {
    std::shared_ptr<PortShares> shares;
    VrfId vrf;  // whose institutions are behind it
    nat::PortRules rules;
};

}  // namespace sekisho::dataplane

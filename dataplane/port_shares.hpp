// The ports of a pool of hub-space addresses: a share for each worker.
//
// The one part of a pool that outlives a generation: what is lent stays lent while the next ones have the pool with
// these addresses. Tables hold it; a worker writes its own share and no other. The log of a share is read by control.
#pragma once

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
    // For so many workers. `since`: the low bits of the generation that it is made for.
    static Expected<std::shared_ptr<PortShares>> make(std::string name, const Prefix4& addresses, std::size_t workers,
                                                      std::uint32_t since) {
        nat::PortPoolOptions options;
        for (std::uint64_t i = 0; i < std::uint64_t{1} << (32 - addresses.length()); ++i)
            options.addresses.push_back(Ipv4Address(static_cast<std::uint32_t>(addresses.address().value() + i)));
        options.shares = static_cast<std::uint32_t>(workers);
        std::shared_ptr<PortShares> made(new PortShares(std::move(name), addresses, since));
        for (; options.share < options.shares; ++options.share) {
            auto share = nat::PortPool::make(options);
            if (!share) return share.error();
            made->shares_.push_back(std::move(*share));
        }
        return made;
    }

    nat::PortPool& of(WorkerId worker) noexcept { return *shares_[worker.index()]; }
    std::size_t workers() const noexcept { return shares_.size(); }
    const std::string& name() const noexcept { return name_; }  // the translation's
    const Prefix4& addresses() const noexcept { return addresses_; }
    // Whether a session decided under tables of this epoch has its ports from here, and not from a pool of the same
    // addresses before.
    bool lent_in(std::uint32_t epoch) const noexcept { return static_cast<std::int32_t>(epoch - since_) >= 0; }

  private:
    PortShares(std::string name, const Prefix4& addresses, std::uint32_t since)
        : name_(std::move(name)), addresses_(addresses), since_(since) {}

    std::string name_;
    Prefix4 addresses_;
    std::uint32_t since_;
    std::vector<std::unique_ptr<nat::PortPool>> shares_;  // by WorkerId
};

// A pool in a generation.
struct PortPoolRow {
    std::shared_ptr<PortShares> shares;
    VrfId vrf;  // whose institutions are behind it
    nat::PortRules rules;
    bool by_institution = false;  // blocks are an institution's; otherwise a host's
};

}  // namespace sekisho::dataplane

// One tunnel through its rekeyings: several inbound SAs at a time, one outbound SA that is current (make before break).
//
// The order of a rekey: the new inbound SA first, then, when the peer is ready, the new outbound one, then the old
// inbound one goes. Until then packets of both are opened, so none is lost. No outbound SA means that packets are
// dropped (sa_missing), never sent plain. Control writes, one thread at a time; workers read outbound().
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "crypto/sad.hpp"

namespace sekisho::crypto {

class Tunnel {
  public:
    // `current` is the word in which workers find the outbound SA; the caller's, so that it can lie in a table. What
    // workers may still hold goes to `retire`, as Sad's. The word and the Sad, which keeps the inbound SAs, outlive
    // this.
    Tunnel(Sad& sad, std::atomic<OutboundSa*>& current, Retire retire)
        : sad_(sad), retire_(std::move(retire)), current_(current) {}
    Tunnel(const Tunnel&) = delete;
    Tunnel& operator=(const Tunnel&) = delete;
    ~Tunnel() { close(); }

    // Error: as Sad::insert().
    Expected<void> add_inbound(std::shared_ptr<InboundSa> sa) {
        const Spi spi = sa->spi();
        auto inserted = sad_.insert(std::move(sa));
        if (inserted) inbound_.push_back(spi);
        return inserted;
    }
    // Error: not_found, for an SA that is not this tunnel's.
    Expected<void> remove_inbound(Spi spi) {
        const auto found = std::find(inbound_.rbegin(), inbound_.rend(), spi);  // close() takes the last first
        if (found == inbound_.rend())
            return Error{ErrorCode::not_found, "the tunnel has no inbound SA with SPI " + std::to_string(spi.value())};
        inbound_.erase(std::next(found).base());
        return sad_.erase(spi);
    }

    // From the next burst on, workers seal with this one; nullptr: with none. The old one is retired. Its nonces are
    // the ledger's to release, when no worker can hold it any more.
    void switch_outbound(std::shared_ptr<OutboundSa> sa) {
        current_.store(sa.get(), std::memory_order_release);
        if (outbound_) retire_(std::move(outbound_));
        outbound_ = std::move(sa);
    }

    // Workers, between two quiescent points; nullptr: nothing may leave.
    OutboundSa* outbound() const noexcept { return current_.load(std::memory_order_acquire); }

    const std::vector<Spi>& inbound() const noexcept { return inbound_; }
    const std::shared_ptr<OutboundSa>& current() const noexcept { return outbound_; }

    // All its SAs go: nothing is sealed, nothing opened.
    void close() {
        switch_outbound(nullptr);
        while (!inbound_.empty()) (void)remove_inbound(inbound_.back());
    }

  private:
    Sad& sad_;
    Retire retire_;
    std::vector<Spi> inbound_;
    std::shared_ptr<OutboundSa> outbound_;
    std::atomic<OutboundSa*>& current_;
};

}  // namespace sekisho::crypto

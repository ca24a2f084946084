// Real workers with protected_policy.hpp's tunnel: its SAs without a hub, and what the peer and kita send.
//
// Higashi's underlay is port 0, kita and the portal are port 1. What goes back to the tests is the far end's view, by
// esp_peer.hpp; what is retired is kept until the workers have ended, or freed as control frees it.
#pragma once

#include <array>
#include <deque>
#include <memory>

#include "tests/dataplane/support/protected.hpp"
#include "tests/dataplane/support/running.hpp"

namespace sekisho::test {

// Higashi's underlay on port 0, kita and center on port 1.
inline Policy two_protected_ports() {
    Policy policy = protected_policy();
    policy.line("higashi-line").port = 0;
    policy.line("kita").port = 1;
    policy.line("kita-backup").port = 1;
    policy.line("kita").vlan(40);
    policy.line("minami").port = 1;
    policy.line("center").port = 1;
    return policy;
}

// SAs without a hub. Outlives the workers that use them.
class Keys {
  public:
    explicit Keys(std::size_t workers) {
        auto made = dataplane::Associations::make(crypto::fastest_engine(), workers,
                                                  [this](auto gone) { retire(std::move(gone)); });
        REQUIRE(made);
        all = std::move(*made);
    }
    ~Keys() { retired_.clear(); }
    Keys(const Keys&) = delete;
    Keys& operator=(const Keys&) = delete;

    void inbound(const EspKey& key, const crypto::LifetimeLimits& lifetime = {}) {
        crypto::InboundConfig config{key.spi};
        config.selectors = any_selectors();
        config.tunnel = kHigashiTunnel;
        config.lifetime = lifetime;
        REQUIRE(all->add_inbound(config, Secret(key.keying), {}));
    }
    void outbound(const EspKey& key, const crypto::LifetimeLimits& lifetime = {}, std::function<void()> ended = {}) {
        crypto::OutboundConfig config{key.spi};
        config.local = address(kOuter4.hub);
        config.peer = address(kOuter4.peer);
        config.lifetime = lifetime;
        auto sa = all->make_outbound(config, Secret(key.keying), std::move(ended));
        REQUIRE(sa);
        (*sa)->sequence().begin(1, (*sa)->last_sequence());
        (*sa)->sequence().extend((*sa)->last_sequence());
        REQUIRE(all->switch_outbound(kHigashiTunnel, *sa, {}));
    }

    // From now on what is retired waits for these workers' quiescent points, not for their end. Until they stop.
    void free_while(RunningWorkers& workers) { readers_ = &workers.readers(); }
    // Frees what no worker can hold any more; returns how many still wait.
    std::size_t reclaim() {
        while (!retired_.empty() && rte_rcu_qsbr_check(readers_, retired_.front().token, false) == 1)
            retired_.pop_front();
        return retired_.size();
    }
    // Tells whether what was retired last still lives.
    std::weak_ptr<const void> last_retired() const { return retired_.back().gone; }

    std::unique_ptr<dataplane::Associations> all;

  private:
    struct Retired {
        std::uint64_t token;
        std::shared_ptr<const void> gone;
    };
    void retire(std::shared_ptr<const void> gone) {
        retired_.push_back({readers_ != nullptr ? rte_rcu_qsbr_start(readers_) : 0, std::move(gone)});
    }

    rte_rcu_qsbr* readers_ = nullptr;
    std::deque<Retired> retired_;
};

inline Bytes payload_of(std::uint32_t number) {
    Bytes payload(18);
    std::memcpy(payload.data(), &number, sizeof number);
    return payload;
}
// The number in the payload that begins at `at`.
inline std::uint32_t number_in(std::span<const std::uint8_t> bytes, std::size_t at) {
    std::uint32_t number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    return number;
}
// In an inner packet of UDP over IPv4: the first bytes of its payload.
inline constexpr std::size_t kInnerNumberAt = sizeof(Ipv4Header) + sizeof(UdpHeader);
// Packet `sequence` of the SA, around `inner`, as it comes by the underlay.
inline Bytes carried(const Policy& policy, const EspKey& key, std::uint64_t sequence, const Bytes& inner) {
    return packet(kOuter4.peer, kOuter4.hub, kProtocolEsp, esp(key, sequence, inner))
        .to(policy.line("higashi-line").mac_address)
        .vlan(30)
        .bytes();
}
// The same with a datagram to the portal that carries the number too.
inline Bytes from_peer(const Policy& policy, const EspKey& key, std::uint32_t number, unsigned port = 4000) {
    return carried(policy, key, number, udp(at("10.0.0.7", port), "100.64.2.9:53").payload(payload_of(number)).ip());
}
inline Bytes from_kita(const Policy& policy, std::uint32_t number) {
    return udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9")
        .payload(payload_of(number))
        .to(policy.line("kita").mac_address)
        .vlan(40)
        .bytes();
}

// What of one SA or flow left, of all that came by two queues. Number 1 + queue + 2 * place is the queue's at `place`,
// and each queue is polled by one worker: so what passes of a queue leaves in order and without gaps.
struct Places {
    static std::uint32_t number(std::size_t queue, std::uint32_t place) {
        return 1 + static_cast<std::uint32_t>(queue) + 2 * place;
    }
    void see(std::uint32_t number) {
        const std::uint32_t queue = (number - 1) % 2, place = (number - 1) / 2;
        if (!any[queue]) any[queue] = true, first[queue] = next[queue] = place;
        wrong += place != next[queue]++ ? 1U : 0U;
        if (number > highest) highest = number;
        furthest = std::max(furthest, highest - number);
    }
    std::uint32_t count() const { return next[0] - first[0] + next[1] - first[1]; }

    std::array<bool, 2> any{};
    std::array<std::uint32_t, 2> first{}, next{};  // places, by queue
    std::uint32_t highest = 0, furthest = 0;       // numbers: the highest, and how late one was behind it
    unsigned wrong = 0;
};

// As RunningWorkers::reaches(), which asks all workers, while one is held up.
inline bool comes_true(const std::function<bool()>& wanted) {
    for (int i = 0; i < 5000; ++i) {
        if (wanted()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

// The workers learn the neighbours.
inline void introduce(RingPort& higashi, RingPort& center, RunningWorkers& workers) {
    higashi.receive(
        {arp(1, {.sender_mac = kHigashiGateway, .sender = "203.0.113.2", .target = "203.0.113.1"}).vlan(30).bytes()});
    center.receive({arp(1, {.sender_mac = kPortal, .sender = "192.168.9.9", .target = "192.168.9.1"}).bytes()});
    REQUIRE(workers.reaches([](const auto& counters) {
        return dropped(counters.ports[0], DropReason::mac_not_ours) == 1 &&
               dropped(counters.ports[1], DropReason::mac_not_ours) == 1;
    }));
}

inline void check_protected_end(const dataplane::Counters& last) {
    for (const auto& port : last.ports) {
        CHECK(port.unaccounted() == 0);
        CHECK(port.held == 0);
    }
}

}  // namespace sekisho::test

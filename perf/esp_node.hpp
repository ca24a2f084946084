// A node without ports, its SAs, and the far end of their tunnels: what ESP's benchmarks measure with.
#pragma once

#include <memory>
#include <vector>

#include <rte_cycles.h>

#include "dataplane/walk.hpp"
#include "perf/bench.hpp"
#include "tests/dataplane/support/frame.hpp"
#include "tests/dataplane/support/protected_policy.hpp"

namespace sekisho::perf {

using namespace sekisho::test;
using namespace sekisho::dataplane;

// Everything that a node has but its ports: tables, SAs, a pool, and workers' states.
struct Node {
    explicit Node(std::unique_ptr<Tables> made, std::size_t workers = 1,
                  crypto::EngineKind engine = crypto::fastest_engine())
        : tables(std::move(made)),
          associations(must(Associations::make(engine, workers, [](auto) {}))),
          weights(workers, 1),
          team(weights, rte_get_tsc_hz()) {
        tables->generation = 1;
        team.associations = associations.get();
        pool.reset(rte_pktmbuf_pool_create("bench", 8191, 256, kPrivateRoom, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY));
        expect(pool != nullptr, "a pool");
        for (std::size_t i = 0; i < workers; ++i) {
            states.push_back(std::make_unique<WorkerState>(8, pool.get(), rte_get_tsc_hz(), team,
                                                           WorkerId(static_cast<std::uint16_t>(i))));
            states.back()->flow_cache = std::make_unique<FlowCache>();
        }
    }

    void know(AttachmentId attachment, std::string_view neighbour, std::string_view station) {
        const auto number = team.neighbours.find_or_add(attachment, address(neighbour).ipv4());
        team.neighbours.confirm(number, mac(station), rte_rdtsc());
    }

    std::unique_ptr<Tables> tables;
    std::unique_ptr<Associations> associations;
    std::vector<unsigned> weights;
    Team team;
    Mempool pool;
    std::vector<std::unique_ptr<WorkerState>> states;
};

inline Secret key_of(std::uint32_t number) {
    std::vector<std::uint8_t> material(16 + 4);
    for (std::size_t i = 0; i < material.size(); ++i) material[i] = static_cast<std::uint8_t>(number >> i % 4 * 8 ^ i);
    return Secret(std::move(material));
}

inline Associations::Outbound outbound(Node& node, std::uint32_t number) {
    crypto::OutboundConfig config{Spi(1000 + number)};
    config.local = address(kOuter4.hub);
    config.peer = address(kOuter4.peer);
    auto sa = must(node.associations->make_outbound(config, key_of(number)));
    sa->sequence().begin(1, sa->last_sequence());
    sa->sequence().extend(sa->last_sequence());
    return sa;
}
inline void inbound(Node& node, std::uint32_t number, std::uint32_t window = crypto::kDefaultReplayWindow) {
    crypto::InboundConfig config{Spi(1000 + number)};
    config.selectors = any_selectors();
    config.tunnel = kHigashiTunnel;
    config.replay_window = window;
    (void)must(Expected<bool>(node.associations->add_inbound(config, key_of(number), {}).has_value()));
}

// The far end of `count` tunnels: makes what is to be opened.
class Peer {
  public:
    explicit Peer(std::uint32_t count)
        : engine_(must(crypto::make_engine(crypto::fastest_engine()))),
          keys_(crypto::prepared_bytes(crypto::fastest_engine())) {
        for (std::uint32_t i = 0; i < count; ++i) {
            crypto::OutboundConfig config{Spi(1000 + i)};
            config.local = address(kOuter4.peer);
            config.peer = address(kOuter4.hub);
            all_.push_back(must(crypto::OutboundSa::make(config, key_of(i), *engine_, keys_)));
            all_.back()->sequence().begin(1, all_.back()->last_sequence());
            all_.back()->sequence().extend(all_.back()->last_sequence());
        }
    }
    std::unique_ptr<crypto::AeadEngine> engine() const { return must(crypto::make_engine(crypto::fastest_engine())); }
    crypto::OutboundSa* operator[](std::size_t i) const { return all_[i].get(); }

  private:
    std::unique_ptr<crypto::AeadEngine> engine_;
    crypto::KeyStore keys_;
    std::vector<std::unique_ptr<crypto::OutboundSa>> all_;
};

inline void introduce(Node& node) {
    node.know(AttachmentId(3), "192.168.9.2", "02:00:00:00:0c:01");
    node.know(AttachmentId(4), "203.0.113.2", kHigashiGateway);
}

// Both ways lead by gateways, as the plain path's benchmark has it.
inline Policy bench_policy() {
    Policy policy = protected_policy(Family::ipv4);
    policy.agreement("higashi-hospital", "archive").any();
    return policy;
}

}  // namespace sekisho::perf

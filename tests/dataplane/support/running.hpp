// Real workers on ports of their own: rings in memory whose transmit side is their receive side.
//
// What leaves by a queue of such a port comes back in by it, and is dropped as not ours. DPDK calls us for every burst,
// on the worker's thread: so a test can see what leaves, in order, and can hold up a worker.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include <rte_ethdev.h>
#include <rte_ring.h>

#include "dataplane/worker.hpp"
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {

// A port whose queues are rings of `capacity` frames, as many as there are workers, or `queues` of them.
class RingPort {
  public:
    RingPort(const std::string& port_name, unsigned capacity, std::size_t workers = 1, std::uint16_t queues = 0) {
        const std::string name = "net_ring_" + port_name;
        for (int i = 0; i < 16; ++i) {  // the driver wants sixteen
            const std::string ring = "ETH_RXTX" + std::to_string(i) + "_" + name;
            rings_.push_back(rte_ring_create(ring.c_str(), capacity, SOCKET_ID_ANY, RING_F_EXACT_SZ));
            REQUIRE(rings_.back() != nullptr);
        }
        dataplane::PortSpec spec{port_name, name + ",nodeaction=" + name + ":0:ATTACH"};
        spec.queues = queues;
        auto port = dataplane::Port::open(spec, workers, Eal::frames());
        if (!port) FAIL(port.error().words);
        port_ = std::move(*port);
        REQUIRE(rte_eth_dev_get_port_by_name(name.c_str(), &device_) == 0);
        for (std::uint16_t queue = 0; queue < port_->plan().receive_queues; ++queue) {
            callbacks_.push_back({rte_eth_add_rx_callback(device_, queue, received, this),
                                  rte_eth_add_tx_callback(device_, queue, leaving, this)});
            REQUIRE(callbacks_.back().first != nullptr);
            REQUIRE(callbacks_.back().second != nullptr);
        }
    }
    ~RingPort() {
        close();
        for (rte_ring* const ring : rings_) {
            for (void* mbuf = nullptr; rte_ring_dequeue(ring, &mbuf) == 0;)
                rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
            rte_ring_free(ring);
        }
    }
    RingPort(const RingPort&) = delete;
    RingPort& operator=(const RingPort&) = delete;

    std::size_t tailroom = 0;  // behind received frames, for what is to be sealed
    // Called with every frame that leaves, on the thread of the worker that sends it. Set before the workers run.
    std::function<void(std::span<const std::uint8_t>)> seen;
    // While it lives, or until let_go(), the worker that polls the queue stays in DPDK's receive function. Made when it
    // is there.
    class HeldUp {
      public:
        HeldUp(RingPort& port, std::uint16_t queue) : port_(port) {
            port_.held_queue_ = queue;
            while (!port_.is_held_) std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        ~HeldUp() { let_go(); }
        HeldUp(const HeldUp&) = delete;
        HeldUp& operator=(const HeldUp&) = delete;
        void let_go() { port_.held_queue_ = kNone; }

      private:
        RingPort& port_;
    };
    void receive(const std::vector<Bytes>& frames, std::size_t queue = 0) {
        std::vector<void*> mbufs;
        for (const Bytes& frame : frames) {
            mbufs.push_back(exact_buffer(Eal::frames(), frame, kHeadroom, tailroom));
            REQUIRE(mbufs.back() != nullptr);
        }
        ++order_;
        REQUIRE(rte_ring_enqueue_bulk(rings_[queue], mbufs.data(), static_cast<unsigned>(mbufs.size()), nullptr) ==
                mbufs.size());
    }

  private:
    friend class Ports;
    static constexpr int kNone = -1;

    void close() {
        // DPDK would keep them for its next device of this number.
        for (std::uint16_t queue = 0; queue < callbacks_.size(); ++queue) {
            CHECK(rte_eth_remove_rx_callback(device_, queue, callbacks_[queue].first) == 0);
            CHECK(rte_eth_remove_tx_callback(device_, queue, callbacks_[queue].second) == 0);
        }
        callbacks_.clear();
        port_.reset();
    }

    static std::uint16_t received(std::uint16_t, std::uint16_t queue, rte_mbuf**, std::uint16_t count, std::uint16_t,
                                  void* self) {
        auto& port = *static_cast<RingPort*>(self);
        static_cast<void>(port.order_.load());
        while (port.held_queue_ == queue) {
            port.is_held_ = true;
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        return count;
    }
    static std::uint16_t leaving(std::uint16_t, std::uint16_t, rte_mbuf** frames, std::uint16_t count, void* self) {
        auto& port = *static_cast<RingPort*>(self);
        for (std::uint16_t i = 0; i < count && port.seen; ++i)
            port.seen({rte_pktmbuf_mtod(frames[i], const std::uint8_t*), rte_pktmbuf_data_len(frames[i])});
        ++port.order_;
        return count;
    }

    std::vector<rte_ring*> rings_;
    std::unique_ptr<dataplane::Port> port_;
    std::uint16_t device_ = 0;
    std::vector<std::pair<const rte_eth_rxtx_callback*, const rte_eth_rxtx_callback*>> callbacks_;  // by queue
    std::atomic<int> held_queue_{kNone};
    std::atomic<bool> is_held_{false};
    // Raised before frames go into a ring and read after some came out: the order that the rings keep, said so that the
    // thread sanitizer sees it.
    std::atomic<std::uint64_t> order_{0};
};

// Ports as workers want them, lent for as long as the workers live.
class Ports {
  public:
    explicit Ports(std::initializer_list<RingPort*> rings) : rings_(rings) {
        for (RingPort* const ring : rings_) ports_.push_back(std::move(ring->port_));
    }
    ~Ports() {
        for (std::size_t i = 0; i < rings_.size(); ++i) {
            rings_[i]->port_ = std::move(ports_[i]);
            rings_[i]->close();
        }
    }
    Ports(const Ports&) = delete;
    Ports& operator=(const Ports&) = delete;
    std::span<const std::unique_ptr<dataplane::Port>> list() const { return ports_; }

  private:
    std::vector<RingPort*> rings_;
    std::vector<std::unique_ptr<dataplane::Port>> ports_;
};

// A team of workers, each on a thread.
class RunningWorkers {
  public:
    RunningWorkers(std::span<const std::unique_ptr<dataplane::Port>> ports, const dataplane::Tables& tables,
                   std::vector<unsigned> weights = {1}, std::size_t ring_capacity = dataplane::HandoverRing::kCapacity,
                   const dataplane::Associations* associations = nullptr,
                   std::vector<std::unique_ptr<const dataplane::RssMap>> rss_maps = {})
        : tables_(&tables), team_(weights, rte_get_tsc_hz(), ring_capacity), answers_(weights.size()) {
        team_.associations = associations;
        team_.rss_maps = std::move(rss_maps);
        const auto count = static_cast<std::uint32_t>(weights.size());
        const std::size_t size = (rte_rcu_qsbr_get_memsize(count) + 63) / 64 * 64;
        readers_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, size)));
        REQUIRE(rte_rcu_qsbr_init(readers_.get(), count) == 0);
        for (std::uint16_t i = 0; i < count; ++i)
            workers_.push_back(std::make_unique<dataplane::Worker>(ports, tables_, readers_.get(), team_, WorkerId(i),
                                                                   Eal::made(), dataplane::Idle::sleep));
        for (const auto& worker : workers_) threads_.emplace_back([&worker] { worker->run(); });
    }
    ~RunningWorkers() { stop(); }

    // Of each worker, one consistent cut.
    const std::vector<dataplane::Counters>& each() {
        ++team_.counter_call;
        for (std::size_t i = 0; i < workers_.size(); ++i)
            while (!workers_[i]->mailbox().taken(answers_[i]))
                std::this_thread::sleep_for(std::chrono::microseconds(50));
        return answers_;
    }
    dataplane::Counters counters() {
        dataplane::Counters sum;
        for (const dataplane::Counters& counters : each()) sum += counters;
        return sum;
    }
    // Waits until the counters are as wanted; false after some seconds.
    bool reaches(const std::function<bool(const dataplane::Counters&)>& wanted) {
        for (int i = 0; i < 5000; ++i) {
            if (wanted(counters())) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        for (const dataplane::PortCounters& port : counters().ports) {
            std::string words;
            for (std::size_t i = 0; i < kDropReasonCount; ++i)
                if (port.dropped[i] != 0)
                    words += " " + std::string(kDropReasons[i].name) + " " + std::to_string(port.dropped[i]);
            UNSCOPED_INFO("received " << port.received << " made " << port.made << " sent " << port.sent << " consumed "
                                      << port.consumed << " held " << port.held << " dropped:" << words);
        }
        return false;
    }
    void ask_to_stop() {
        for (const auto& worker : workers_) worker->stop();
    }
    dataplane::Counters stop() {
        if (!threads_.empty()) {
            ask_to_stop();
            for (std::thread& thread : threads_) thread.join();
            threads_.clear();
            for (const auto& worker : workers_) worker->give_up();
        }
        dataplane::Counters sum;
        for (const auto& worker : workers_) sum += worker->final_counters();
        return sum;
    }
    const dataplane::Worker& worker(std::size_t number) const { return *workers_[number]; }
    dataplane::SessionDesk& desk(std::size_t number) { return workers_[number]->desk(); }
    dataplane::Team& team() { return team_; }
    std::atomic<const dataplane::Tables*>& tables() { return tables_; }
    rte_rcu_qsbr& readers() { return *readers_; }

  private:
    struct Free {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    std::unique_ptr<rte_rcu_qsbr, Free> readers_;
    std::atomic<const dataplane::Tables*> tables_;
    dataplane::Team team_;
    std::vector<std::unique_ptr<dataplane::Worker>> workers_;
    std::vector<std::thread> threads_;
    std::vector<dataplane::Counters> answers_;
};

inline std::uint64_t dropped(const dataplane::PortCounters& port, DropReason reason) {
    const std::uint64_t count = port.dropped[static_cast<std::size_t>(reason)];
    if (count != 0) provoked_reasons().insert(reason);
    return count;
}

// Whoever had a buffer has given it back.
inline void check_buffers() {
    CHECK(rte_mempool_in_use_count(Eal::frames()) == 0);
    CHECK(rte_mempool_in_use_count(Eal::made()) == 0);
}

// In an untagged frame of UDP over IPv4: the first bytes of its payload.
inline constexpr std::size_t kSequenceAt = 42;

}  // namespace sekisho::test

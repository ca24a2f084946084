// The worker on ports of its own: rings in memory whose transmit side is their receive side.
//
// What leaves comes back in and is dropped as not ours; what the path does with frames is the other tests' business.
#include "dataplane/worker.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include <rte_ring.h>

#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;
using namespace std::chrono_literals;

namespace {

// A port whose first queue is a ring of `capacity` frames. The driver wants sixteen rings.
class RingPort {
  public:
    RingPort(const std::string& port_name, unsigned capacity) {
        const std::string name = "net_ring_" + port_name;
        for (int i = 0; i < 16; ++i) {
            const std::string ring = "ETH_RXTX" + std::to_string(i) + "_" + name;
            rings_.push_back(rte_ring_create(ring.c_str(), capacity, SOCKET_ID_ANY, RING_F_EXACT_SZ));
            REQUIRE(rings_.back() != nullptr);
        }
        auto port = dataplane::Port::open({port_name, name + ",nodeaction=" + name + ":0:ATTACH"}, 1, Eal::frames());
        if (!port) FAIL(port.error().words);
        port_ = std::move(*port);
    }
    ~RingPort() {
        port_.reset();
        for (void* mbuf = nullptr; rte_ring_dequeue(rings_.front(), &mbuf) == 0;)
            rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
        for (rte_ring* const ring : rings_) rte_ring_free(ring);
    }
    RingPort(const RingPort&) = delete;
    RingPort& operator=(const RingPort&) = delete;

    std::unique_ptr<dataplane::Port> take() { return std::move(port_); }
    void receive(const std::vector<Bytes>& frames) {
        std::vector<void*> mbufs;
        for (const Bytes& frame : frames) mbufs.push_back(exact_buffer(Eal::frames(), frame));
        REQUIRE(rte_ring_enqueue_bulk(rings_.front(), mbufs.data(), static_cast<unsigned>(mbufs.size()), nullptr) ==
                mbufs.size());
    }

  private:
    std::vector<rte_ring*> rings_;
    std::unique_ptr<dataplane::Port> port_;
};

class RunningWorker {
  public:
    RunningWorker(std::span<const std::unique_ptr<dataplane::Port>> ports, const dataplane::Tables& tables)
        : tables_(&tables) {
        const std::size_t size = (rte_rcu_qsbr_get_memsize(1) + 63) / 64 * 64;
        readers_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, size)));
        REQUIRE(rte_rcu_qsbr_init(readers_.get(), 1) == 0);
        worker_ =
            std::make_unique<dataplane::Worker>(ports, tables_, readers_.get(), 0, Eal::made(), dataplane::Idle::sleep);
        thread_ = std::thread([this] { worker_->run(); });
    }
    ~RunningWorker() { stop(); }

    dataplane::Counters counters() {
        dataplane::Counters copy;
        worker_->mailbox().ask();
        while (!worker_->mailbox().taken(copy)) std::this_thread::sleep_for(100us);
        return copy;
    }
    // Waits until the counters are as wanted; false after some seconds.
    bool reaches(const std::function<bool(const dataplane::Counters&)>& wanted) {
        for (int i = 0; i < 5000; ++i) {
            if (wanted(counters())) return true;
            std::this_thread::sleep_for(1ms);
        }
        return false;
    }
    const dataplane::Counters& stop() {
        if (thread_.joinable()) {
            worker_->stop();
            thread_.join();
        }
        return worker_->final_counters();
    }

  private:
    struct Free {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    std::unique_ptr<rte_rcu_qsbr, Free> readers_;
    std::atomic<const dataplane::Tables*> tables_;
    std::unique_ptr<dataplane::Worker> worker_;
    std::thread thread_;
};

std::uint64_t dropped(const dataplane::PortCounters& port, DropReason reason) {
    const std::uint64_t count = port.dropped[static_cast<std::size_t>(reason)];
    if (count != 0) provoked_reasons().insert(reason);
    return count;
}

}  // namespace

TEST_CASE("worker: what a port does not take, and what is held at the end, is counted", "[worker]") {
    Policy policy = standard_policy();
    policy.line("minami").port = 0;
    policy.line("center").port = 1;
    const auto tables = policy.tables();
    const MacAddress kita = policy.line("kita").mac_address;
    {
        RingPort wide("wide", 256);
        RingPort narrow("narrow", 1);
        const std::unique_ptr<dataplane::Port> ports[] = {wide.take(), narrow.take()};
        RunningWorker worker(ports, *tables);

        // The portal asks, and is known from then on; the answer comes back by the ring as a frame for the portal.
        const auto portal_frames = [](std::uint64_t wanted) {
            return [wanted](const dataplane::Counters& counters) {
                return dropped(counters.ports[1], DropReason::mac_not_ours) == wanted;
            };
        };
        narrow.receive({arp(1, {.sender_mac = kPortal, .sender = "192.168.9.9", .target = "192.168.9.1"}).bytes()});
        REQUIRE(worker.reaches(portal_frames(1)));

        // Ten frames at once for a port that takes one.
        wide.receive(std::vector<Bytes>(10, udp("10.0.0.7:4000", "100.64.2.9:53").to(kita).bytes()));
        REQUIRE(worker.reaches(
            [](const auto& counters) { return dropped(counters.ports[0], DropReason::transmit_full) == 9; }));
        REQUIRE(worker.reaches(portal_frames(2)));

        // One for a neighbour that nobody knows; its question comes back as a duplicate address.
        wide.receive({udp("10.0.0.7:4000", "100.64.2.10:53").to(kita).bytes()});
        REQUIRE(worker.reaches([](const auto& counters) { return counters.ports[0].held == 1; }));
        REQUIRE(worker.reaches(
            [](const auto& counters) { return dropped(counters.ports[1], DropReason::duplicate_address) == 1; }));

        // And a fragment whose first one does not come.
        const Bytes whole = udp("10.0.0.7:4000", "100.64.2.9:53").dont_fragment(false).payload(200).ip();
        wide.receive({carrying(piece(whole, 64, 208, false)).to(kita).bytes()});
        REQUIRE(worker.reaches([](const auto& counters) { return counters.ports[0].received == 12; }));

        const dataplane::Counters& last = worker.stop();
        const std::uint64_t late = dropped(last.ports[0], DropReason::fragment_without_first);  // its second was over
        CHECK(dropped(last.ports[0], DropReason::stopped) + late == 2);
        CHECK(late <= 1);
        for (const auto& port : last.ports) {
            CHECK(port.unaccounted() == 0);
            CHECK(port.held == 0);
        }
        CHECK(last.ports[0].received == 12);
        CHECK(last.ports[0].sent == 2);  // one packet and one question
        CHECK(last.ports[0].transmitted == 0);
        CHECK(last.ports[1].transmitted == 3);
        CHECK(last.node().unaccounted() == 0);
    }
    CHECK(rte_mempool_in_use_count(Eal::frames()) == 0);
    CHECK(rte_mempool_in_use_count(Eal::made()) == 0);
}

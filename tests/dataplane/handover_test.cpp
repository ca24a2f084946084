// From worker to worker: the ring, the spreader, the plan of a port's queues, and the watch over stalls. No threads of
// workers here: workers_test.cpp has those.
#include <set>
#include <thread>

#include "dataplane/port_plan.hpp"
#include "dataplane/spread.hpp"
#include "dataplane/stall_watch.hpp"
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::test;
using namespace sekisho::dataplane;
using namespace std::chrono_literals;

namespace {

rte_mbuf* number_as_buffer(std::uintptr_t number) {
    return reinterpret_cast<rte_mbuf*>(number);  // never looked into
}

WorkerId worker_id(std::size_t number) {
    return WorkerId(static_cast<std::uint16_t>(number));
}

}  // namespace

TEST_CASE("hand-over: a full ring takes no more, and nothing is seen before it is published", "[handover]") {
    HandoverRing ring(4);
    for (std::uintptr_t i = 1; i <= 4; ++i)
        CHECK(ring.put({number_as_buffer(i), PortId(3), PortId(5), Entry::transmit}));
    CHECK_FALSE(ring.put({}));
    CHECK(ring.look() == 0);
    ring.publish();
    REQUIRE(ring.look() == 4);
    std::array<Handed, 3> some;
    REQUIRE(ring.take(some) == 3);
    CHECK(some[0].mbuf == number_as_buffer(1));
    CHECK(some[2].mbuf == number_as_buffer(3));
    CHECK(some[2].origin == PortId(3));
    CHECK(some[2].egress == PortId(5));
    CHECK(some[2].entry == Entry::transmit);
    CHECK(ring.put({number_as_buffer(5)}));
    ring.publish();
    CHECK(ring.look() == 1);  // what was seen before is taken first
    REQUIRE(ring.take(some) == 1);
    CHECK(some[0].mbuf == number_as_buffer(4));
    REQUIRE(ring.look() == 1);
    REQUIRE(ring.take(some) == 1);
    CHECK(some[0].mbuf == number_as_buffer(5));
    CHECK(ring.look() == 0);
}

TEST_CASE("hand-over: what one thread gives another takes, each once and in order", "[handover][threads]") {
    constexpr std::uintptr_t kCount = 200'000;
    HandoverRing ring(64);
    std::thread giver([&] {
        for (std::uintptr_t next = 1; next <= kCount;) {
            for (int burst = 0; burst < 7 && next <= kCount && ring.put({number_as_buffer(next)}); ++burst) ++next;
            ring.publish();
            if (next % 64 == 0) std::this_thread::yield();
        }
    });
    std::uintptr_t wrong = 0;
    std::uintptr_t expected = 1;
    std::array<Handed, 16> taken;
    while (expected <= kCount) {
        if (ring.look() == 0) {
            std::this_thread::yield();
            continue;
        }
        const std::size_t count = ring.take(taken);
        for (std::size_t i = 0; i < count; ++i) wrong += taken[i].mbuf != number_as_buffer(expected++) ? 1U : 0U;
    }
    giver.join();
    CHECK(wrong == 0);
    CHECK(ring.look() == 0);
}

TEST_CASE("spreader: both directions of a flow hash alike, and other flows otherwise", "[handover]") {
    const auto both = [](const char* a, const char* b) {
        const std::uint32_t there = flow_hash(udp(a, b).bytes());
        CHECK(there == flow_hash(udp(b, a).ttl(3).bytes()));
        CHECK(there == flow_hash(tcp(a, b).syn().vlan(7).bytes()));
        CHECK(there != 0);
        return there;
    };
    std::set<std::uint32_t> hashes = {
        both("10.0.0.7:4000", "100.64.2.9:53"),     both("10.0.0.7:4001", "100.64.2.9:53"),
        both("10.0.0.8:4000", "100.64.2.9:53"),     both("10.0.0.7:4000", "100.64.2.8:53"),
        both("[fd00::7]:4000", "[2001:db8::9]:53"), both("[fd00::7]:4000", "[2001:db8::9]:54"),
        both("[fd00::8]:4000", "[2001:db8::9]:53")};
    CHECK(hashes.size() == 7);
}

TEST_CASE("spreader: all fragments of a datagram go one way, whatever their ports' bytes are", "[handover]") {
    const std::uint32_t first = flow_hash(udp("10.0.0.7:4000", "100.64.2.9:53").fragment(0, true).bytes());
    CHECK(first == flow_hash(udp("10.0.0.7:17", "100.64.2.9:99").fragment(1480, true).bytes()));
    CHECK(first == flow_hash(udp("10.0.0.7:1", "100.64.2.9:2").fragment(2960, false).bytes()));
    CHECK(first == flow_hash(icmp("10.0.0.7", "100.64.2.9", 8).bytes()));
    const std::uint32_t first6 = flow_hash(udp("[fd00::7]:4000", "[2001:db8::9]:53").fragment_header(0, true).bytes());
    CHECK(first6 == flow_hash(udp("[fd00::7]:1", "[2001:db8::9]:2").fragment_header(1480, false).bytes()));
}

TEST_CASE("spreader: a frame cut anywhere is hashed within its bytes", "[handover]") {
    // Each lies in a heap buffer of its own length, where the sanitizer sees a read too far.
    std::size_t hashed = 0;
    for (const Bytes& whole : {tcp("10.0.0.7:4000", "100.64.2.9:53").options(Bytes(40, 1)).vlan(7).bytes(),
                               udp("[fd00::7]:4000", "[2001:db8::9]:53").vlan(7).bytes(),
                               udp("10.0.0.7:4000", "100.64.2.9:53").header_words(15).bytes()})
        for (std::size_t length = 0; length <= whole.size(); ++length) {
            const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
            hashed += flow_hash(cut) != 0 ? 1U : 0U;
        }
    CHECK(hashed > 0);
    CHECK(flow_hash(arp(1, {.sender_mac = kPortal, .sender = "192.168.9.9", .target = "192.168.9.1"}).bytes()) == 0);
}

TEST_CASE("spreader: flows are shared out by the workers' weights", "[handover]") {
    const std::vector<unsigned> weights = {1, 3, 0, 2};
    const Spread spread(weights);
    Random random("spreader, weights");
    std::array<unsigned, 4> flows{};
    constexpr unsigned kFlows = 6000;
    for (unsigned i = 0; i < kFlows; ++i) {
        Bytes frame = udp("10.0.0.7:4000", "100.64.2.9:53").bytes();
        for (std::size_t at = 26; at < 38; ++at) frame[at] = static_cast<std::uint8_t>(random.below(256));
        ++flows[spread.worker_of(flow_hash(frame)).index()];
    }
    CHECK(flows[2] == 0);
    for (const std::size_t worker : {0U, 1U, 3U}) {
        const double share = static_cast<double>(flows[worker]) / kFlows;
        CHECK(share == Approx(weights[worker] / 6.0).margin(0.04));
    }
}

TEST_CASE("port plan: a device with a queue for each worker needs no spreader", "[handover]") {
    const PortPlan plan =
        plan_port({.receive_queues = 16, .transmit_queues = 8, .rss_types = 0xff, .rss_key_bytes = 52}, 4, 0x0f);
    CHECK(plan.receive_queues == 4);
    CHECK(plan.transmit_queues == 4);
    CHECK(plan.rss_types == 0x0f);
    CHECK(plan.rss_symmetric);
    CHECK_FALSE(plan.spreads);
    std::set<QueueId> polled, sent;
    for (std::size_t worker = 0; worker < 4; ++worker) {
        REQUIRE(plan.receive_queue_of(PortId(6), worker_id(worker), 4));
        polled.insert(*plan.receive_queue_of(PortId(6), worker_id(worker), 4));
        const auto transmit = plan.transmit_of(PortId(6), worker_id(worker), 4);
        CHECK(transmit.by == worker_id(worker));
        sent.insert(transmit.queue);
    }
    CHECK(polled.size() == 4);
    CHECK(sent.size() == 4);
}

TEST_CASE("port plan: each queue of a poor device has one worker, who spreads, and one who sends", "[handover]") {
    for (std::uint16_t workers = 2; workers <= 9; ++workers)
        for (std::uint16_t queues = 1; queues < workers; ++queues)
            for (std::uint16_t port = 0; port < 5; ++port) {
                const PortPlan plan =
                    plan_port({.receive_queues = queues, .transmit_queues = queues, .rss_types = 1}, workers, 1);
                CHECK(plan.spreads);
                CHECK_FALSE(plan.rss_symmetric);
                std::multiset<QueueId> polled;
                std::map<QueueId, WorkerId> owners;
                for (std::size_t worker = 0; worker < workers; ++worker) {
                    if (const auto queue = plan.receive_queue_of(PortId(port), worker_id(worker), workers))
                        polled.insert(*queue);
                    const auto transmit = plan.transmit_of(PortId(port), worker_id(worker), workers);
                    CHECK(transmit.queue.value() < queues);
                    // Whoever is said to send for another sends by that queue itself.
                    const auto own = plan.transmit_of(PortId(port), transmit.by, workers);
                    CHECK(own.by == transmit.by);
                    CHECK(own.queue == transmit.queue);
                    CHECK(owners.emplace(transmit.queue, transmit.by).first->second == transmit.by);
                }
                CHECK(polled.size() == queues);
                CHECK(std::set<QueueId>(polled.begin(), polled.end()).size() == queues);
            }
    // A driver whose transmit queues may be shared needs no one to send for others.
    const PortPlan shared = plan_port({.lock_free_transmit = true}, 3, 0);
    for (std::size_t worker = 0; worker < 3; ++worker)
        CHECK(shared.transmit_of(PortId(0), worker_id(worker), 3).by == worker_id(worker));
}

TEST_CASE("stall watch: a worker without a round is told once, and once when it goes on", "[handover]") {
    StallWatch watch(2);
    StallWatch::Time now{};
    Pulse hanging, sleeping;
    hanging.beat();
    sleeping.fall_asleep();
    int events = 0;
    const auto look = [&](std::chrono::milliseconds later) {
        now += later;
        if (watch.look(WorkerId(1), sleeping.read(), now)) ++events;
        return watch.look(WorkerId(0), hanging.read(), now);
    };
    CHECK_FALSE(look(0ms));
    CHECK_FALSE(look(99ms));
    CHECK_FALSE(watch.stalled_since(WorkerId(0)));
    const auto stalled = look(1ms);
    REQUIRE(stalled);
    CHECK(stalled->worker == WorkerId(0));
    CHECK(stalled->stalled);
    CHECK(stalled->silence == 100ms);
    CHECK(watch.stalled_since(WorkerId(0)) == StallWatch::Time{});
    CHECK_FALSE(look(5s));
    hanging.beat();
    const auto recovered = look(1s);
    REQUIRE(recovered);
    CHECK_FALSE(recovered->stalled);
    CHECK(recovered->silence == 6100ms);
    CHECK_FALSE(watch.stalled_since(WorkerId(0)));
    CHECK_FALSE(look(99ms));
    CHECK(events == 0);
}

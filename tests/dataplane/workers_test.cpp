// Teams of two and three workers, each on a thread, with real frames through ports in memory.
//
// Whatever was received is accounted for, in every copy of the counters that is taken meanwhile: each worker's own
// account balances, and no copy has taken from a ring what another has not given.
#include <map>

#include "tests/dataplane/support/running.hpp"

using namespace sekisho;
using namespace sekisho::test;
using namespace std::chrono_literals;

namespace {

// Kita and minami on port 0, the provider on port 1, untagged but for the backup line.
Policy two_ports() {
    Policy policy = standard_policy();
    policy.line("minami").port = 0;
    policy.line("center").port = 1;
    return policy;
}

Bytes portal_asks() {
    return arp(1, {.sender_mac = kPortal, .sender = "192.168.9.9", .target = "192.168.9.1"}).bytes();
}

// Frame `sequence` of a flow of kita's to the portal.
Bytes numbered(const Policy& policy, unsigned flow, std::uint32_t sequence) {
    Bytes payload(18);
    std::memcpy(payload.data(), &sequence, sizeof sequence);
    return udp("10.0.0.7:" + std::to_string(1024 + flow), "100.64.2.9:53")
        .to(policy.line("kita").mac_address)
        .payload(payload)
        .bytes();
}

// For every flow, that its frames leave in the order in which they came.
struct Order {
    void see(std::span<const std::uint8_t> frame) {
        if (frame.size() < kSequenceAt + 4 || frame[12] != 0x08 || frame[13] != 0) return;
        const unsigned flow = unsigned{frame[34]} << 8 | frame[35];
        std::uint32_t sequence = 0;
        std::memcpy(&sequence, frame.data() + kSequenceAt, sizeof sequence);
        wrong += sequence != next[flow]++ ? 1U : 0U;
        ++frames;
    }
    std::map<unsigned, std::uint32_t> next;
    unsigned wrong = 0;
    unsigned frames = 0;
};

void check_cut(const std::vector<dataplane::Counters>& each) {
    dataplane::Counters sum;
    for (const dataplane::Counters& counters : each) {
        for (const auto& port : counters.ports) CHECK(port.unaccounted() == 0);
        sum += counters;
    }
    CHECK(sum.handed_over >= sum.handed_in);
    for (const auto& port : sum.ports) {
        CHECK(port.unaccounted() == 0);
        CHECK(port.held <= port.received + port.made);  // never below zero
    }
}

void check_end(const dataplane::Counters& last) {
    CHECK(last.handed_over == last.handed_in + dropped(last.node(), DropReason::stopped));
    for (const auto& port : last.ports) {
        CHECK(port.unaccounted() == 0);
        CHECK(port.held == 0);
    }
    CHECK(last.node().unaccounted() == 0);
}

}  // namespace

TEST_CASE("workers: what only the keeper may do reaches it, whoever received it", "[worker]") {
    const Policy policy = two_ports();
    const auto tables = policy.tables();
    const MacAddress kita = policy.line("kita").mac_address;
    {
        RingPort access("keeper0", 256, 2);
        RingPort center("keeper1", 256, 2);
        const Ports ports({&access, &center});
        constexpr std::size_t kAccessOfOther = 1, kCenterOfOther = 0;  // the queues that worker 1 polls
        RunningWorkers workers(ports.list(), *tables, {1, 1});
        const auto hands_over = [&](std::uint64_t count) {
            return workers.reaches([&](const auto&) { return workers.each()[1].handed_over == count; });
        };

        // The portal asks; the answer comes back by the ring as a frame for the portal.
        center.receive({portal_asks()}, kCenterOfOther);
        REQUIRE(workers.reaches(
            [](const auto& counters) { return dropped(counters.ports[1], DropReason::mac_not_ours) == 1; }));
        REQUIRE(hands_over(1));

        // For a known neighbour the other worker needs no one.
        access.receive(std::vector<Bytes>(10, udp("10.0.0.7:4000", "100.64.2.9:53").to(kita).bytes()), kAccessOfOther);
        REQUIRE(workers.reaches([](const auto& counters) { return counters.ports[0].sent == 10; }));
        REQUIRE(hands_over(1));

        // Unknown ones: held by the keeper, who asks; its questions come back, one as if from a duplicate of the hub.
        access.receive({udp("10.0.0.7:4000", "100.64.2.10:53").to(kita).bytes(),
                        udp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:201::10]:53").to(kita).bytes()},
                       kAccessOfOther);
        REQUIRE(workers.reaches([](const auto& counters) {
            return counters.ports[0].held == 2 && dropped(counters.ports[1], DropReason::duplicate_address) == 1 &&
                   dropped(counters.ports[1], DropReason::multicast) == 1;
        }));
        // The next one finds the entry, still without a MAC address.
        access.receive({udp("10.0.0.7:4001", "100.64.2.10:53").to(kita).bytes()}, kAccessOfOther);
        REQUIRE(workers.reaches([](const auto& counters) { return counters.ports[0].held == 3; }));
        // The answers release them.
        const MacAddress center_mac = policy.line("center").mac_address;
        center.receive({arp(2, {.sender_mac = "02:00:00:00:0c:10", .sender = "192.168.9.10", .target = "192.168.9.1"})
                            .to(center_mac)
                            .bytes(),
                        neighbour_advertisement("fd99::10", "fd99::1", "fd99::10", "02:00:00:00:0c:10", 0x6000'0000)
                            .to(center_mac)
                            .bytes()},
                       kCenterOfOther);
        REQUIRE(workers.reaches([](const auto& counters) {
            return counters.ports[0].held == 0 && counters.ports[0].sent == 15;  // and two questions
        }));

        // An answer of the other worker's own, to a link-local neighbour that nobody knows.
        access.receive({echo_request("fe80::99", "fe80::1").to(kita).bytes()}, kAccessOfOther);
        REQUIRE(workers.reaches([](const auto& counters) { return counters.ports[0].held == 1; }));

        check_cut(workers.each());
        const dataplane::Counters last = workers.stop();
        CHECK(dropped(last.ports[0], DropReason::stopped) == 1);
        for (const auto& port : last.ports) CHECK(port.unaccounted() == 0);
        CHECK(last.node().held == 0);
        CHECK(last.handed_over == last.handed_in);
    }
    check_buffers();
}

TEST_CASE("workers: spread over two and three, every packet is accounted for and every flow keeps its order",
          "[worker]") {
    const std::size_t count = GENERATE(2U, 3U);
    constexpr unsigned kFlows = 40, kRounds = 120, kEach = 40;
    const Policy policy = two_ports();
    const auto tables = policy.tables();
    {
        // One queue: it is spread, and one worker sends for all.
        RingPort access("spread0" + std::to_string(count), 4096, count, 1);
        RingPort center("spread1" + std::to_string(count), 4096, count, 1);
        Order order;
        center.seen = [&](std::span<const std::uint8_t> frame) { order.see(frame); };
        const Ports ports({&access, &center});
        REQUIRE(ports.list().front()->plan().spreads);
        RunningWorkers workers(ports.list(), *tables, std::vector<unsigned>(count, 1));
        center.receive({portal_asks()});
        REQUIRE(workers.reaches(
            [](const auto& counters) { return dropped(counters.ports[1], DropReason::mac_not_ours) == 1; }));

        std::uint32_t sent = 0;
        std::vector<std::uint32_t> sequence(kFlows, 0);
        for (unsigned round = 0; round < kRounds; ++round) {
            std::vector<Bytes> frames;
            for (unsigned i = 0; i < kEach; ++i) {
                const unsigned flow = (round * 7 + i * i) % kFlows;
                frames.push_back(numbered(policy, flow, sequence[flow]++));
            }
            access.receive(frames);
            sent += kEach;
            check_cut(workers.each());
            // The rings hold 1,024: enough for what is on its way at once here.
            REQUIRE(workers.reaches([&](const auto& counters) { return counters.ports[0].received + 400 > sent; }));
        }
        REQUIRE(workers.reaches(
            [&](const auto& counters) { return dropped(counters.ports[1], DropReason::mac_not_ours) == sent + 1; }));
        for (const dataplane::Counters& counters : workers.each()) CHECK(counters.walks > 0);
        const dataplane::Counters last = workers.stop();
        check_end(last);
        CHECK(last.handed_over > sent / 4);
        CHECK(last.ports[0].received == sent);
        CHECK(last.ports[0].sent == sent);
        CHECK(last.ports[1].transmitted == sent + 1);
        CHECK(last.node().total_dropped() == sent + 1);
        CHECK(order.frames == sent);
        CHECK(order.wrong == 0);
    }
    check_buffers();
}

TEST_CASE("workers: a tracked flow is one worker's, whoever receives its packets and its answers",
          "[worker][session]") {
    const std::size_t count = GENERATE(2U, 3U);
    constexpr unsigned kFlows = 60;
    Policy policy = two_ports();
    for (Agreement& agreement : policy.agreements) agreement.tracked();
    const auto tables = policy.tables();
    {
        RingPort access("flows0" + std::to_string(count), 4096, count, 1);
        RingPort center("flows1" + std::to_string(count), 4096, count, 1);
        std::atomic<unsigned> questions{0}, answers{0};
        const auto counts_udp = [](std::atomic<unsigned>& counter) {
            return [&counter](std::span<const std::uint8_t> frame) {
                if (frame.size() > 34 && frame[12] == 0x08 && frame[13] == 0 && frame[23] == kProtocolUdp) ++counter;
            };
        };
        center.seen = counts_udp(questions);
        access.seen = counts_udp(answers);
        const Ports ports({&access, &center});
        RunningWorkers workers(ports.list(), *tables, std::vector<unsigned>(count, 1));
        center.receive({portal_asks()});
        access.receive({arp(1, {.sender_mac = kKitaGateway, .sender = "10.255.0.2", .target = "10.255.0.1"}).bytes()});
        REQUIRE(workers.reaches([](const auto& counters) {
            return dropped(counters.ports[0], DropReason::mac_not_ours) == 1 &&
                   dropped(counters.ports[1], DropReason::mac_not_ours) == 1;
        }));
        std::vector<Bytes> asked, answered, unasked;
        for (unsigned flow = 0; flow < kFlows; ++flow) {
            asked.push_back(numbered(policy, flow, 0));
            const auto back = [&](unsigned port) {
                return udp("192.168.9.9:53", "100.64.0.7:" + std::to_string(port))
                    .to(policy.line("center").mac_address)
                    .bytes();
            };
            answered.push_back(back(1024 + flow));
            unasked.push_back(back(5000 + flow));
        }
        center.receive(unasked);
        REQUIRE(workers.reaches(
            [&](const auto& counters) { return dropped(counters.ports[1], DropReason::no_agreement) == kFlows; }));
        access.receive(asked);
        REQUIRE(workers.reaches([&](const auto&) { return questions == kFlows; }));
        center.receive(answered);
        REQUIRE(workers.reaches([&](const auto&) { return answers == kFlows; }));
        check_cut(workers.each());
        const dataplane::Counters last = workers.stop();
        check_end(last);
        CHECK(dropped(last.ports[1], DropReason::no_agreement) == kFlows);
        CHECK(last.handed_over > kFlows / 4);
    }
    check_buffers();
}

TEST_CASE("workers: one that hangs is noticed, its ring fills with a count, and the others go on", "[worker]") {
    constexpr unsigned kRing = 32, kFrames = 600;
    const Policy policy = two_ports();
    const auto tables = policy.tables();
    {
        RingPort access("hang0", 4096, 2, 1);
        RingPort center("hang1", 4096, 2, 1);  // polled by worker 1, which also sends by it
        const Ports ports({&access, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, kRing);
        dataplane::StallWatch watch(2);
        const auto look = [&](std::uint16_t worker) {
            return watch.look(WorkerId(worker), workers.worker(worker).pulse().read(),
                              std::chrono::steady_clock::now());
        };
        RingPort::HeldUp held(center, 0);
        CHECK_FALSE(look(1));
        std::optional<dataplane::StallWatch::Event> stalled;
        for (int i = 0; i < 400 && !stalled; ++i) {
            std::this_thread::sleep_for(5ms);
            stalled = look(1);
        }
        REQUIRE(stalled);
        CHECK(stalled->stalled);
        CHECK(stalled->silence >= 100ms);

        for (unsigned i = 0; i < kFrames; i += 50) {
            std::vector<Bytes> frames;
            for (unsigned flow = i; flow < i + 50; ++flow) frames.push_back(numbered(policy, flow, 0));
            access.receive(frames);
        }
        // Worker 0 takes its share and hands the rest over while there is room.
        const std::uint64_t before = workers.worker(0).pulse().read();
        std::this_thread::sleep_for(100ms);
        CHECK(workers.worker(0).pulse().read() != before);
        ++workers.team().counter_call;
        dataplane::Counters copy;
        for (int i = 0; i < 1000 && !workers.worker(0).mailbox().taken(copy); ++i) std::this_thread::sleep_for(1ms);
        CHECK(workers.worker(0).mailbox().taken(copy));
        CHECK_FALSE(workers.worker(1).mailbox().taken(copy));
        held.let_go();

        const auto recovered = [&] {
            for (int i = 0; i < 2000; ++i) {
                if (const auto event = look(1)) return !event->stalled;
                std::this_thread::sleep_for(1ms);
            }
            return false;
        };
        CHECK(recovered());
        REQUIRE(workers.reaches([&](const auto& counters) {
            return counters.ports[0].received == kFrames && counters.handed_in == counters.handed_over;
        }));
        check_cut(workers.each());
        const dataplane::Counters last = workers.stop();
        CHECK(dropped(last.ports[0], DropReason::handover_full) > kFrames / 4);
        for (const auto& port : last.ports) CHECK(port.unaccounted() == 0);
        CHECK(last.node().held == 0);
    }
    check_buffers();
}

TEST_CASE("workers: what lies in a ring when the hub stops is counted as stopped", "[worker]") {
    const Policy policy = two_ports();
    const auto tables = policy.tables();
    {
        RingPort access("end0", 256, 2, 1);
        RingPort center("end1", 256, 2, 1);
        const Ports ports({&access, &center});
        RunningWorkers workers(ports.list(), *tables, {0, 1});  // everything is for worker 1
        RingPort::HeldUp held(center, 0);
        std::vector<Bytes> frames;
        for (unsigned flow = 0; flow < 20; ++flow) frames.push_back(numbered(policy, flow, 0));
        access.receive(frames);
        dataplane::Counters copy;
        ++workers.team().counter_call;
        do {
            std::this_thread::sleep_for(1ms);
            if (workers.worker(0).mailbox().taken(copy)) ++workers.team().counter_call;
        } while (copy.handed_over != 20);
        workers.ask_to_stop();
        held.let_go();
        const dataplane::Counters last = workers.stop();
        check_end(last);
        CHECK(dropped(last.ports[0], DropReason::stopped) == 20);
    }
    check_buffers();
}

TEST_CASE("workers: a nexthop of tables that were replaced on the way is not followed", "[worker]") {
    const Policy policy = two_ports();
    const auto old_tables = policy.tables();
    const auto new_tables = policy.tables();
    old_tables->generation = 1;
    new_tables->generation = 2;
    {
        RingPort access("stale0", 256, 2);
        RingPort center("stale1", 256, 2);
        const Ports ports({&access, &center});
        RunningWorkers workers(ports.list(), *old_tables, {1, 1});
        RingPort::HeldUp held(access, 0);  // the keeper
        access.receive({udp("10.0.0.7:4000", "100.64.2.10:53").to(policy.line("kita").mac_address).bytes()}, 1);
        dataplane::Counters copy;
        ++workers.team().counter_call;
        do {
            std::this_thread::sleep_for(1ms);
            if (workers.worker(1).mailbox().taken(copy)) ++workers.team().counter_call;
        } while (copy.handed_over != 1);
        workers.tables() = new_tables.get();
        held.let_go();
        REQUIRE(workers.reaches(
            [](const auto& counters) { return dropped(counters.ports[0], DropReason::handover_stale) == 1; }));
        check_end(workers.stop());
    }
    check_buffers();
}

// Several workers and TCP inside one SA, whose ESP packets come by both workers' queues in turn: whole, once, and in
// order but for what waits in a queue.
//
// Each queue is one worker's, and a ring between two workers keeps its order: so what came by one queue never overtakes
// itself, tracked or not. Between the queues only what is on its way can.
#include <mutex>

#include "tests/dataplane/support/protected_workers.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::size_t kSegment = 64;
constexpr std::uint32_t kFirstSequence = 0xffff'c000;  // wraps under way

std::uint32_t sequence_of(std::uint32_t number) {
    return kFirstSequence + number * static_cast<std::uint32_t>(kSegment);
}
Frame asks(unsigned flow) {
    return tcp(at("10.0.0.7", 4000 + flow), "100.64.2.9:443").sequence(kFirstSequence);
}
Frame data(Frame frame, std::uint32_t number) {
    return frame.sequence(sequence_of(number)).ack().payload(kSegment);
}
// What the portal gets of it: made anew, checksums too.
Frame delivered(const Policy& policy, unsigned flow) {
    return tcp(at(kHigashiHub4, 4000 + flow), "192.168.9.9:443")
        .sequence(kFirstSequence)
        .ttl(63)
        .from(policy.line("center").mac_address)
        .to(kPortal);
}

// Of the TCP that leaves for the portal: data by flow, and whatever else.
struct Portal {
    Portal(const Policy& told, std::size_t flows) : policy(told), data_of(flows) {}

    void see(std::span<const std::uint8_t> bytes) {
        if (get16(bytes, 12) != 0x0800) return;
        const std::lock_guard lock(mutex);
        if (bytes.size() < 54 || bytes[23] != kProtocolTcp || get16(bytes, 34) - 4000U >= data_of.size()) {
            ++wrong;
            return;
        }
        const Bytes frame(bytes.begin(), bytes.end());
        const unsigned flow = get16(frame, 34) - 4000U;
        const std::uint32_t sequence = std::uint32_t{get16(frame, 38)} << 16 | get16(frame, 40);
        const std::uint32_t number = (sequence - kFirstSequence) / static_cast<std::uint32_t>(kSegment);
        if (frame == data(delivered(policy, flow), number).bytes())
            data_of[flow].see(number);
        else if (frame == delivered(policy, flow).syn().bytes())
            ++opened;
        else if (frame == delivered(policy, flow).ack().bytes())
            ++answered;
        else
            ++wrong;
    }

    const Policy& policy;
    std::mutex mutex;
    std::vector<Places> data_of;
    std::atomic<unsigned> opened{0}, answered{0}, wrong{0};
};

}  // namespace

TEST_CASE(
    "workers: an untracked TCP flow inside one SA comes by both queues: each segment passes once and whole, nearly "
    "in order",
    "[esp][worker][conformance-76]") {
    constexpr std::uint32_t kRounds = 60, kEach = 32, kHeld = 4, kOnTheWay = 256;
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    const EspKey key = esp_key(0x1001);
    Keys keys(2);
    keys.inbound(key);
    {
        RingPort higashi("esptcp0", 4096, 2);
        RingPort center("esptcp1", 4096, 2);
        Portal portal(policy, 1);
        center.seen = [&](std::span<const std::uint8_t> frame) { portal.see(frame); };
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        std::uint32_t places = 0;
        const auto give = [&] {
            for (std::size_t queue = 0; queue < 2; ++queue) {
                std::vector<Bytes> burst;
                for (std::uint32_t i = 0; i < kEach; ++i) {
                    const std::uint32_t number = Places::number(queue, places + i);
                    burst.push_back(carried(policy, key, number, data(asks(0), number).ip()));
                }
                higashi.receive(burst, queue);
            }
            places += kEach;
        };
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            give();
            REQUIRE(workers.reaches(
                [&](const auto& counters) { return counters.ports[0].received + kOnTheWay > 2 * places; }));
            if (round != kRounds / 2) continue;
            // One worker is held up, and the other goes on as far as it can.
            const RingPort::HeldUp held(higashi, 1);
            for (std::uint32_t i = 0; i < kHeld; ++i) give();
            CHECK(comes_true([&] {
                const std::lock_guard lock(portal.mutex);
                return portal.data_of[0].next[0] == places;
            }));
        }
        REQUIRE(workers.reaches([&](const auto& counters) { return counters.ports[0].sent == 2 * places + 1; }));
        for (const dataplane::Counters& counters : workers.each())
            CHECK(counters.stages[static_cast<std::size_t>(dataplane::Stage::open)].packets == places);
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        CHECK(last.ports[0].total_dropped() == 1);
        CHECK(portal.wrong == 0);
        const Places& passed = portal.data_of[0];
        CHECK(passed.wrong == 0);
        CHECK(passed.first == std::array<std::uint32_t, 2>{0, 0});
        CHECK(passed.next == std::array<std::uint32_t, 2>{places, places});
        // All that waits may wait in one queue, which has every other number; two of `received` are not ours.
        INFO("the furthest was " << passed.furthest << " numbers late");
        CHECK(passed.furthest <= 2 * (kOnTheWay + (kHeld + 1) * kEach + 2));
        CHECK(passed.furthest >= 2 * kHeld * kEach - 3);
    }
    check_buffers();
}

TEST_CASE(
    "workers: tracked TCP flows inside one SA come by both queues: each is one worker's, and each segment passes "
    "once and whole, nearly in order",
    "[esp][worker][session][conformance-76]") {
    constexpr std::uint32_t kFlows = 8, kRounds = 100, kEach = 4, kHeld = 2, kOnTheWay = 128;
    Policy policy = two_protected_ports();
    for (Agreement& agreement : policy.agreements) agreement.tracked();
    const auto tables = policy.tables();
    const EspKey in = esp_key(0x1001), out = esp_key(0x2001);
    Keys keys(2);
    keys.inbound(in);
    keys.outbound(out);
    {
        RingPort higashi("esptcpt0", 4096, 2);
        RingPort center("esptcpt1", 4096, 2);
        center.tailroom = crypto::OutboundSa::kTailroom;
        Portal portal(policy, kFlows);
        center.seen = [&](std::span<const std::uint8_t> frame) { portal.see(frame); };
        std::atomic<unsigned> accepted{0}, wrong{0};
        higashi.seen = [&](std::span<const std::uint8_t> bytes) {
            const Bytes frame(bytes.begin(), bytes.end());
            if (get16(frame, 16) == 0x0806) return;
            const auto outer = outer_of(frame);
            const auto opened = outer ? open_esp(out, outer->esp) : std::nullopt;
            const unsigned port = opened && opened->inner.size() == 40 ? get16(opened->inner, 22) : 0U;
            if (opened && opened->inner == tcp("100.64.2.9:443", at("10.0.0.7", port)).syn().ack().ttl(63).ip())
                ++accepted;
            else
                ++wrong;
        };
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);

        // Hands are shaken.
        std::uint64_t esp_number = 0;
        const auto comes = [&](const Frame& inner) { return carried(policy, in, ++esp_number, inner.ip()); };
        std::vector<Bytes> first, second, third;
        for (unsigned flow = 0; flow < kFlows; ++flow) {
            first.push_back(comes(asks(flow).syn()));
            second.push_back(tcp("192.168.9.9:443", at(kHigashiHub4, 4000 + flow))
                                 .syn()
                                 .ack()
                                 .to(policy.line("center").mac_address)
                                 .bytes());
        }
        higashi.receive(first, 0);
        REQUIRE(workers.reaches([&](const auto&) { return portal.opened == kFlows; }));
        center.receive(second, 1);
        REQUIRE(workers.reaches([&](const auto&) { return accepted == kFlows; }));
        for (unsigned flow = 0; flow < kFlows; ++flow) third.push_back(comes(asks(flow).ack()));
        higashi.receive(third, 1);
        REQUIRE(workers.reaches([&](const auto& counters) {
            return portal.answered == kFlows && dropped(counters.ports[0], DropReason::mac_not_ours) == kFlows + 1;
        }));

        // What was received and does not wait in a ring.
        const auto walked = [](const dataplane::Counters& counters) {
            return counters.ports[0].received - counters.handed_over + counters.handed_in;
        };
        const dataplane::Counters before = workers.counters();
        CHECK(before.sessions_opened == kFlows);
        std::uint32_t places = 0;  // of each flow
        const auto give = [&] {
            std::array<std::vector<Bytes>, 2> bursts;
            for (std::uint32_t i = 0; i < kEach; ++i)
                for (std::size_t queue = 0; queue < 2; ++queue)
                    for (unsigned flow = 0; flow < kFlows; ++flow)
                        bursts[queue].push_back(comes(data(asks(flow), Places::number(queue, places + i))));
            for (std::size_t queue = 0; queue < 2; ++queue) higashi.receive(bursts[queue], queue);
            places += kEach;
        };
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            give();
            REQUIRE(workers.reaches([&](const auto& counters) {
                return walked(counters) - walked(before) + kOnTheWay > 2 * kFlows * places;
            }));
            if (round != kRounds / 2) continue;
            // One worker is held up for a while, the other hands it what is its.
            const RingPort::HeldUp held(higashi, 1);
            for (std::uint32_t i = 0; i < kHeld; ++i) give();
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        REQUIRE(workers.reaches([&](const auto& counters) {
            return counters.ports[0].sent == before.ports[0].sent + 2 * kFlows * places;
        }));
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        CHECK(last.ports[0].total_dropped() == before.ports[0].total_dropped());
        CHECK(last.sessions_opened == kFlows);
        // Whosever a flow is: half of it comes to the other worker, which hands it over.
        CHECK(last.handed_over == before.handed_over + kFlows * places);
        CHECK(last.handed_in == last.handed_over);
        CHECK(wrong == 0);
        CHECK(portal.wrong == 0);
        for (const Places& passed : portal.data_of) {
            CHECK(passed.wrong == 0);
            CHECK(passed.first == std::array<std::uint32_t, 2>{0, 0});
            CHECK(passed.next == std::array<std::uint32_t, 2>{places, places});
            // All that waits may be of one flow and one queue.
            INFO("the furthest was " << passed.furthest << " numbers late");
            CHECK(passed.furthest <= 2 * (kOnTheWay + (kHeld + 1) * kEach * kFlows));
        }
    }
    check_buffers();
}

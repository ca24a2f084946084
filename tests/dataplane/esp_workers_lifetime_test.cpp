// Several workers and an SA whose hard limit they reach together: how far beyond it they go, and who is told.
//
// RFC 4301 §4.4.2.1. What is on its way is bounded and never waited for, so both workers have packets of it in hand.
// Every one is accounted for: it left, or it was dropped as sa_expired.
#include <mutex>

#include "tests/dataplane/support/protected_workers.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// A limit that the thousandth packet reaches, by packets or by bytes, and a soft one at half of it.
constexpr std::uint32_t kLimit = 1000;
constexpr std::uint64_t kCipherBytes = 48;  // of 46 inside

crypto::LifetimeLimits limits(bool by_bytes) {
    crypto::LifetimeLimits limits;
    if (by_bytes)
        limits.soft_bytes = kLimit / 2 * kCipherBytes, limits.hard_bytes = kLimit * kCipherBytes - 20;
    else
        limits.soft_packets = kLimit / 2, limits.hard_packets = kLimit;
    return limits;
}

// Gives by both queues what `made` makes, far beyond the limit, and looks at what became of it.
void outlive(Keys& keys, RunningWorkers& workers, RingPort& from, std::size_t port, bool by_bytes, std::mutex& mutex,
             const Places& passed, const std::function<Bytes(std::uint32_t)>& made) {
    using crypto::LifetimeEvent;
    constexpr std::uint32_t kRounds = 60, kEach = 32, kOnTheWay = 512;
    static_assert(kLimit > kOnTheWay);  // so that either worker has a part in it
    std::vector<LifetimeEvent> events;
    const auto tick = [&] {
        for (const dataplane::SaEvent& told : keys.all->tick({}, 1)) events.push_back(told.event);
    };
    std::uint32_t places = 0;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
        for (std::size_t queue = 0; queue < 2; ++queue) {
            std::vector<Bytes> burst;
            for (std::uint32_t i = 0; i < kEach; ++i) burst.push_back(made(Places::number(queue, places + i)));
            from.receive(burst, queue);
        }
        places += kEach;
        tick();
        REQUIRE(workers.reaches(
            [&](const auto& counters) { return counters.ports[port].received + kOnTheWay > 2 * places; }));
    }
    REQUIRE(workers.reaches([&](const auto& counters) {
        return counters.ports[port].sent + dropped(counters.ports[port], DropReason::sa_expired) == 2 * places + 1;
    }));
    tick();
    const dataplane::SaInfo info = keys.all->list(kHigashiTunnel).at(0);
    const dataplane::Counters last = workers.stop();
    check_protected_end(last);
    const std::lock_guard lock(mutex);
    // At least the limit; a burst that crosses it, and one that the other worker had begun before, go on.
    CHECK(passed.count() >= kLimit);
    CHECK(passed.count() < kLimit + 2 * dataplane::kBurst);
    // Over for good: of each queue the first ones pass, and none behind them.
    CHECK(passed.wrong == 0);
    for (std::size_t queue = 0; queue < 2; ++queue) {
        CHECK(passed.first[queue] == 0);
        CHECK(passed.next[queue] > 0);
        CHECK(passed.next[queue] < places);
    }
    const std::uint64_t refused = 2 * places - passed.count();
    CHECK(last.ports[port].sent == passed.count() + 1);
    CHECK(dropped(last.ports[port], DropReason::sa_expired) == refused);
    CHECK(last.ports[port].total_dropped() == refused + 1);
    CHECK(info.over);
    CHECK(info.packets == passed.count());
    CHECK(info.bytes == kCipherBytes * passed.count());
    CHECK(info.failures == std::vector<std::pair<DropReason, std::uint64_t>>{{DropReason::sa_expired, refused}});
    CHECK(events == (by_bytes ? std::vector{LifetimeEvent::soft_bytes, LifetimeEvent::hard_bytes}
                              : std::vector{LifetimeEvent::soft_packets, LifetimeEvent::hard_packets}));
}

}  // namespace

TEST_CASE(
    "workers: both open with an SA up to its hard limit and a burst each, and no further; each limit is told once",
    "[esp][worker][threads][conformance-32]") {
    const bool by_bytes = GENERATE(false, true);
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    const EspKey key = esp_key(0x1001);
    Keys keys(2);
    keys.inbound(key, limits(by_bytes));
    {
        RingPort higashi(by_bytes ? "espinb0" : "espinp0", 4096, 2);
        RingPort center(by_bytes ? "espinb1" : "espinp1", 4096, 2);
        std::mutex mutex;
        Places passed;
        center.seen = [&](std::span<const std::uint8_t> frame) {
            if (frame.size() < kSequenceAt + 4 || frame[23] != kProtocolUdp) return;
            const std::lock_guard lock(mutex);
            passed.see(number_in(frame, kSequenceAt));
        };
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        outlive(keys, workers, higashi, 0, by_bytes, mutex, passed,
                [&](std::uint32_t number) { return from_peer(policy, key, number); });
    }
    check_buffers();
}

TEST_CASE(
    "workers: both seal with an SA up to its hard limit and a burst each, and no further; each limit is told once",
    "[esp][worker][threads][conformance-28][conformance-32]") {
    const bool by_bytes = GENERATE(false, true);
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    const EspKey key = esp_key(0x2001);
    Keys keys(2);
    keys.outbound(key, limits(by_bytes));
    {
        RingPort higashi(by_bytes ? "espoutb0" : "espoutp0", 4096, 2);
        RingPort access(by_bytes ? "espoutb1" : "espoutp1", 4096, 2);
        access.tailroom = crypto::OutboundSa::kTailroom;
        std::mutex mutex;
        Places sealed;
        unsigned wrong = 0;
        higashi.seen = [&](std::span<const std::uint8_t> bytes) {
            const Bytes frame(bytes.begin(), bytes.end());
            if (get16(frame, 16) == 0x0806) return;
            const auto outer = outer_of(frame);
            const auto opened = outer ? open_esp(key, outer->esp) : std::nullopt;
            const std::lock_guard lock(mutex);
            if (opened)
                sealed.see(number_in(opened->inner, kInnerNumberAt));
            else
                ++wrong;
        };
        const Ports ports({&higashi, &access});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, access, workers);
        outlive(keys, workers, access, 1, by_bytes, mutex, sealed,
                [&](std::uint32_t number) { return from_kita(policy, number); });
        CHECK(wrong == 0);
    }
    check_buffers();
}

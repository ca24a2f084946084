// Several workers and one SA: each opens and seals what comes to it; the SA's window and its numbers are shared.
//
// RFC 4303 §3.4.3: each number passes once, whichever worker has it. RFC 4106 §3.1: no two workers use one nonce.
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "tests/dataplane/support/protected_workers.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("workers: one SA comes by both workers' queues, each packet twice; each passes once, nearly in order",
          "[esp][worker][conformance-19][conformance-76]") {
    constexpr std::uint32_t kRounds = 60, kEach = 32, kOnTheWay = 512;
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    const EspKey key = esp_key(0x1001);
    Keys keys(2);
    keys.inbound(key);
    {
        RingPort higashi("espin0", 4096, 2);
        RingPort center("espin1", 4096, 2);
        std::mutex mutex;
        std::map<std::uint32_t, unsigned> passed;
        std::uint32_t highest = 0, furthest = 0;
        center.seen = [&](std::span<const std::uint8_t> frame) {
            if (frame.size() < kSequenceAt + 4 || frame[23] != kProtocolUdp) return;
            std::uint32_t number = 0;
            std::memcpy(&number, frame.data() + kSequenceAt, sizeof number);
            const std::lock_guard lock(mutex);
            ++passed[number];
            if (number > highest) highest = number;
            furthest = std::max(furthest, highest - number);
        };
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        std::uint32_t next = 1;
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            std::vector<Bytes> burst;
            for (std::uint32_t i = 0; i < kEach; ++i) burst.push_back(from_peer(policy, key, next++));
            higashi.receive(burst, round % 2);
            higashi.receive(burst, (round + 1) % 2);
            REQUIRE(workers.reaches(
                [&](const auto& counters) { return counters.ports[0].received + kOnTheWay > 2 * next; }));
        }
        const std::uint64_t sent = kRounds * kEach;
        REQUIRE(workers.reaches([&](const auto& counters) {
            return counters.ports[0].sent + dropped(counters.ports[0], DropReason::replay_duplicate) == 2 * sent + 1;
        }));
        for (const dataplane::Counters& counters : workers.each())
            CHECK(counters.stages[static_cast<std::size_t>(dataplane::Stage::open)].packets == sent);
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        CHECK(dropped(last.ports[0], DropReason::replay_duplicate) == sent);
        CHECK(passed.size() == sent);
        for (const auto& [number, times] : passed) REQUIRE(times == 1);
        // No more than what waits in one queue and in two workers' hands while the other queue is served.
        INFO("the furthest was " << furthest << " numbers late");
        CHECK(furthest < kOnTheWay + 2 * dataplane::kBurst);
    }
    check_buffers();
}

TEST_CASE("workers: both seal with one SA while it is rekeyed and removed: no nonce twice, and nothing plain",
          "[esp][worker][threads][conformance-28][conformance-35]") {
    constexpr std::uint32_t kRounds = 60, kEach = 32;
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    Keys keys(2);
    std::vector<EspKey> outbound;
    for (std::uint32_t i = 0; i < 7; ++i) outbound.push_back(esp_key(0x2001 + i));
    keys.outbound(outbound[0]);
    {
        RingPort higashi("espout0", 4096, 2);
        RingPort access("espout1", 4096, 2);
        access.tailroom = crypto::OutboundSa::kTailroom;
        std::mutex mutex;
        std::set<std::pair<std::uint32_t, std::uint32_t>> nonces;
        std::set<Bytes> inner;
        unsigned wrong = 0, sealed = 0;
        higashi.seen = [&](std::span<const std::uint8_t> bytes) {
            const Bytes frame(bytes.begin(), bytes.end());
            if (get16(frame, 16) == 0x0806) return;
            const auto outer = outer_of(frame);
            const std::lock_guard lock(mutex);
            if (!outer) {
                ++wrong;
                return;
            }
            for (const EspKey& key : outbound)
                if (const auto opened = open_esp(key, outer->esp)) {
                    ++sealed;
                    if (!nonces.insert({key.spi.value(), opened->sequence}).second) ++wrong;
                    if (!inner.insert(opened->inner).second) ++wrong;
                    return;
                }
            ++wrong;
        };
        const Ports ports({&higashi, &access});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, access, workers);
        std::uint32_t next = 0;
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            for (std::size_t queue = 0; queue < 2; ++queue) {
                std::vector<Bytes> burst;
                for (std::uint32_t i = 0; i < kEach; ++i) burst.push_back(from_kita(policy, next++));
                access.receive(burst, queue);
            }
            if (round % 10 == 5) keys.outbound(outbound[round / 10 + 1]);
            if (round == 30) REQUIRE(keys.all->switch_outbound(kHigashiTunnel, nullptr, {}));
            REQUIRE(workers.reaches([&](const auto& counters) { return counters.ports[1].received + 512 > next; }));
        }
        REQUIRE(workers.reaches([&](const auto& counters) {
            return counters.ports[1].sent + dropped(counters.ports[1], DropReason::sa_missing) >= next;
        }));
        for (const dataplane::Counters& counters : workers.each())
            CHECK(counters.stages[static_cast<std::size_t>(dataplane::Stage::seal)].packets == next / 2);
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        const std::uint64_t missing = dropped(last.ports[1], DropReason::sa_missing);
        CHECK(missing > 0);
        CHECK(wrong == 0);
        CHECK(sealed + missing == next);
        CHECK(inner.size() == sealed);
    }
    check_buffers();
}

TEST_CASE(
    "workers: a peer with an SA for each of its processors: any worker opens any of them, and one that is removed "
    "takes no flow with it",
    "[esp][worker][conformance-49][conformance-50]") {
    constexpr std::uint32_t kSas = 5, kEach = 60;
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    Keys keys(2);
    std::vector<EspKey> bundle;  // the first is the fallback
    for (std::uint32_t sa = 0; sa < kSas; ++sa) keys.inbound(bundle.emplace_back(esp_key(0x1001 + sa)));
    {
        RingPort higashi("espcpu0", 4096, 2);
        RingPort center("espcpu1", 4096, 2);
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        // One flow, by all SAs, each with its own numbers from 1, by both queues.
        std::uint64_t given = 0, passing = 0;
        for (std::uint32_t number = 1; number <= kEach; ++number) {
            if (number == kEach / 2) REQUIRE(keys.all->remove_inbound(bundle.back().spi));
            for (std::uint32_t sa = 0; sa < kSas; ++sa)
                higashi.receive({from_peer(policy, bundle[sa], number)}, (number + sa) % 2);
            given += kSas;
            passing += number < kEach / 2 ? kSas : kSas - 1;
            // All of a round are through before an SA is removed.
            REQUIRE(workers.reaches([&](const auto& counters) {
                return counters.ports[0].sent + dropped(counters.ports[0], DropReason::sa_unknown) == given + 1;
            }));
        }
        for (const dataplane::Counters& counters : workers.each())
            CHECK(counters.stages[static_cast<std::size_t>(dataplane::Stage::open)].packets == given / 2);
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        CHECK(last.ports[0].sent == passing + 1);
        CHECK(dropped(last.ports[0], DropReason::sa_unknown) == given - passing);
    }
    check_buffers();
}

TEST_CASE("workers: where a port has one queue, SAs are spread by their SPIs and opened by whom they are handed to",
          "[esp][worker]") {
    constexpr std::uint32_t kSas = 16, kEach = 50;
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    Keys keys(3);
    for (std::uint32_t sa = 0; sa < kSas; ++sa) keys.inbound(esp_key(0x1001 + sa));
    {
        RingPort higashi("espsp0", 4096, 3, 1);
        RingPort center("espsp1", 4096, 3, 1);
        const Ports ports({&higashi, &center});
        REQUIRE(ports.list().front()->plan().spreads);
        RunningWorkers workers(ports.list(), *tables, {1, 1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        for (std::uint32_t number = 1; number <= kEach; ++number) {
            std::vector<Bytes> burst;
            for (std::uint32_t sa = 0; sa < kSas; ++sa)
                burst.push_back(from_peer(policy, esp_key(0x1001 + sa), number));
            higashi.receive(burst);
            REQUIRE(workers.reaches(
                [&](const auto& counters) { return counters.ports[0].received + 200 > number * kSas; }));
        }
        constexpr std::uint64_t kAll = kSas * kEach;
        REQUIRE(workers.reaches([&](const auto& counters) { return counters.ports[0].sent == kAll + 1; }));
        std::size_t openers = 0;
        std::uint64_t opened = 0;
        for (const dataplane::Counters& counters : workers.each()) {
            const auto& open = counters.stages[static_cast<std::size_t>(dataplane::Stage::open)];
            openers += open.packets != 0 ? 1U : 0U;
            opened += open.packets;
            CHECK(open.packets % kEach == 0);  // all of an SA, or nothing
        }
        CHECK(opened == kAll);
        CHECK(openers == 3);
        check_protected_end(workers.stop());
    }
    check_buffers();
}

TEST_CASE("workers: tracked flows inside one SA are each one worker's, opened and handed over by whoever receives them",
          "[esp][worker][session]") {
    constexpr std::uint32_t kFlows = 60;
    Policy policy = two_protected_ports();
    for (Agreement& agreement : policy.agreements) agreement.tracked();
    const auto tables = policy.tables();
    const EspKey in = esp_key(0x1001), out = esp_key(0x2001);
    Keys keys(2);
    keys.inbound(in);
    keys.outbound(out);
    {
        RingPort higashi("esptr0", 4096, 2);
        RingPort center("esptr1", 4096, 2);
        center.tailroom = crypto::OutboundSa::kTailroom;
        std::atomic<unsigned> questions{0}, answers{0}, wrong{0};
        center.seen = [&](std::span<const std::uint8_t> frame) {
            if (frame.size() > 34 && frame[12] == 0x08 && frame[13] == 0 && frame[23] == kProtocolUdp) ++questions;
        };
        higashi.seen = [&](std::span<const std::uint8_t> bytes) {
            const Bytes frame(bytes.begin(), bytes.end());
            if (get16(frame, 16) == 0x0806) return;
            const auto outer = outer_of(frame);
            outer&& open_esp(out, outer->esp) ? ++answers : ++wrong;
        };
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        std::vector<Bytes> asked, answered;
        for (std::uint32_t flow = 0; flow < kFlows; ++flow) {
            asked.push_back(from_peer(policy, in, flow + 1, 1024 + flow));
            answered.push_back(
                udp("192.168.9.9:53", at(kHigashiHub4, 1024 + flow)).to(policy.line("center").mac_address).bytes());
        }
        center.receive(answered);  // nobody has asked
        REQUIRE(workers.reaches(
            [&](const auto& counters) { return dropped(counters.ports[1], DropReason::no_agreement) == kFlows; }));
        higashi.receive(asked, 1);
        REQUIRE(workers.reaches([&](const auto&) { return questions == kFlows; }));
        center.receive(answered);
        REQUIRE(workers.reaches([&](const auto&) { return answers == kFlows; }));
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        CHECK(wrong == 0);
        CHECK(last.handed_over > kFlows / 4);
        CHECK(last.handed_over == last.handed_in);
    }
    check_buffers();
}

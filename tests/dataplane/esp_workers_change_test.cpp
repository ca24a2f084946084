// Several workers and an SA that control removes while they use it: when it ends for them, and when it is freed.
//
// What is on its way is bounded and never waited for, so both workers have packets of it in hand. Every one is
// accounted for: it left, or it was dropped for the one reason that there is.
#include <mutex>
#include <set>

#include "tests/dataplane/support/protected_workers.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE(
    "workers: an inbound SA is removed while both open what it carries: nothing that comes later passes, it is "
    "freed while they go on, and the tunnel's other SAs lose nothing",
    "[esp][worker][threads][conformance-28][conformance-50]") {
    constexpr std::uint32_t kRemoved = 20, kAdded = 40, kEach = 16, kRounds = 60, kOnTheWay = 512;
    enum Which : std::size_t { kGoes, kStays, kComes, kSas };
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    const std::array<EspKey, kSas> sas{esp_key(0x1001), esp_key(0x1002), esp_key(0x1003)};
    Keys keys(2);
    keys.inbound(sas[kGoes]);
    keys.inbound(sas[kStays]);
    {
        RingPort higashi("espgone0", 4096, 2);
        RingPort center("espgone1", 4096, 2);
        std::mutex mutex;
        std::array<Places, kSas> passed;
        center.seen = [&](std::span<const std::uint8_t> frame) {
            if (frame.size() < kSequenceAt + 4 || frame[23] != kProtocolUdp) return;
            const std::lock_guard lock(mutex);
            passed.at(get16(frame, 34) - 4000U).see(number_in(frame, kSequenceAt));
        };
        const Ports ports({&higashi, &center});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, center, workers);
        keys.free_while(workers);

        std::array<std::uint32_t, kSas> places{};  // given to each queue
        std::uint64_t given = 0;
        const auto give = [&](std::size_t count) {
            for (std::size_t queue = 0; queue < 2; ++queue) {
                std::vector<Bytes> burst;
                for (std::uint32_t i = 0; i < kEach; ++i)
                    for (std::size_t sa = 0; sa < count; ++sa)
                        burst.push_back(from_peer(policy, sas[sa], Places::number(queue, places[sa] + i),
                                                  4000U + static_cast<unsigned>(sa)));
                higashi.receive(burst, queue);
                given += burst.size();
            }
            for (std::size_t sa = 0; sa < count; ++sa) places[sa] += kEach;
        };
        std::array<std::uint32_t, 2> may_pass{};
        std::weak_ptr<const void> gone;
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            if (round == kRemoved) {
                // One worker is held up with what it has in hand, the other goes on.
                RingPort::HeldUp held(higashi, 1);
                may_pass[1] = places[kGoes];
                give(2);
                may_pass[0] = places[kGoes];
                REQUIRE(keys.all->remove_inbound(sas[kGoes].spi));
                gone = keys.last_retired();
                CHECK(comes_true([&] {
                    const std::lock_guard lock(mutex);
                    return passed[kStays].next[0] == places[kStays];
                }));
                CHECK(keys.reclaim() == 1);
                CHECK_FALSE(gone.expired());
            } else if (round == kAdded) {
                // The new one gets the old one's place.
                REQUIRE(workers.reaches([&](const auto&) { return keys.reclaim() == 0; }));
                CHECK(gone.expired());
                keys.inbound(sas[kComes]);
            }
            if (round != kRemoved) give(round < kAdded ? 2 : 3);
            REQUIRE(
                workers.reaches([&](const auto& counters) { return counters.ports[0].received + kOnTheWay > given; }));
        }
        REQUIRE(workers.reaches([&](const auto& counters) {
            return counters.ports[0].sent + dropped(counters.ports[0], DropReason::sa_unknown) == given + 1;
        }));
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        for (const Places& of_sa : passed) CHECK(of_sa.wrong == 0);
        for (std::size_t queue = 0; queue < 2; ++queue) {
            CHECK(passed[kGoes].first[queue] == 0);
            CHECK(passed[kGoes].next[queue] > 0);
            CHECK(passed[kGoes].next[queue] <= may_pass[queue]);
        }
        CHECK(passed[kStays].count() == 2 * places[kStays]);
        CHECK(passed[kComes].count() == 2 * places[kComes]);
        const std::uint64_t lost = 2 * places[kGoes] - passed[kGoes].count();
        CHECK(last.ports[0].sent == given - lost + 1);
        CHECK(dropped(last.ports[0], DropReason::sa_unknown) == lost);
        CHECK(last.ports[0].total_dropped() == lost + 1);
    }
    check_buffers();
}

TEST_CASE(
    "workers: the outbound SA is removed while both seal with it: it is freed while they go on, and nothing leaves "
    "until another is there",
    "[esp][worker][threads][conformance-28][conformance-35]") {
    constexpr std::uint32_t kRemoved = 20, kSwitched = 40, kEach = 32, kRounds = 60, kOnTheWay = 512;
    const Policy policy = two_protected_ports();
    const auto tables = policy.tables();
    const std::array<EspKey, 2> outbound{esp_key(0x2001), esp_key(0x2002)};
    unsigned ended = 0;
    Keys keys(2);
    keys.outbound(outbound[0], {}, [&] { ++ended; });
    {
        RingPort higashi("esplast0", 4096, 2);
        RingPort access("esplast1", 4096, 2);
        access.tailroom = crypto::OutboundSa::kTailroom;
        std::mutex mutex;
        std::array<Places, 2> sealed;
        std::set<std::pair<std::uint32_t, std::uint32_t>> nonces;
        unsigned wrong = 0;
        higashi.seen = [&](std::span<const std::uint8_t> bytes) {
            const Bytes frame(bytes.begin(), bytes.end());
            if (get16(frame, 16) == 0x0806) return;
            const auto outer = outer_of(frame);
            const std::lock_guard lock(mutex);
            for (std::size_t sa = 0; outer && sa < outbound.size(); ++sa)
                if (const auto opened = open_esp(outbound[sa], outer->esp)) {
                    sealed[sa].see(number_in(opened->inner, kInnerNumberAt));
                    wrong += nonces.insert({opened->spi.value(), opened->sequence}).second ? 0U : 1U;
                    return;
                }
            ++wrong;
        };
        const Ports ports({&higashi, &access});
        RunningWorkers workers(ports.list(), *tables, {1, 1}, dataplane::HandoverRing::kCapacity, keys.all.get());
        introduce(higashi, access, workers);
        keys.free_while(workers);

        std::uint32_t places = 0;  // given to each queue
        const auto give = [&] {
            for (std::size_t queue = 0; queue < 2; ++queue) {
                std::vector<Bytes> burst;
                for (std::uint32_t i = 0; i < kEach; ++i)
                    burst.push_back(from_kita(policy, Places::number(queue, places + i)));
                access.receive(burst, queue);
            }
            places += kEach;
        };
        std::array<std::uint32_t, 2> may_pass{};
        std::uint32_t passes = 0;  // from this place on
        for (std::uint32_t round = 0; round < kRounds; ++round) {
            if (round == kRemoved) {
                RingPort::HeldUp held(access, 1);
                may_pass[1] = places;
                give();
                may_pass[0] = places;
                REQUIRE(keys.all->remove_outbound(kHigashiTunnel, outbound[0].spi));
                CHECK(keys.reclaim() == 1);
                CHECK(ended == 0);
            } else if (round == kSwitched) {
                REQUIRE(workers.reaches([&](const auto&) { return keys.reclaim() == 0; }));
                CHECK(ended == 1);
                keys.outbound(outbound[1]);
                passes = places;
            }
            if (round != kRemoved) give();
            REQUIRE(workers.reaches(
                [&](const auto& counters) { return counters.ports[1].received + kOnTheWay > 2 * places; }));
        }
        REQUIRE(workers.reaches([&](const auto& counters) {
            return counters.ports[1].sent + dropped(counters.ports[1], DropReason::sa_missing) == 2 * places + 1;
        }));
        const dataplane::Counters last = workers.stop();
        check_protected_end(last);
        CHECK(wrong == 0);
        std::uint64_t missing = 0;
        for (std::size_t queue = 0; queue < 2; ++queue) {
            CHECK(sealed[0].first[queue] == 0);
            CHECK(sealed[0].next[queue] > 0);
            CHECK(sealed[0].next[queue] <= may_pass[queue]);
            CHECK(sealed[1].first[queue] > may_pass[queue]);
            CHECK(sealed[1].first[queue] <= passes);
            CHECK(sealed[1].next[queue] == places);
            missing += sealed[1].first[queue] - sealed[0].next[queue];
        }
        for (const Places& of_sa : sealed) CHECK(of_sa.wrong == 0);
        CHECK(last.ports[1].sent == 2 * places - missing + 1);
        CHECK(dropped(last.ports[1], DropReason::sa_missing) == missing);
        CHECK(last.ports[1].total_dropped() == missing + 1);
    }
    check_buffers();
}

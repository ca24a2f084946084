// Lifetimes and rekeying: limits that stop at once, events that come once, and no packet lost when keys change.
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "crypto/tunnel.hpp"
#include "tests/crypto/esp_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// How many of `count` packets in bursts of `burst` are sealed.
std::size_t sealed(Pair& pair, std::size_t count, std::size_t burst) {
    std::size_t done = 0;
    for (std::size_t i = 0; i < count; i += burst) {
        std::vector<ToSeal> several;
        std::vector<SealPacket> packets;
        for (std::size_t j = 0; j < burst; ++j) several.emplace_back(pair.out.get(), InnerPacket{}.bytes(), 64);
        for (ToSeal& one : several) packets.push_back(one.packet);
        pair.esp.seal(packets);
        for (const SealPacket& packet : packets) {
            done += packet.outcome == EspOutcome::done;
            if (packet.outcome == EspOutcome::dropped) CHECK(packet.reason == DropReason::sa_expired);
        }
    }
    return done;
}

}  // namespace

TEST_CASE("lifetime: the hard limit by packets stops sealing, exact to one burst", "[crypto][conformance-32]") {
    for (const std::size_t burst : {1U, 7U, 64U}) {
        PairOptions options;
        options.lifetime = {.soft_packets = 50, .hard_packets = 100};
        Pair pair(options);
        const std::size_t done = sealed(pair, 640, burst);
        CHECK(done >= 100);
        CHECK(done < 100 + burst);
        const std::uint32_t events = pair.out->lifetime().take_events();
        CHECK(Lifetime::has(events, LifetimeEvent::soft_packets));
        CHECK(Lifetime::has(events, LifetimeEvent::hard_packets));
        CHECK(pair.out->lifetime().take_events() == 0);
    }
}

TEST_CASE("lifetime: the hard limit by bytes stops opening too, and the reason is its own", "[crypto]") {
    PairOptions options;
    options.lifetime = {.soft_bytes = 500, .hard_bytes = 1000};
    Pair pair(options);
    const Bytes plain = with_trailer(InnerPacket{}.bytes(), kNextIpv4);  // 68 bytes for the cipher
    std::size_t opened = 0;
    int soft_events = 0;
    for (std::uint64_t number = 1; number < 40; ++number) {
        Bytes packet = pair.forge(number, plain);
        const OpenPacket result = open_one(pair, packet);
        opened += result.outcome == EspOutcome::done;
        if (result.outcome == EspOutcome::dropped) CHECK(result.reason == DropReason::sa_expired);
        soft_events += Lifetime::has(pair.in->lifetime().take_events(), LifetimeEvent::soft_bytes);
    }
    CHECK(opened == 15);  // the one that crosses is the last
    CHECK(soft_events == 1);
}

TEST_CASE("lifetime: time is told by control, once, and ends the SA", "[crypto]") {
    using std::chrono::seconds;
    Lifetime lifetime({.soft_time = seconds(10), .hard_time = seconds(20)});
    lifetime.tick(seconds(9));
    CHECK(lifetime.take_events() == 0);
    lifetime.tick(seconds(10));
    CHECK(Lifetime::has(lifetime.take_events(), LifetimeEvent::soft_time));
    lifetime.tick(seconds(11));
    lifetime.tick(seconds(5));  // a clock that went back says nothing new
    lifetime.tick(seconds(12));
    CHECK(lifetime.take_events() == 0);
    CHECK_FALSE(lifetime.is_over());
    lifetime.tick(seconds(100));
    CHECK(lifetime.is_over());
    CHECK(lifetime.take_events() == 1U << static_cast<unsigned>(LifetimeEvent::hard_time));
}

TEST_CASE("lifetime: many threads cross a limit, one event comes of it", "[crypto][threads][conformance-32]") {
    Lifetime lifetime({.soft_bytes = 1'000'000, .hard_bytes = 2'000'000});
    std::atomic<int> soft = 0, hard = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int burst = 0; burst < 20'000; ++burst) {
                lifetime.count(64, 1);
                const std::uint32_t events = lifetime.take_events();
                soft += Lifetime::has(events, LifetimeEvent::soft_bytes);
                hard += Lifetime::has(events, LifetimeEvent::hard_bytes);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(soft == 1);
    CHECK(hard == 1);
    CHECK(lifetime.is_over());
}

TEST_CASE("lifetime: two threads cross a hard limit, and none begins a second burst beyond it",
          "[crypto][threads][conformance-32]") {
    constexpr std::uint64_t kLimit = 1000;
    std::uint64_t most = 0;
    for (int trial = 0; trial < 2000; ++trial) {
        Lifetime lifetime({.hard_packets = kLimit});
        std::atomic<int> ready = 0;
        const auto counts = [&] {
            for (++ready; ready < 2;) std::this_thread::yield();
            while (!lifetime.is_over()) lifetime.count(1, 1);  // bursts of one packet
        };
        std::thread one(counts), other(counts);
        one.join();
        other.join();
        most = std::max(most, lifetime.packets());
    }
    // The one that crosses, and one that the other had begun before.
    CHECK(most <= kLimit + 1);
}

TEST_CASE("lifetime: no limits, no end", "[crypto]") {
    Lifetime lifetime({});
    lifetime.count(~std::uint64_t{0} >> 1, 1ULL << 60);
    lifetime.tick(std::chrono::hours(1'000'000));
    CHECK_FALSE(lifetime.is_over());
    CHECK(lifetime.take_events() == 0);
}

TEST_CASE("SAD: SPIs come and go, found as a map finds them, tables retired and not freed", "[crypto]") {
    test::Random random("sad");
    const auto engine = engine_of(EngineKind::openssl);
    KeyStore store(prepared_bytes(EngineKind::openssl));  // outlives all SAs, the retired ones too
    std::deque<std::shared_ptr<const void>> retired;
    Sad sad([&](std::shared_ptr<const void> held) { retired.push_back(std::move(held)); });
    std::map<Spi, InboundSa*> expected;
    CHECK(sad.find(Spi(0)) == nullptr);
    for (int i = 0; i < 3000; ++i) {
        const Spi spi(256 + static_cast<std::uint32_t>(random.below(700)));
        if (random.one_in(2)) {
            InboundConfig config{spi};
            config.replay_window = 64;
            config.selectors = both_families();
            auto made = InboundSa::make(config, Secret(Bytes(20)), *engine, store);
            REQUIRE(made);
            InboundSa* const plain = made->get();
            const bool fresh = sad.insert(std::move(*made)).has_value();
            REQUIRE(fresh == expected.emplace(spi, plain).second);
        } else {
            REQUIRE(sad.erase(spi).has_value() == (expected.erase(spi) == 1));
        }
        for (int j = 0; j < 5; ++j) {
            const Spi asked(static_cast<std::uint32_t>(random.below(1000)));
            const auto found = expected.find(asked);
            REQUIRE(sad.find(asked) == (found == expected.end() ? nullptr : found->second));
        }
    }
    CHECK(sad.size() == expected.size());
    CHECK_FALSE(retired.empty());
}

TEST_CASE("rekey: the SAs of a tunnel change again and again under traffic, and no packet is lost",
          "[crypto][threads]") {
    const auto control_engine = engine_of(fastest_engine());
    KeyStore store(prepared_bytes(fastest_engine()));
    std::mutex mutex;
    std::deque<std::shared_ptr<const void>> retired;  // kept to the end: there are no quiescent points here
    const Retire retire = [&](std::shared_ptr<const void> held) {
        const std::lock_guard lock(mutex);
        retired.push_back(std::move(held));
    };
    Sad sad(retire);
    std::atomic<OutboundSa*> word{nullptr};
    Tunnel tunnel(sad, word, retire);
    std::uint32_t spi = 1000;
    const auto install = [&](bool outbound) {
        const Secret material(Bytes(20, static_cast<std::uint8_t>(spi)));
        if (!outbound) {
            InboundConfig config{Spi(spi)};
            config.selectors = both_families();
            return tunnel.add_inbound(std::move(*InboundSa::make(config, material, *control_engine, store)))
                .has_value();
        }
        OutboundConfig config{Spi(spi)};
        config.local = *IpAddress::parse("192.0.2.1");
        config.peer = *IpAddress::parse("198.51.100.2");
        std::shared_ptr<OutboundSa> sa = std::move(*OutboundSa::make(config, material, *control_engine, store));
        sa->sequence().begin(1, sa->last_sequence());
        sa->sequence().extend(sa->last_sequence() + 1);
        tunnel.switch_outbound(std::move(sa));
        return true;
    };
    REQUIRE(install(false));
    REQUIRE(install(true));

    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> sent = 0, lost = 0;
    std::atomic<std::uint64_t> rounds[2] = {0, 0};
    std::vector<std::thread> workers;
    for (int worker = 0; worker < 2; ++worker) {
        workers.emplace_back([&, worker] {
            const auto made = make_engine(fastest_engine());
            Esp esp(**made);
            const Bytes inner = InnerPacket{}.bytes();
            while (!stop.load(std::memory_order_relaxed)) {
                // What waits while the other seals a whole replay window is late, and rightly refused: 64 rounds of 16
                // packets are a quarter of one.
                if (rounds[worker] > rounds[1 - worker] + 64) {
                    std::this_thread::yield();
                    continue;
                }
                std::vector<ToSeal> several;
                std::vector<SealPacket> out;
                for (int i = 0; i < 16; ++i) several.emplace_back(tunnel.outbound(), inner, 64);
                for (ToSeal& one : several) out.push_back(one.packet);
                esp.seal(out);
                std::vector<OpenPacket> in(out.size());
                for (std::size_t i = 0; i < out.size(); ++i) {
                    if (out[i].outcome != EspOutcome::done) {
                        ++lost;
                        continue;
                    }
                    in[i].esp = out[i].data + 20;
                    in[i].length = out[i].length - 20;
                    in[i].sa = sad.find(spi_of({in[i].esp, in[i].length}));
                }
                std::this_thread::yield();  // on the way
                esp.open(in);
                for (const OpenPacket& packet : in) lost += packet.outcome != EspOutcome::done;
                sent += in.size();
                ++rounds[worker];
            }
        });
    }
    for (int rekey = 0; rekey < 100; ++rekey) {
        const Spi old(spi);
        ++spi;
        const bool fine = install(false) && install(true);
        // The old inbound SA stays until what was sealed for it has arrived: one round of each worker and the next.
        const std::uint64_t seen[2] = {rounds[0], rounds[1]};
        while (rounds[0] < seen[0] + 2 || rounds[1] < seen[1] + 2) std::this_thread::yield();
        const bool removed = tunnel.remove_inbound(old).has_value();
        if (!fine || !removed) ++lost;
    }
    stop = true;
    for (std::thread& worker : workers) worker.join();
    CHECK(lost == 0);
    CHECK(sent > 1000);
    CHECK(tunnel.inbound().size() == 1);
    tunnel.close();
    CHECK(tunnel.outbound() == nullptr);
    CHECK(sad.size() == 0);
}

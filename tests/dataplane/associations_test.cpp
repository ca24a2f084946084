// The SAs as control sees them: installed, listed, ticked, taken away, and freed only when no worker can hold them.
#include "dataplane/associations.hpp"

#include <algorithm>

#include "tests/dataplane/support/esp_peer.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using dataplane::Associations;
using dataplane::SaInfo;
using std::chrono::seconds;

struct Node {
    std::vector<std::shared_ptr<const void>> retired;
    std::unique_ptr<Associations> all;
    SaInfo::Clock::time_point now{};

    explicit Node(crypto::EngineKind kind = crypto::fastest_engine()) {
        auto made = Associations::make(kind, 2, [this](auto gone) { retired.push_back(std::move(gone)); });
        REQUIRE(made);
        all = std::move(*made);
    }
    ~Node() { retired.clear(); }

    Expected<void> add(std::uint32_t spi, unsigned tunnel, crypto::LifetimeLimits lifetime = {}) {
        const EspKey key = esp_key(spi);
        crypto::InboundConfig config{key.spi};
        config.selectors = any_selectors();
        config.tunnel = TunnelId(tunnel);
        config.lifetime = lifetime;
        return all->add_inbound(config, Secret(key.keying), now);
    }
    Expected<Associations::Outbound> make(std::uint32_t spi, std::function<void()> ended = {}) {
        const EspKey key = esp_key(spi);
        crypto::OutboundConfig config{key.spi};
        config.local = address("203.0.113.1");
        config.peer = address("198.51.100.9");
        return all->make_outbound(config, Secret(key.keying), std::move(ended));
    }
};

TEST_CASE("SAs: what is refused says why", "[associations]") {
    Node node;
    CHECK(node.add(0x1001, 1));
    CHECK(node.add(0x1001, 2).error().code == ErrorCode::exists);
    CHECK(node.add(0x1002, 0).error().code == ErrorCode::limit);
    CHECK(node.add(0x1002, 1 << 22).error().code == ErrorCode::limit);
    CHECK(node.add(255, 1).error().code == ErrorCode::invalid);
    CHECK(node.all->remove_inbound(Spi(0x1002)).error().code == ErrorCode::not_found);
    CHECK(node.all->remove_outbound(TunnelId(1), Spi(0x1001)).error().code == ErrorCode::not_found);
    crypto::InboundConfig short_key{Spi(0x1003)};
    short_key.selectors = any_selectors();
    short_key.tunnel = TunnelId(1);
    const auto refused = node.all->add_inbound(short_key, Secret(Bytes(19, 7)), node.now);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().words.find("not 19") != std::string::npos);
    CHECK(node.all->size() == 1);
}

TEST_CASE("SAs: what is listed, by tunnel and in all", "[associations]") {
    Node node;
    REQUIRE(node.add(0x1001, 1));
    REQUIRE(node.add(0x1002, 1));
    REQUIRE(node.add(0x1003, 70000));
    auto sa = node.make(0x2001);
    REQUIRE(sa);
    CHECK(node.all->outbound(TunnelId(1)) == nullptr);
    REQUIRE(node.all->switch_outbound(TunnelId(1), *sa, node.now));
    CHECK(node.all->outbound(TunnelId(1)) == sa->get());
    CHECK(node.all->outbound(TunnelId(2)) == nullptr);
    CHECK(node.all->outbound(TunnelId(3'000'000)) == nullptr);
    CHECK(node.all->outbound(TunnelId(0xffff'ffff)) == nullptr);
    CHECK(node.all->list().size() == 4);
    const auto of_one = node.all->list(TunnelId(1));
    CHECK(of_one.size() == 3);
    CHECK(std::count_if(of_one.begin(), of_one.end(), [](const SaInfo& info) { return info.outbound; }) == 1);
    CHECK(node.all->list(TunnelId(70000)).size() == 1);
    CHECK(node.all->list(TunnelId(2)).empty());
    CHECK(of_one.front().selectors.size() == 2);
    CHECK(of_one.back().next_sequence == 1);
    CHECK(of_one.back().reserved_to == 1);
}

TEST_CASE("SAs: what goes is kept until no worker can hold it, and its end is told once", "[associations]") {
    Node node;
    int ended = 0;
    auto sa = node.make(0x2001, [&] { ++ended; });
    REQUIRE(sa);
    REQUIRE(node.all->switch_outbound(TunnelId(1), std::move(*sa), node.now));
    REQUIRE(node.add(0x1001, 1));
    crypto::OutboundSa* const held = node.all->outbound(TunnelId(1));
    node.retired.clear();
    auto next = node.make(0x2002);
    REQUIRE(next);
    REQUIRE(node.all->switch_outbound(TunnelId(1), std::move(*next), node.now));
    CHECK(node.all->outbound(TunnelId(1)) != held);
    CHECK(node.retired.size() == 1);
    CHECK(ended == 0);
    CHECK(held->spi() == Spi(0x2001));  // a worker may still read it
    node.retired.clear();
    CHECK(ended == 1);
    REQUIRE(node.all->remove_inbound(Spi(0x1001)));
    CHECK(node.all->sad().find(Spi(0x1001)) == nullptr);
    CHECK(node.retired.size() == 1);
    CHECK(node.all->size() == 1);
    node.all->forget(TunnelId(1));
    node.all->forget(TunnelId(1));
    CHECK(node.all->size() == 0);
    CHECK(node.all->outbound(TunnelId(1)) == nullptr);
    REQUIRE(node.add(0x1001, 1));  // the SPI is free again
    {
        auto unused = node.make(0x2003, [&] { ++ended; });
        REQUIRE(unused);
    }
    CHECK(ended == 2);
}

TEST_CASE("SAs: lifetimes are ticked in turns, and each event is told once", "[associations]") {
    Node node;
    crypto::LifetimeLimits limits;
    limits.soft_time = seconds(10);
    limits.hard_time = seconds(20);
    for (std::uint32_t i = 0; i < 10; ++i) REQUIRE(node.add(0x1000 + i, 1 + i, limits));
    CHECK(node.all->tick(node.now + seconds(9), 100).empty());
    CHECK(node.all->tick(node.now + seconds(10), 4).size() == 4);
    CHECK(node.all->tick(node.now + seconds(10), 4).size() == 4);
    CHECK(node.all->tick(node.now + seconds(10), 4).size() == 2);
    CHECK(node.all->tick(node.now + seconds(11), 100).empty());
    REQUIRE(node.all->remove_inbound(Spi(0x1003)));
    const auto events = node.all->tick(node.now + seconds(20), 100);
    REQUIRE(events.size() == 9);
    for (const auto& event : events) {
        CHECK(event.event == crypto::LifetimeEvent::hard_time);
        CHECK_FALSE(event.outbound);
        CHECK(event.spi != Spi(0x1003));
        CHECK(event.tunnel.value() == event.spi.value() - 0x1000 + 1);
    }
    for (const SaInfo& info : node.all->list()) CHECK(info.over);
    node.all->forget_all();
    CHECK(node.all->tick(node.now, 10).empty());
}

TEST_CASE("SAs: that one begins with most of its numbers used is told, which no packet of it would", "[associations]") {
    Node node;
    auto fresh = node.make(0x2001), used = node.make(0x2002);
    REQUIRE(fresh);
    REQUIRE(used);
    (*fresh)->sequence().begin((*fresh)->soft_sequence() - 1, (*fresh)->last_sequence());
    (*used)->sequence().begin((*used)->soft_sequence(), (*used)->last_sequence());
    REQUIRE(node.all->switch_outbound(TunnelId(1), *fresh, node.now));
    REQUIRE(node.all->switch_outbound(TunnelId(2), *used, node.now));
    const auto events = node.all->tick(node.now, 10);
    REQUIRE(events.size() == 1);
    CHECK(events[0].tunnel == TunnelId(2));
    CHECK(events[0].outbound);
    CHECK(events[0].event == crypto::LifetimeEvent::soft_sequence);
}

TEST_CASE("SAs: packets, bytes and the last use are told; events of bytes come with the next tick", "[associations]") {
    ProtectedOptions options;
    options.lifetime.soft_packets = 2;
    ProtectedHub hub(options);
    const auto start = SaInfo::Clock::time_point{};
    CHECK(hub.associations()->tick(start + seconds(1), 9).empty());
    hub.peer_sends(hub.from_peer(udp("10.0.0.7:4000", "100.64.2.9:53").payload(40).ip()));
    hub.send("kita", std::vector<Frame>(2, udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(40)));
    const auto events = hub.associations()->tick(start + seconds(2), 9);
    REQUIRE(events.size() == 1);
    CHECK(events[0].outbound);
    CHECK(events[0].event == crypto::LifetimeEvent::soft_packets);
    CHECK(hub.associations()->tick(start + seconds(7), 9).empty());
    for (const SaInfo& info : hub.associations()->list()) {
        CHECK(info.packets == (info.outbound ? 2 : 1));
        CHECK(info.bytes == info.packets * 72);  // 68, padded with the trailer to a multiple of four
        CHECK(info.last_used == start + seconds(2));
        CHECK(info.failures.empty());
    }
}

TEST_CASE("SAs: the other engine opens and seals in the path as well", "[associations]") {
    Node node(crypto::EngineKind::openssl);
    CHECK(node.all->engine().find("OpenSSL") != std::string::npos);
    CHECK(node.all->engine_of(WorkerId(1)).kind() == crypto::EngineKind::openssl);
}

}  // namespace
}  // namespace sekisho::test

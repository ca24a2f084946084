// Port blocks beside a set, and the rules of RFC 4787, 6888 and 7857 one by one.
#include "nat/port_pool.hpp"

#include <map>
#include <set>

#include <catch2/catch.hpp>

#include "tests/nat/support.hpp"

using namespace sekisho;
using namespace sekisho::nat;
using namespace sekisho::test;

namespace {

const Ipv4Address kFirst = *Ipv4Address::parse("100.64.200.1");
const Ipv4Address kSecond = *Ipv4Address::parse("100.64.200.2");
constexpr Subscriber kTanaka{1, 1};
constexpr auto kTcp = PortProtocol::tcp;
constexpr auto kUdp = PortProtocol::udp;
constexpr auto kIcmp = PortProtocol::icmp;

Endpoint at(std::uint32_t host, std::uint16_t port) {
    return {Ipv4Address(0x0a00'0000 + host), port};
}

struct Lender {
    explicit Lender(PortRules rules = {}, std::vector<Ipv4Address> addresses = {kFirst, kSecond}) {
        PortPoolOptions options;
        options.addresses = std::move(addresses);
        auto made = PortPool::make(options);
        REQUIRE(made);
        pool = *std::move(made);
        pool->set(rules);
    }
    PortPool::Lease lease(const Subscriber& who, const Endpoint& inside, PortProtocol protocol = kTcp) {
        return pool->lease({who, InstitutionId(7), 5, now}, inside, protocol, statics);
    }
    Endpoint outside(const Subscriber& who, const Endpoint& inside, PortProtocol protocol = kTcp) {
        const PortPool::Lease got = lease(who, inside, protocol);
        REQUIRE(got.refusal == PortPool::Refusal::none);
        return pool->outside(got.mapping);
    }
    std::vector<BlockRecord> records() {
        std::vector<BlockRecord> all;
        for (BlockRecord record; pool->log().pop(record);) all.push_back(record);
        return all;
    }
    StaticMaps statics;
    std::uint32_t now = 1000;
    std::unique_ptr<PortPool> pool;
};

constexpr PortRules kOneBlock{.blocks_each = 1};

}  // namespace

TEST_CASE("ports: one endpoint has one translation, whomever it speaks to", "[nat][conformance-51]") {
    Lender hub;
    const Endpoint first = hub.outside(kTanaka, at(1, 5000));
    for (int session = 0; session < 50; ++session) CHECK(hub.outside(kTanaka, at(1, 5000)) == first);
    CHECK(!(hub.outside(kTanaka, at(1, 5001)) == first));
    CHECK(!(hub.outside(kTanaka, at(2, 5000)) == first));
}

TEST_CASE("ports: a host has one address for all protocols", "[nat][conformance-57]") {
    Lender hub;
    for (std::uint32_t host = 0; host < 40; ++host) {
        const Subscriber who{host, 3};
        const Ipv4Address address = hub.outside(who, at(host, 5000), kTcp).address;
        for (std::uint16_t port = 5001; port < 5400; ++port) {  // into a second block
            REQUIRE(hub.outside(who, at(host, port), kTcp).address == address);
            REQUIRE(hub.outside(who, at(host, port), kUdp).address == address);
        }
        CHECK(hub.outside(who, at(host, 77), kIcmp).address == address);
    }
}

TEST_CASE("ports: a block is exact to its last free port, and then the quota ends", "[nat][conformance-58]") {
    Lender hub(kOneBlock, {kFirst});
    std::set<std::uint16_t> ports;
    for (std::uint32_t i = 0; i < kBlockPorts; ++i)
        ports.insert(hub.outside(kTanaka, at(1, static_cast<std::uint16_t>(20'000 + i))).port);
    CHECK(ports.size() == kBlockPorts);
    CHECK(*ports.rbegin() - *ports.begin() == kBlockPorts - 1);
    CHECK(hub.lease(kTanaka, at(1, 30'000)).refusal == PortPool::Refusal::quota);
    CHECK(hub.outside(kTanaka, at(1, 20'000)).port != 0);  // what it has, it keeps
    // Other protocols have ports of their own, other subscribers theirs.
    CHECK(hub.lease(kTanaka, at(1, 30'000), kUdp).refusal == PortPool::Refusal::none);
    CHECK(hub.lease({2, 1}, at(1, 30'000)).refusal == PortPool::Refusal::none);
    CHECK(hub.lease({1, 2}, at(1, 30'000)).refusal == PortPool::Refusal::none);  // the same number in another space
}

TEST_CASE("ports: more blocks come on demand, up to the quota", "[nat][conformance-58]") {
    Lender hub({.blocks_each = 3}, {kFirst});
    std::set<std::uint16_t> ports;
    for (std::uint32_t i = 0; i < 3 * kBlockPorts; ++i)
        ports.insert(hub.outside(kTanaka, at(1, static_cast<std::uint16_t>(20'000 + i))).port);
    CHECK(ports.size() == 3 * kBlockPorts);
    CHECK(hub.pool->blocks_of(kTanaka) == 3);
    CHECK(hub.lease(kTanaka, at(1, 30'000)).refusal == PortPool::Refusal::quota);
    CHECK(hub.pool->blocks_in_use() == 3);
}

TEST_CASE("ports: those under 1024 go to such while there are some, others never, and 0 is none",
          "[nat][conformance-63]") {
    Lender hub({.blocks_each = 8}, {kFirst});
    std::set<std::uint16_t> low;
    std::uint16_t inside = 1;
    for (; inside < 1024; ++inside) {
        const auto lease = hub.lease(kTanaka, at(1, inside));
        REQUIRE(lease.refusal == PortPool::Refusal::none);
        low.insert(hub.pool->outside(lease.mapping).port);
    }
    CHECK(low.size() == 1023);
    CHECK(*low.begin() == 1);
    CHECK(*low.rbegin() == 1023);
    CHECK(hub.outside(kTanaka, at(2, 80)).port >= 1024);  // none is left
    for (std::uint16_t port = 1024; port < 1400; ++port) CHECK(hub.outside(kTanaka, at(1, port)).port >= 1024);
}

TEST_CASE("ports: parity is kept when asked, while there is a port of it", "[nat][conformance-63]") {
    Lender hub({.blocks_each = 1, .keeps_parity = true}, {kFirst});
    for (std::uint16_t i = 0; i < kBlockPorts / 2; ++i) {
        const auto port = static_cast<std::uint16_t>(20'000 + 2 * i);
        REQUIRE(hub.outside(kTanaka, at(1, port), kUdp).port % 2 == 0);
    }
    CHECK(hub.outside(kTanaka, at(1, 40'000), kUdp).port % 2 == 1);  // no even one is left
    CHECK(hub.outside(kTanaka, at(1, 40'001), kUdp).port % 2 == 1);
}

TEST_CASE("ports: of the free ones one is lent that its asker wishes for, and every one at last", "[nat]") {
    struct FromAThird final : PortWish {
        bool suits(const Endpoint& outside) const noexcept override { return outside.port % 3 == 1; }
    } const wish;
    const auto keeps_parity = GENERATE(false, true);
    Lender hub({.blocks_each = 1, .keeps_parity = keeps_parity}, {kFirst});
    std::set<std::uint16_t> lent;
    std::uint32_t suiting = 0;
    for (std::uint32_t i = 0; i < kBlockPorts; ++i) {
        const auto port = static_cast<std::uint16_t>(20'000 + i);
        const PortPool::Lease got =
            hub.pool->lease({kTanaka, InstitutionId(7), 5, hub.now, &wish}, at(1, port), kUdp, hub.statics);
        REQUIRE(got.refusal == PortPool::Refusal::none);
        const Endpoint outside = hub.pool->outside(got.mapping);
        lent.insert(outside.port);
        if (keeps_parity) REQUIRE(outside.port % 2 == port % 2);
        if (wish.suits(outside)) ++suiting;
        // Two that are not wished for lie between any two that are: 32 in a row need 15 of these to be lent before.
        if (i < 15) REQUIRE(suiting == i + 1);
    }
    const std::uint32_t of_block = *lent.begin() % 3 == 1 ? 86 : 85;
    CHECK(suiting == of_block);
    CHECK(lent.size() == kBlockPorts);
    CHECK(hub.lease(kTanaka, at(1, 30'000), kUdp).refusal == PortPool::Refusal::quota);
}

TEST_CASE("ports: a port rests before it is used again", "[nat][conformance-59]") {
    Lender hub(kOneBlock, {kFirst});
    std::vector<PortPool::Mapping> mappings;
    for (std::uint32_t i = 0; i < kBlockPorts; ++i)
        mappings.push_back(hub.lease(kTanaka, at(1, static_cast<std::uint16_t>(20'000 + i))).mapping);
    hub.now += 500;
    const Endpoint freed = hub.pool->outside(mappings[17]);
    hub.pool->release(mappings[17], hub.now);
    for (std::uint32_t second = 0; second < 120; ++second, ++hub.now)
        REQUIRE(hub.lease(kTanaka, at(2, 7000)).refusal == PortPool::Refusal::quota);
    hub.now += 120;  // between one hold-down and two
    CHECK(hub.outside(kTanaka, at(2, 7000)) == freed);
}

TEST_CASE("ports: a block rests before another subscriber has it", "[nat][conformance-59]") {
    Lender hub(kOneBlock, {kFirst});
    std::vector<PortPool::Mapping> mappings;
    const std::uint32_t blocks = kBlocksOfAddress - 1024 / kBlockPorts;
    for (std::uint32_t who = 0; who < blocks; ++who) mappings.push_back(hub.lease({who, 1}, at(who, 5000)).mapping);
    CHECK(hub.lease({9999, 1}, at(1, 5000)).refusal == PortPool::Refusal::pool_full);
    const Endpoint freed = hub.pool->outside(mappings[33]);
    hub.pool->release(mappings[33], hub.now);
    CHECK(hub.pool->subscribers() == blocks - 1);
    hub.now += 119;
    CHECK(hub.lease({9999, 1}, at(1, 5000)).refusal == PortPool::Refusal::pool_full);
    hub.now += 1;
    CHECK(hub.outside({9999, 1}, at(1, 5000)).port / kBlockPorts == freed.port / kBlockPorts);
}

TEST_CASE("ports: a mapping lives as long as one of its sessions", "[nat]") {
    Lender hub;
    const auto mapping = hub.lease(kTanaka, at(1, 5000)).mapping;
    CHECK(hub.lease(kTanaka, at(1, 5000)).mapping == mapping);
    const Endpoint outside = hub.pool->outside(mapping);
    hub.pool->release(mapping, hub.now);
    REQUIRE(hub.pool->inside(outside, kTcp));
    CHECK(hub.pool->inside(outside, kTcp)->endpoint == at(1, 5000));
    CHECK(hub.pool->inside(outside, kTcp)->subscriber == kTanaka);
    CHECK(!hub.pool->inside(outside, kUdp));
    hub.pool->release(mapping, hub.now);
    CHECK(!hub.pool->inside(outside, kTcp));
    CHECK(hub.pool->blocks_in_use() == 0);
    CHECK(hub.pool->subscribers() == 0);
}

TEST_CASE("ports: a block's opening and its end are logged", "[nat]") {
    Lender hub;
    const auto mapping = hub.lease(kTanaka, at(1, 5000)).mapping;
    hub.lease(kTanaka, at(1, 5001));
    const Endpoint outside = hub.pool->outside(mapping);
    const auto first = static_cast<std::uint16_t>(outside.port / kBlockPorts * kBlockPorts);
    const auto last = static_cast<std::uint16_t>(first + kBlockPorts - 1);
    const auto record = [&](bool opened, std::uint32_t second) {
        return BlockRecord{opened, kTanaka, InstitutionId(7), outside.address, first, last, 5, second};
    };
    CHECK(hub.records() == std::vector<BlockRecord>{record(true, 1000)});
    hub.now = 1050;
    hub.pool->release(mapping, hub.now);
    CHECK(hub.records().empty());
    CHECK(hub.pool->blocks_in_use() == 1);  // the other port is still lent
    const auto other = hub.lease(kTanaka, at(1, 5001)).mapping;
    hub.pool->release(other, hub.now);
    CHECK(hub.records().empty());
    hub.pool->release(other, hub.now);
    CHECK(hub.records() == std::vector<BlockRecord>{record(false, 1050)});
}

TEST_CASE("ports: nothing is opened whose end could not be logged", "[nat]") {
    BlockLog log(4);
    BlockRecord record;
    for (int open = 0; open < 2; ++open) {
        REQUIRE(log.has_room());
        log.opened(record);
    }
    CHECK_FALSE(log.has_room());  // two openings, and room for two ends
    log.closed(record);
    CHECK_FALSE(log.has_room());
    CHECK((log.pop(record) && log.pop(record)));
    CHECK(log.has_room());
    CHECK(log.pop(record));
    CHECK_FALSE(log.pop(record));

    // In a pool: as many openings that nobody reads as its log takes.
    Lender hub(kOneBlock, {kFirst});
    hub.pool->set({.blocks_each = 1, .hold_down = 0});
    PortPool::Refusal refusal = PortPool::Refusal::none;
    std::size_t opened = 0;
    for (; refusal == PortPool::Refusal::none && opened < 10'000; ++opened) {
        const auto lease = hub.lease(kTanaka, at(1, 5000));
        refusal = lease.refusal;
        if (refusal == PortPool::Refusal::none) hub.pool->release(lease.mapping, hub.now);
    }
    CHECK(refusal == PortPool::Refusal::log_full);
    CHECK(opened > 1000);
    CHECK(hub.pool->subscribers() == 0);
    hub.records();
    CHECK(hub.lease(kTanaka, at(1, 5000)).refusal == PortPool::Refusal::none);
}

TEST_CASE("ports: a static map's port is lent to nobody, and taken from who has it", "[nat]") {
    Lender hub({.blocks_each = 252}, {kFirst});
    const auto mapping = hub.lease(kTanaka, at(1, 5000)).mapping;
    const Endpoint door = hub.pool->outside(mapping);
    auto maps = StaticMaps::make({{kTcp, door, 1, at(9, 443)}, {kTcp, {kFirst, 2000}, 1, at(9, 444)}});
    REQUIRE(maps);
    hub.statics = std::move(*maps);
    CHECK(!(hub.outside(kTanaka, at(1, 5000)) == door));
    CHECK(hub.pool->mapping_of(door, at(1, 5000), kTcp) == PortPool::kNoMapping);
    CHECK(hub.outside(kTanaka, at(1, 5000), kUdp).port != 0);  // another protocol's ports are others
    std::size_t lent = 1;
    for (std::uint32_t i = 0; i < 64 * 1024; ++i) {
        const auto lease = hub.lease(kTanaka, at(2 + i / 60'000, static_cast<std::uint16_t>(1024 + i % 60'000)));
        if (lease.refusal != PortPool::Refusal::none) break;
        const Endpoint outside = hub.pool->outside(lease.mapping);
        REQUIRE(!(outside == door));
        REQUIRE(outside.port != 2000);
        ++lent;
    }
    CHECK(lent == 64'512 - kBlockPorts - 1);  // all from 1024 on, but the block that rests, and the other map's
}

TEST_CASE("ports: static maps are found by both sides, of their protocol and space only", "[nat]") {
    const Endpoint door{kFirst, 8443};
    const auto maps = StaticMaps::make({{kTcp, door, 1, at(9, 443)}, {kUdp, door, 1, at(9, 443)}});
    REQUIRE(maps);
    REQUIRE(maps->by_outside(door, kTcp) != nullptr);
    CHECK(maps->by_outside(door, kTcp)->inside == at(9, 443));
    REQUIRE(maps->by_inside(1, at(9, 443), kUdp) != nullptr);
    CHECK(maps->by_inside(1, at(9, 443), kUdp)->outside == door);
    CHECK(maps->by_inside(2, at(9, 443), kUdp) == nullptr);
    CHECK(maps->by_outside(door, kIcmp) == nullptr);
    CHECK(maps->by_outside({kFirst, 8444}, kTcp) == nullptr);
    CHECK(StaticMaps().by_outside(door, kTcp) == nullptr);
}

TEST_CASE("ports: each share has blocks of every address, no block is of two, and its owner is told by the port",
          "[nat]") {
    std::map<std::pair<std::uint32_t, std::uint16_t>, std::uint32_t> share_of_block;
    for (std::uint32_t share = 0; share < 3; ++share) {
        auto pool = PortPool::make({.addresses = {kFirst, kSecond}, .share = share, .shares = 3});
        REQUIRE(pool);
        (*pool)->set({.blocks_each = 1});
        for (std::uint32_t who = 0;; ++who) {
            const auto lease = (*pool)->lease({{who, 1}, InstitutionId(0), 1, 0}, at(who, 5000), kTcp, {});
            if (lease.refusal != PortPool::Refusal::none) break;
            const Endpoint outside = (*pool)->outside(lease.mapping);
            const std::pair block(outside.address.value(), static_cast<std::uint16_t>(outside.port / kBlockPorts));
            REQUIRE(share_of_block.emplace(block, share).second);
            REQUIRE(PortPool::share_of(outside, 3) == share);
        }
    }
    CHECK(share_of_block.size() == 2 * 252);
}

TEST_CASE("ports: pools that contradict themselves are refused by name", "[nat]") {
    const auto words = [&](std::vector<Ipv4Address> addresses) {
        const auto made = PortPool::make({.addresses = std::move(addresses)});
        return made ? std::string() : made.error().words;
    };
    CHECK(words({}) == "a pool has no address");
    CHECK(words({kFirst, kSecond, kFirst}) == "address 100.64.200.1 stands twice in a pool");
    const auto refused = [&](std::vector<StaticMap> maps) {
        const auto made = StaticMaps::make(std::move(maps));
        return made ? std::string() : made.error().words;
    };
    CHECK(refused({{kTcp, {kFirst, 0}, 1, at(1, 1)}}) == "static map 100.64.200.1 port 0: port 0");
    CHECK(refused({{kTcp, {kFirst, 80}, 1, at(1, 1)}, {kTcp, {kFirst, 80}, 2, at(1, 2)}}) ==
          "static map 100.64.200.1 port 80 stands twice");
    CHECK(refused({{kTcp, {kFirst, 80}, 1, at(1, 1)}, {kTcp, {kFirst, 81}, 1, at(1, 1)}}) ==
          "static map 100.64.200.1 port 81: 10.0.0.1 port 1 has another one");
}

TEST_CASE("ports: random leases and releases agree with a set, and return to nothing", "[nat][random]") {
    Random random("port pool");
    CAPTURE(random.seed());
    Lender hub({.blocks_each = 2, .keeps_parity = random.one_in(2)});
    using Inside = std::tuple<std::uint32_t, std::uint32_t, std::uint16_t, int>;  // subscriber, host, port, protocol
    struct Known {
        PortPool::Mapping mapping;
        unsigned sessions;
        Endpoint outside;
    };
    std::map<Inside, Known> model;
    std::map<std::tuple<std::uint32_t, std::uint16_t, int>, std::uint32_t> freed;  // outside: when
    std::size_t refused = 0;
    for (std::size_t step = 0; step < 60'000 * rounds(); ++step) {
        const auto who = static_cast<std::uint32_t>(random.below(12));
        const auto host = static_cast<std::uint32_t>(random.below(3));
        const auto port =
            static_cast<std::uint16_t>(random.one_in(5) ? 1 + random.below(1023) : 3000 + random.below(300));
        const int protocol = static_cast<int>(random.below(2));
        const Inside inside{who, host, port, protocol};
        const auto known = model.find(inside);
        if (known != model.end() && random.below(10) < 6) {
            hub.pool->release(known->second.mapping, hub.now);
            if (--known->second.sessions == 0) {
                const Endpoint& was = known->second.outside;
                freed[{was.address.value(), was.port, protocol}] = hub.now;
                model.erase(known);
            }
        } else {
            const auto lease = hub.lease({who, 1}, at(host, port), static_cast<PortProtocol>(protocol));
            if (known != model.end()) {
                REQUIRE(lease.mapping == known->second.mapping);
                ++known->second.sessions;
            } else if (lease.refusal == PortPool::Refusal::none) {
                const Endpoint outside = hub.pool->outside(lease.mapping);
                for (const auto& [other, of] : model)  // nobody has it
                    if (step % 16 == 0) REQUIRE((!(of.outside == outside) || std::get<3>(other) != protocol));
                REQUIRE((outside.port >= 1024 || port < 1024));
                const auto before = freed.find({outside.address.value(), outside.port, protocol});
                if (before != freed.end()) REQUIRE(hub.now - before->second >= 120);
                model[inside] = {lease.mapping, 1, outside};
            } else {
                ++refused;
            }
        }
        if (random.one_in(100)) hub.now += static_cast<std::uint32_t>(random.below(150));
        if (random.one_in(50)) hub.records();
    }
    CAPTURE(refused);
    for (const auto& [inside, known] : model)
        for (unsigned i = 0; i < known.sessions; ++i) hub.pool->release(known.mapping, hub.now);
    CHECK(hub.pool->blocks_in_use() == 0);
    CHECK(hub.pool->subscribers() == 0);
}

// Where RSS brings packets: known answers, a device that has such a table, and ports that are lent by it.
#include "dataplane/rss_map.hpp"

#include <bit>
#include <map>
#include <mutex>
#include <set>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "tests/dataplane/support/oracle.hpp"
#include "tests/dataplane/support/running.hpp"

using namespace sekisho;
using namespace sekisho::dataplane;
using namespace sekisho::test;

namespace {

// The key of the hash's verification suite, "Verifying the RSS Hash Calculation" (Microsoft), as far as IPv4 needs it.
constexpr std::array<std::uint8_t, RssMap::kKey> kSuite = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2,
                                                           0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0};

nat::Endpoint endpoint(std::string_view address_text, std::uint16_t port) {
    return {*Ipv4Address::parse(address_text), port};
}

std::vector<WorkerId> in_turn(std::size_t entries, std::size_t workers) {
    std::vector<WorkerId> result;
    for (std::size_t i = 0; i < entries; ++i) result.push_back(WorkerId(static_cast<std::uint16_t>(i % workers)));
    return result;
}

}  // namespace

TEST_CASE("rss map: the hash is Toeplitz's, by the answers of its verification suite", "[rss]") {
    struct Answer {
        nat::Endpoint source, destination;
        std::uint32_t hash;
    };
    const Answer answers[] = {
        {endpoint("66.9.149.187", 2794), endpoint("161.142.100.80", 1766), 0x51cc'c178},
        {endpoint("199.92.111.2", 14230), endpoint("65.69.140.83", 4739), 0xc626'b0ea},
        {endpoint("24.19.198.95", 12898), endpoint("12.22.207.184", 38024), 0x5c2b'394a},
        {endpoint("38.27.205.30", 48228), endpoint("209.142.163.6", 2217), 0xafc7'327f},
        {endpoint("153.39.163.191", 44251), endpoint("202.188.127.2", 1303), 0x10e8'28a2},
    };
    const RssMap map(kSuite, in_turn(128, 3));
    for (const Answer& answer : answers) {
        CHECK(map.hash(answer.source, answer.destination) == answer.hash);
        CHECK(map.worker_of(answer.source, answer.destination) == WorkerId(answer.hash % 128 % 3));
    }
}

// DPDK's null device keeps a key and a table as a NIC does, and hashes nothing: what it says is what is looked at here.
TEST_CASE("rss map: a port's is by the key and the table of its device", "[rss][worker]") {
    constexpr std::size_t kWorkers = 4;
    constexpr PortId kSelf{3};  // whose queue 0 is worker 3's
    auto port = Port::open({"rss0", "net_null_rss0"}, kWorkers, Eal::frames());
    REQUIRE(port);
    std::uint16_t device = 0;
    REQUIRE(rte_eth_dev_get_port_by_name("net_null_rss0", &device) == 0);
    rte_eth_dev_info info{};
    REQUIRE(rte_eth_dev_info_get(device, &info) == 0);
    REQUIRE(info.reta_size == 128);
    std::array<rte_eth_rss_reta_entry64, 2> table{};
    for (std::size_t i = 0; i < 128; ++i) {
        table[i / 64].mask = ~std::uint64_t{0};
        table[i / 64].reta[i % 64] = static_cast<std::uint16_t>(i / 32);
    }
    REQUIRE(rte_eth_dev_rss_reta_update(device, table.data(), 128) == 0);
    std::array<std::uint8_t, 40> key{};
    std::copy(kSuite.begin(), kSuite.end(), key.begin());
    rte_eth_rss_conf conf{};
    conf.rss_key = key.data();
    conf.rss_key_len = key.size();
    conf.rss_hf = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
    REQUIRE(rte_eth_dev_rss_hash_update(device, &conf) == 0);

    const auto map = (*port)->rss_map(kSelf, kWorkers);
    REQUIRE(map != nullptr);
    const auto source = endpoint("66.9.149.187", 2794), destination = endpoint("161.142.100.80", 1766);
    CHECK(map->hash(source, destination) == 0x51cc'c178);
    CHECK(map->worker_of(source, destination) == WorkerId((0x78 / 32 + 3) % kWorkers));
    CHECK((*port)->plan().receive_queue_of(kSelf, map->worker_of(source, destination), kWorkers) == QueueId(0x78 / 32));
    // Who hashes no ports, or has fewer queues than there are workers, tells nothing.
    conf.rss_hf = RTE_ETH_RSS_IP;
    REQUIRE(rte_eth_dev_rss_hash_update(device, &conf) == 0);
    CHECK((*port)->rss_map(kSelf, kWorkers) == nullptr);
    PortSpec narrow{"rss1", "net_null_rss1"};
    narrow.queues = 2;
    auto spreading = Port::open(narrow, kWorkers, Eal::frames());
    REQUIRE(spreading);
    CHECK((*spreading)->rss_map(kSelf, kWorkers) == nullptr);
}

TEST_CASE("rss map: ports are lent whose answers come to the worker that lends them", "[rss][worker][behind]") {
    constexpr std::size_t kWorkers = 3;
    constexpr unsigned kHosts = 150;
    Policy policy = standard_policy();
    policy.line("minami").port = 0;
    policy.line("center").port = 1;
    policy.house("kita", "office").behind("10.0.6.0/24").uses("kita");
    policy.agreement("office", "portal").udp(53).tracked();
    policy.block("kita", "100.64.9.0/31", kWorkers);
    const bool resolved = GENERATE(false, true);  // by its row's nexthop, or by `where`
    const auto tables = policy.direct_nexthops(!resolved).tables();
    const MacAddress kita = policy.line("kita").mac_address;
    const std::string number = resolved ? "1" : "0";
    RingPort access("rssa" + number, 4096, kWorkers);
    RingPort center("rssc" + number, 4096, kWorkers);
    std::mutex mutex;
    std::vector<Reading> left;
    center.seen = [&](std::span<const std::uint8_t> frame) {
        const std::lock_guard lock(mutex);
        if (const auto reading = read(packet_in(Bytes(frame.begin(), frame.end())))) left.push_back(*reading);
    };
    std::vector<std::unique_ptr<const RssMap>> maps(2);
    maps[1] = std::make_unique<const RssMap>(kSuite, in_turn(128, kWorkers));
    const RssMap& map = *maps[1];
    const Ports ports({&access, &center});
    RunningWorkers workers(ports.list(), *tables, std::vector<unsigned>(kWorkers, 1), HandoverRing::kCapacity, nullptr,
                           std::move(maps));
    access.receive({arp(1, {.sender_mac = kKitaGateway, .sender = "10.255.0.2", .target = "10.255.0.1"}).bytes()});
    center.receive({arp(1, {.sender_mac = kPortal, .sender = "192.168.9.9", .target = "192.168.9.1"}).bytes()});
    const auto sent = [&](std::uint64_t frames) {
        REQUIRE(workers.reaches([&](const dataplane::Counters& counters) {
            return counters.ports[1].transmitted == frames && counters.node().held == 0;
        }));
    };
    sent(1);
    {
        const std::lock_guard lock(mutex);
        left.clear();
    }
    for (unsigned host = 0; host < kHosts; ++host)
        access.receive({udp("10.0.6." + std::to_string(host) + ":4000", "100.64.2.9:53").to(kita).bytes()},
                       host % kWorkers);
    sent(1 + kHosts);
    const std::lock_guard lock(mutex);
    REQUIRE(left.size() == kHosts);
    std::set<WorkerId> lenders;
    for (const Reading& question : left) {
        REQUIRE(question.destination == address("192.168.9.9"));
        const nat::Endpoint outside =
            endpoint(question.source.text(), static_cast<std::uint16_t>(question.source_port));
        const WorkerId lender = tables->port_pools[0].shares->lender_of(outside);
        lenders.insert(lender);
        REQUIRE(map.worker_of(endpoint("192.168.9.9", 53), outside) == lender);
    }
    CHECK(lenders.size() == kWorkers);
}

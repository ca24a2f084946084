// Port blocks with several workers, each on a thread: what comes back finds the worker that lent the port, whoever
// receives it; and so do hairpinned connections and errors.
#include <map>
#include <mutex>

#include "tests/dataplane/support/oracle.hpp"
#include "tests/dataplane/support/running.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// Kita on port 0 and the provider on port 1; two of kita's houses are behind two addresses, and one has a server.
Policy shared(std::size_t workers) {
    Policy policy = standard_policy();
    policy.line("minami").port = 0;
    policy.line("center").port = 1;
    policy.house("kita", "ward").behind("10.0.5.0/24").uses("kita");
    policy.house("kita", "office").behind("10.0.6.0/24").uses("kita");
    policy.agreement("office", "portal").udp(53).tracked();
    policy.agreement("office", "ward").tcp(8443).tracked();
    policy.agreement("ward", "office").udp(1024, 65535).tracked();
    policy.block("kita", "100.64.9.0/31", workers)
        .door(nat::PortProtocol::tcp, "100.64.9.1:8443", "10.0.5.9:443")
        .rules.filtering = nat::Filtering::endpoint_independent;
    return policy;
}

// What left by a port, read whole; filled by the worker that sends, read by the test.
struct Seen {
    void see(std::span<const std::uint8_t> frame) {
        const Bytes ip = packet_in(Bytes(frame.begin(), frame.end()));
        if (ip.empty()) return;
        const std::lock_guard lock(mutex);
        packets.push_back(ip);
    }
    std::vector<Reading> take() {
        const std::lock_guard lock(mutex);
        std::vector<Reading> readings;
        for (const Bytes& packet : packets)
            if (const auto reading = read(packet)) {
                CHECK(l4_sum(packet, *reading) == Sum::right);
                readings.push_back(*reading);
            }
        packets.clear();
        return readings;
    }
    std::mutex mutex;
    std::vector<Bytes> packets;
};

Bytes announces(std::string_view mac_address, std::string_view sender, std::string_view target) {
    return arp(1, {.sender_mac = mac_address, .sender = sender, .target = target}).bytes();
}

}  // namespace

TEST_CASE("workers: a port of a block is one worker's, and what comes back finds it, whoever receives it",
          "[worker][behind][conformance-55]") {
    const std::size_t count = GENERATE(2U, 3U);
    constexpr unsigned kHosts = 60;
    const Policy policy = shared(count);
    const auto tables = policy.tables();
    const MacAddress kita = policy.line("kita").mac_address, center_mac = policy.line("center").mac_address;
    const std::string number = std::to_string(count);
    RingPort access("behind0" + number, 4096, count);
    RingPort center("behind1" + number, 4096, count);
    Seen to_kita, to_center;
    access.seen = [&](std::span<const std::uint8_t> frame) { to_kita.see(frame); };
    center.seen = [&](std::span<const std::uint8_t> frame) { to_center.see(frame); };
    const Ports ports({&access, &center});
    RunningWorkers workers(ports.list(), *tables, std::vector<unsigned>(count, 1));
    access.receive({announces(kKitaGateway, "10.255.0.2", "10.255.0.1")});
    center.receive({announces(kPortal, "192.168.9.9", "192.168.9.1")});
    const auto sent = [&](std::size_t port, std::uint64_t frames) {
        REQUIRE(workers.reaches([&](const dataplane::Counters& counters) {
            return counters.ports[port].transmitted == frames && counters.node().held == 0;
        }));
    };
    sent(0, 1);
    sent(1, 1);

    // 1. Questions of many hosts, received by all.
    for (unsigned host = 0; host < kHosts; ++host)
        access.receive({udp("10.0.6." + std::to_string(host) + ":4000", "100.64.2.9:53").to(kita).bytes()},
                       host % count);
    sent(1, 1 + kHosts);
    const auto questions = to_center.take();
    REQUIRE(questions.size() == kHosts);
    std::set<std::pair<std::string, unsigned>> outsides;
    for (const Reading& question : questions) {
        CHECK(question.destination == address("192.168.9.9"));
        outsides.emplace(question.source.text(), question.source_port);
    }
    CHECK(outsides.size() == kHosts);
    std::size_t lenders = 0;
    for (std::size_t i = 0; i < count; ++i)
        if (workers.each()[i].sessions != 0) ++lenders;
    CHECK(lenders == count);

    // 2. Their answers, and an error about each, received by another worker than the question was.
    std::size_t at = 0;
    for (const Reading& question : questions) {
        const std::string outside = question.source.text() + ":" + std::to_string(question.source_port);
        const Frame delivered = udp(outside, "192.168.9.9:53");
        center.receive({udp("192.168.9.9:53", outside).to(center_mac).bytes(),
                        icmp_error("192.168.9.9", question.source.text(), 3, 3, delivered.ip()).to(center_mac).bytes()},
                       ++at % count);
    }
    sent(0, 1 + 2 * kHosts);
    std::map<std::string, unsigned> answers;
    for (const Reading& answer : to_kita.take()) {
        if (answer.protocol == 17) {
            CHECK(answer.source == address("100.64.2.9"));
            CHECK(answer.destination_port == 4000);
        }
        ++answers[answer.destination.text()];
    }
    CHECK(answers.size() == kHosts);
    for (const auto& [host, answered] : answers) CHECK(answered == 2);

    // 3. Hairpinned connections to the server, and what it answers.
    for (unsigned host = 0; host < kHosts; ++host)
        access.receive({tcp("10.0.6." + std::to_string(host) + ":5000", "100.64.9.1:8443").syn().to(kita).bytes()},
                       host % count);
    sent(0, 1 + 3 * kHosts);
    const auto arrived = to_kita.take();
    REQUIRE(arrived.size() == kHosts);
    for (const Reading& syn : arrived) {
        CHECK(syn.destination == address("10.0.5.9"));
        CHECK(syn.destination_port == 443);
        access.receive({tcp("10.0.5.9:443", syn.source.text() + ":" + std::to_string(syn.source_port))
                            .syn()
                            .ack()
                            .to(kita)
                            .bytes()},
                       ++at % count);
    }
    sent(0, 1 + 4 * kHosts);
    answers.clear();
    for (const Reading& syn : to_kita.take()) {
        CHECK(syn.source == address("100.64.9.1"));
        CHECK(syn.source_port == 8443);
        CHECK(syn.destination_port == 5000);
        ++answers[syn.destination.text()];
    }
    CHECK(answers.size() == kHosts);

    // 4. Hairpinned between lent ports, whose lenders are any two: each peer sees the other's port, always the same.
    std::map<std::string, std::string> port_of;  // of the ward's hosts
    std::uint64_t left = 1 + 4 * kHosts;
    for (const unsigned round : {0U, 1U}) {
        unsigned host = 0;
        for (const auto& [address, port] : outsides) {
            access.receive({udp("10.0.5." + std::to_string(host) + ":6000", address + ":" + std::to_string(port))
                                .to(kita)
                                .bytes()},
                           (host + round) % count);
            ++host;
        }
        sent(0, left += kHosts);
        const auto asked = to_kita.take();
        REQUIRE(asked.size() == kHosts);
        for (const Reading& question : asked) {
            CHECK(question.destination_port == 4000);
            const std::string outside = question.source.text() + ":" + std::to_string(question.source_port);
            if (round == 1) CHECK(port_of.contains(outside));
            port_of[outside] = question.destination.text();
            access.receive({udp(question.destination.text() + ":4000", outside).to(kita).bytes()}, ++at % count);
        }
        CHECK(port_of.size() == kHosts);
        sent(0, left += kHosts);
        for (const Reading& answer : to_kita.take()) {
            CHECK(answer.destination_port == 6000);
            CHECK(outsides.contains({answer.source.text(), answer.source_port}));
        }
    }
    const dataplane::Counters last = workers.stop();
    CHECK(last.node().unaccounted() == 0);
    CHECK(dropped(last.node(), DropReason::no_agreement) == 0);
}

// One worker on ports of its own: what it counts itself. What the path does with frames is the other tests' business.
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/running.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("worker: what a port does not take, and what is held at the end, is counted", "[worker]") {
    Policy policy = standard_policy();
    policy.line("minami").port = 0;
    policy.line("center").port = 1;
    const auto tables = policy.tables();
    const MacAddress kita = policy.line("kita").mac_address;
    {
        RingPort wide("wide", 256);
        RingPort narrow("narrow", 1);
        const Ports ports({&wide, &narrow});
        RunningWorkers worker(ports.list(), *tables);

        // The portal asks, and is known from then on; the answer comes back by the ring as a frame for the portal.
        const auto portal_frames = [](std::uint64_t wanted) {
            return [wanted](const dataplane::Counters& counters) {
                return dropped(counters.ports[1], DropReason::mac_not_ours) == wanted;
            };
        };
        narrow.receive({arp(1, {.sender_mac = kPortal, .sender = "192.168.9.9", .target = "192.168.9.1"}).bytes()});
        REQUIRE(worker.reaches(portal_frames(1)));

        // Ten frames at once for a port that takes one.
        wide.receive(std::vector<Bytes>(10, udp("10.0.0.7:4000", "100.64.2.9:53").to(kita).bytes()));
        REQUIRE(worker.reaches(
            [](const auto& counters) { return dropped(counters.ports[0], DropReason::transmit_full) == 9; }));
        REQUIRE(worker.reaches(portal_frames(2)));

        // One for a neighbour that nobody knows; its question comes back as a duplicate address.
        wide.receive({udp("10.0.0.7:4000", "100.64.2.10:53").to(kita).bytes()});
        REQUIRE(worker.reaches([](const auto& counters) { return counters.ports[0].held == 1; }));
        REQUIRE(worker.reaches(
            [](const auto& counters) { return dropped(counters.ports[1], DropReason::duplicate_address) == 1; }));

        // And a fragment whose first one does not come.
        const Bytes whole = udp("10.0.0.7:4000", "100.64.2.9:53").dont_fragment(false).payload(200).ip();
        wide.receive({carrying(piece(whole, 64, 208, false)).to(kita).bytes()});
        REQUIRE(worker.reaches([](const auto& counters) { return counters.ports[0].received == 12; }));

        const dataplane::Counters last = worker.stop();
        const std::uint64_t late = dropped(last.ports[0], DropReason::fragment_without_first);  // its second was over
        CHECK(dropped(last.ports[0], DropReason::stopped) + late == 2);
        CHECK(late <= 1);
        for (const auto& port : last.ports) {
            CHECK(port.unaccounted() == 0);
            CHECK(port.held == 0);
        }
        CHECK(last.ports[0].received == 12);
        CHECK(last.ports[0].sent == 2);  // one packet and one question
        CHECK(last.ports[0].transmitted == 0);
        CHECK(last.ports[1].transmitted == 3);
        CHECK(last.node().unaccounted() == 0);
    }
    CHECK(rte_mempool_in_use_count(Eal::frames()) == 0);
    CHECK(rte_mempool_in_use_count(Eal::made()) == 0);
}

// What sessions cost others: budgets, full tables, floods, and time.
#include "tests/dataplane/support/tracked.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("session limit: an institution that scans takes no other's sessions", "[path][session][conformance-58]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.worker().tracker.budget().set({100, 1000});
    shake_hands(hub, ends);
    std::vector<Frame> scan;
    for (unsigned port = 10'000; port < 10'200; ++port) scan.push_back(ask(ends, port));
    hub.send("kita", scan);
    CHECK(hub.drops() == Drops{{DropReason::institution_sessions_full, 101}});
    CHECK(hub.sessions() == 100);
    // What it has goes on, others open theirs.
    hub.passes("kita", forth(ends).ack());
    hub.passes("center", back(ends).ack());
    hub.passes("kita", ask(ends, 10'000));
    hub.passes("minami", ask(ends));
    hub.wait(1);  // until errors may be made again
    hub.refuses("kita", ask(ends, 20'000), DropReason::institution_sessions_full);
}

TEST_CASE("session limit: an operator's institutions share its budget", "[path][session]") {
    Policy policy = tracked_policy();
    policy.agreement("kita-clinic", "portal").udp(53).tracked();
    TrackedHub hub(policy);
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.worker().tracker.budget().set({100, 120});
    std::vector<Frame> many;
    for (unsigned port = 1000; port < 1100; ++port) many.push_back(ask(ends, port));
    hub.send("kita", many);
    CHECK(hub.drops() == Drops{});
    std::vector<Frame> clinic;
    for (unsigned port = 1000; port < 1050; ++port)
        clinic.push_back(udp(at(ends.clinic, port), at(ends.portal_hub, 53)));
    hub.send("kita", clinic);
    CHECK(hub.drops() == Drops{{DropReason::operator_sessions_full, 30}});
    hub.passes("minami", ask(ends));
}

TEST_CASE("session limit: a full table refuses new ones by a count, and those that there are go on",
          "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.worker().tracker.make_room({40, 40});
    hub.worker().tracker.budget().set({100'000, 100'000});
    shake_hands(hub, ends);
    std::vector<Frame> flood;
    for (unsigned port = 10'000; port < 10'400; ++port) flood.push_back(forth(ends, port).syn());
    hub.send("kita", flood);
    const std::uint64_t refused = hub.drops()[DropReason::session_table_full];
    CHECK(refused > 0);
    CHECK(hub.sessions() == 401 - refused);
    hub.passes("kita", forth(ends).ack());
    hub.passes("center", back(ends).ack());
}

TEST_CASE("session limit: sessions end in time, and their answers with them", "[path][session][conformance-52]") {
    Policy policy = tracked_policy();
    policy.timeouts.udp = 5;
    TrackedHub hub(policy);
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.wait(0.1);
    hub.passes("kita", ask(ends));
    hub.wait(4);
    hub.keep_neighbours();
    hub.passes("center", answer_to(ends));  // renews it
    hub.wait(5);
    hub.keep_neighbours();
    CHECK(hub.sessions() == 1);
    hub.passes("kita", ask(ends));
    hub.wait(8);
    hub.keep_neighbours();
    CHECK(hub.sessions() == 0);
    hub.refuses("center", answer_to(ends), DropReason::no_agreement);
}

TEST_CASE("session limit: a handshake that nobody ends goes, a connection stays", "[path][session][conformance-53]") {
    Policy policy = tracked_policy();
    policy.timeouts.tcp_transitory = 3;
    TrackedHub hub(policy);
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.wait(0.1);
    shake_hands(hub, ends, 4000);
    hub.passes("kita", forth(ends, 4001).syn());
    hub.passes("kita", forth(ends, 4002).syn());
    hub.passes("center", back(ends, 4002).syn().ack());
    CHECK(hub.sessions() == 3);
    hub.wait(6);
    hub.keep_neighbours();
    CHECK(hub.sessions() == 1);
    hub.passes("center", back(ends, 4000).ack());
    hub.refuses("center", back(ends, 4002).ack(), DropReason::no_agreement);
    hub.passes("center", back(ends, 4000).rst());
    hub.wait(6);
    CHECK(hub.sessions() == 0);
}

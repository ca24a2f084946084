// Sessions while the tables change: gates close at once, agreements that went take their sessions, others stay.
#include "tests/dataplane/support/tracked.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

Policy without_udp() {
    Policy policy = tracked_policy();
    std::erase_if(policy.agreements, [](const Agreement& agreement) { return agreement.what == Agreement::What::udp; });
    return policy;
}

}  // namespace

TEST_CASE("session change: a commit that takes the agreement ends its sessions at their next packet, either way",
          "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.passes("kita", ask(ends, 4000));
    hub.passes("kita", ask(ends, 4001));
    shake_hands(hub, ends);
    hub.commit(without_udp());
    hub.refuses("center", answer_to(ends, 4000), DropReason::no_agreement);
    hub.refuses("kita", ask(ends, 4001), DropReason::no_agreement);
    CHECK(hub.sessions() == 1);
    hub.passes("kita", forth(ends).ack());
    hub.passes("center", back(ends).ack());
    // It comes back; sessions do not.
    hub.commit(tracked_policy());
    hub.refuses("center", answer_to(ends, 4000), DropReason::no_agreement);
    hub.passes("center", back(ends).ack());
}

TEST_CASE("session change: an ICMP error about a session whose agreement went does not pass", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const unsigned type = ends.family == Family::ipv4 ? 3 : 1;
    const Frame delivered = udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ttl(60);
    hub.passes("kita", ask(ends));
    hub.commit(without_udp());
    hub.send("center", icmp_error(ends.portal, ends.client_hub, type, 1, delivered.ip()));
    CHECK(hub.drops() == Drops{{DropReason::icmp_error_unmatched, 1}});
}

TEST_CASE("session change: a gate closes its sessions at once, and opens them as they were", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    shake_hands(hub, ends);
    for (const std::string_view closed : {"kita-hospital", "portal"}) {
        Policy policy = tracked_policy();
        policy.house(closed).close();
        hub.commit(policy);
        hub.refuses("kita", forth(ends).ack(), DropReason::institution_closed);
        hub.refuses("center", back(ends).ack(), DropReason::institution_closed);
        hub.commit(tracked_policy());
        hub.passes("kita", forth(ends).ack());
        hub.passes("center", back(ends).ack());
    }
}

TEST_CASE("session change: made stateless, the agreement's flows go on without their sessions", "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.passes("kita", ask(ends));
    hub.commit(standard_policy());
    hub.passes("kita", ask(ends));
    hub.passes("center", answer_to(ends));
    hub.passes("kita", forth(ends).syn());
    CHECK(hub.sessions() == 1);
}

TEST_CASE("session change: a packet that waited for its next hop leaves if the agreement still stands",
          "[path][session]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    const std::string_view unknown = ipv4 ? "100.64.2.33" : "2001:db8:4000:201::33";
    const std::string_view inside = ipv4 ? "192.168.9.33" : "fd99::33";
    constexpr std::string_view kMac = "02:00:00:00:0c:33";
    const auto answers = [&](TrackedHub& hub) {
        const MacAddress own = hub.policy().line("center").mac_address;
        if (ipv4)
            hub.send("center", arp(2, {.sender_mac = kMac, .sender = inside, .target = ends.center_hub}).to(own));
        else
            hub.send("center", neighbour_advertisement(inside, ends.center_hub, inside, kMac, 0x6000'0000).to(own));
    };
    for (const bool stands : {true, false}) {
        TrackedHub hub;
        hub.send("kita", udp(at(ends.client, 4000), at(unknown, 53)));
        CHECK(hub.held() == 1);
        hub.commit(stands ? tracked_policy() : without_udp());
        answers(hub);
        CHECK(hub.held() == 0);
        CHECK(hub.drops() == (stands ? Drops{} : Drops{{DropReason::no_agreement, 1}}));
        if (stands)
            CHECK(hub.left() ==
                  Frames{hub.by("center", udp(at(ends.client_hub, 4000), at(inside, 53)).ttl(63).to(kMac))});
    }
}

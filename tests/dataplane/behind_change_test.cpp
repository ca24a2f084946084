// Port blocks while things change: sessions that end, generations, gates, packets that wait, sessions ended by hand.
#include <cstdlib>

#include "dataplane/behind.hpp"
#include "dataplane/session_desk.hpp"
#include "tests/dataplane/support/shared.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("behind: a port goes back when its last session ends, and rests before it is lent again",
          "[path][behind][conformance-59]") {
    Policy policy = shared_policy();
    policy.blocks[0].quota(1);
    SharedHub hub(policy);
    std::vector<Frame> questions;
    for (unsigned port = 0; port < nat::kBlockPorts; ++port)
        questions.push_back(question_of("10.0.5.7", 20'000 + port));
    hub.send("kita", questions);
    REQUIRE(hub.drops() == Drops{});
    hub.wait(200);
    hub.keep_neighbours();
    questions.pop_back();
    hub.send("kita", questions);  // all but one go on
    hub.wait(102);                // and that one's time is over
    CHECK(hub.sessions() == 2 * (nat::kBlockPorts - 1));
    hub.keep_neighbours();
    hub.refuses("kita", question_of("10.0.5.7", 30'000), DropReason::port_quota_full);
    hub.wait(150);
    hub.keep_neighbours();
    hub.send("kita", questions);
    hub.wait(100);
    hub.keep_neighbours();
    hub.passes("kita", question_of("10.0.5.7", 30'000));
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
    CHECK(hub.ports().subscribers() == 0);
}

TEST_CASE("behind: packets of a flow that come together open it once, and its port goes back", "[path][behind]") {
    SharedHub hub;
    std::vector<Frame> together;
    for (unsigned n = 0; n < 20; ++n) {
        together.push_back(question_of("10.0.5.7", 4000));
        together.push_back(question_of("10.0.5.7", 4001));
        together.push_back(udp("10.0.5.7:4000", at(kEnds4.archive, 99)));
    }
    hub.send("kita", together);
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == together.size());
    CHECK(hub.sessions() == 2 * 3);
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
    // Where there is no room for it, all are refused, and no port is kept.
    SharedHub full;
    full.worker().tracker.budget().set({0, 0});
    full.send("kita", together);
    CHECK(full.drops() == Drops{{DropReason::institution_sessions_full, together.size()}});
    CHECK(full.ports().blocks_in_use() == 0);
}

// SEKISHO_TEST_SESSIONS: how many its table has room for.
TEST_CASE("behind: churn of twenty times a table's size returns to nothing", "[path][behind][churn]") {
    const char* const given = std::getenv("SEKISHO_TEST_SESSIONS");
    const auto room = static_cast<unsigned>(given != nullptr ? std::strtoul(given, nullptr, 10) : 1000);
    SharedHub hub;
    hub.worker().tracker.make_room({room, 1000});
    hub.worker().tracker.budget().set({1'000'000'000, 1'000'000'000});
    std::uint64_t full = 0;
    for (unsigned round = 0; round < 20; ++round) {
        for (unsigned sent = 0; sent < room;) {
            std::vector<Frame> questions;
            for (unsigned n = 0; n < 1000 && sent < room; ++n, ++sent)
                questions.push_back(udp(at("10.0.5." + std::to_string(sent % 200), 1024 + sent / 200 % 200),
                                        at(kEnds4.archive, 1 + 1000 * round + sent / 40'000)));
            hub.send("kita", questions);
            for (const auto& [reason, count] : hub.drops()) full += count;
        }
        hub.wait(200);
        hub.keep_neighbours();
    }
    CHECK(full > 0);
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
    CHECK(hub.ports().subscribers() == 0);
    for (std::uint32_t institution = 0; institution < 10; ++institution)
        CHECK(hub.worker().tracker.budget().of(InstitutionId(institution)) == 0);
}

TEST_CASE("behind: another generation decides again, with the port kept", "[path][behind]") {
    Policy policy = shared_policy();
    SharedHub hub(policy);
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    policy.blocks[0].quota(7);
    policy.house("portal").maps[0] = {*IpPrefix::parse("192.168.9.0/24"), *IpPrefix::parse("100.64.2.0/24")};
    hub.commit(policy);
    CHECK(hub.port_for(question_of("10.0.5.7", 4000)) == port);
    hub.passes("center", udp("192.168.9.9:53", at(kShared, port)));
    CHECK(hub.sessions() == 2);
    // The agreement is gone.
    std::erase_if(policy.agreements, [](const Agreement& agreement) { return agreement.client == "ward"; });
    hub.commit(policy);
    hub.refuses("center", udp("192.168.9.9:53", at(kShared, port)), DropReason::no_agreement);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
}

TEST_CASE("behind: a pool of the same addresses made anew has lent nothing, and old sessions end", "[path][behind]") {
    Policy policy = shared_policy();
    SharedHub hub(policy);
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    Policy other = shared_policy();
    other.blocks.clear();
    other.block("kita", "100.64.9.1/32", 1, 2);
    hub.commit(other);
    hub.refuses("center", udp("192.168.9.9:53", at(kShared, port)), DropReason::no_agreement);
    hub.passes("kita", question_of("10.0.5.7", 4000));
    CHECK(hub.sessions() == 2);
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
}

TEST_CASE("behind: gates close who is behind an address, and nobody else there", "[path][behind]") {
    Policy policy = shared_policy();
    SharedHub hub(policy);
    const std::uint16_t ward = hub.port_for(question_of("10.0.5.7", 4000));
    const std::uint16_t office = hub.port_for(question_of("10.0.6.7", 4000));
    policy.house("ward").close();
    hub.commit(policy);
    hub.refuses("kita", question_of("10.0.5.7", 4000), DropReason::institution_closed);
    hub.refuses("center", udp("192.168.9.9:53", at(kShared, ward)), DropReason::institution_closed);
    hub.refuses("minami", tcp("10.0.0.7:4000", at(kShared, 8443)).syn(), DropReason::institution_closed);
    hub.passes("kita", question_of("10.0.6.7", 4000));
    hub.passes("center", udp("192.168.9.9:53", at(kShared, office)));
}

TEST_CASE("behind: what waited for a neighbour leaves in its own generation only", "[path][behind]") {
    Policy policy = shared_policy();
    TrackedHub hub(policy);
    hub.send("kita", udp("10.0.5.7:4000", "100.64.2.50:53"));  // a station that is not known yet
    CHECK(hub.held() == 1);
    hub.send("center", arp(2, {.sender_mac = "02:00:00:00:0c:50",
                               .sender = "192.168.9.50",
                               .target_mac = "02:5e:00:00:00:04",
                               .target = "192.168.9.1"}));
    REQUIRE(hub.left().size() == 1);
    CHECK(read(packet_in(hub.left().front().frame))->source == address(kShared));
    hub.send("kita", udp("10.0.5.7:4000", "100.64.2.51:53"));
    hub.commit(policy);
    hub.send("center", arp(2, {.sender_mac = "02:00:00:00:0c:51",
                               .sender = "192.168.9.51",
                               .target_mac = "02:5e:00:00:00:04",
                               .target = "192.168.9.1"}));
    CHECK(hub.drops() == Drops{{DropReason::handover_stale, 1}});
}

TEST_CASE("behind: sessions are told with both of their endpoints, and ended with their port", "[path][behind]") {
    SharedHub hub;
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    hub.passes("center", udp("192.168.9.9:53", at(kShared, port)));
    dataplane::SessionDesk desk;
    const auto work = [&](const dataplane::SessionOrder& order) {
        REQUIRE(desk.put(order));
        while (desk.has_work())
            desk.work(hub.worker().tracker, hub.tables(), 0, [&](nat::Slot slot, auto family) noexcept {
                dataplane::end_session<decltype(family)>(hub.worker(), hub.tables(), slot, 0);
            });
        return *desk.take();
    };
    const auto answer = work({});
    REQUIRE(answer.sessions.size() == 1);
    const dataplane::SessionInfo& info = answer.sessions.front();
    CHECK(info.client.inside == address("10.0.5.7"));
    CHECK(info.client.inside_port == 4000);
    CHECK(info.client.hub == address(kShared));
    CHECK(info.client.hub_port == port);
    CHECK(info.client.institution.index() == hub.policy().house_index("ward"));
    CHECK(info.service.inside == address("192.168.9.9"));
    CHECK(info.packets == 2);
    CHECK(info.replied);
    CHECK(work({.filter = {.address = address(kShared), .port = port}, .ends = true}).matching == 1);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
}

TEST_CASE("behind: a session ends when its client's own address becomes a shared one, or a shared one its own",
          "[path][behind]") {
    Policy policy = shared_policy();
    policy.blocks.clear();
    policy.house("ward").shared.clear();
    policy.house("ward").map("10.0.5.0/24", "100.64.9.0/24");
    SharedHub hub(policy);
    hub.passes("kita", question_of("10.0.5.1", 4000));
    hub.commit(shared_policy());
    hub.refuses("center", udp("192.168.9.9:53", "100.64.9.1:4000"), DropReason::no_agreement);
    const std::uint16_t port = hub.port_for(question_of("10.0.5.1", 4000));
    hub.commit(policy);
    hub.refuses("center", udp("192.168.9.9:53", at(kShared, port)), DropReason::no_agreement);
    hub.passes("kita", question_of("10.0.5.1", 4000));
    hub.passes("center", udp("192.168.9.9:53", "100.64.9.1:4000"));
    hub.wait(400);
    CHECK(hub.sessions() == 0);
}

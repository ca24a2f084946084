// What control asks of a worker's sessions: which match, what is told of them, and that only those are ended.
#include "dataplane/session_desk.hpp"

#include "tests/dataplane/support/running.hpp"
#include "tests/dataplane/support/tracked.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::SessionAnswer;
using dataplane::SessionDesk;
using dataplane::SessionFilter;
using dataplane::SessionOrder;

namespace {

std::uint32_t second_of(const TestHub& hub) {
    return static_cast<std::uint32_t>(hub.now() / TestHub::kHz);
}

// Works on the order until it is done.
SessionAnswer done(TrackedHub& hub, SessionDesk& desk, const SessionOrder& order) {
    REQUIRE(desk.put(order));
    CHECK(desk.take() == nullptr);
    dataplane::Tracker& tracker = hub.worker().tracker;
    for (int rounds = 0; desk.has_work(); ++rounds) {
        REQUIRE(rounds < 10'000);
        desk.work(tracker, hub.tables(), second_of(hub),
                  [&](nat::Slot slot, auto family) noexcept { tracker.of<decltype(family)>().close(slot); });
    }
    REQUIRE(desk.take() != nullptr);
    return *desk.take();
}
std::uint64_t count(TrackedHub& hub, const SessionFilter& filter) {
    SessionDesk desk;
    return done(hub, desk, {filter}).matching;
}

// A question of each operator in each family, and one TCP connection of kita's.
void open_some(TrackedHub& hub) {
    hub.passes("kita", ask(kEnds4));
    hub.passes("kita", ask(kEnds6));
    hub.passes("minami", ask(kEnds4));
    shake_hands(hub, kEnds4, 5000);
    REQUIRE(hub.sessions() == 4);
}

}  // namespace

TEST_CASE("session desk: of a session both ends are told, in both spaces, with their counters and times",
          "[path][session]") {
    TrackedHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.passes("kita", ask(ends));
    hub.passes("center", answer_to(ends));
    hub.wait(7);
    SessionDesk desk;
    const SessionAnswer answer = done(hub, desk, {});
    REQUIRE(answer.sessions.size() == 1);
    CHECK(answer.matching == 1);
    const dataplane::SessionInfo& info = answer.sessions.front();
    CHECK(info.client.inside == address(ends.client));
    CHECK(info.client.hub == address(ends.client_hub));
    CHECK(info.client.hub_port == 4000);
    CHECK(info.client.known);
    CHECK(info.client.vrf == VrfId(static_cast<std::uint16_t>(hub.policy().vrf_index("kita"))));
    CHECK(info.client.institution.index() == hub.policy().house_index("kita-hospital"));
    CHECK(info.service.inside == address(ends.portal));
    CHECK(info.service.hub == address(ends.portal_hub));
    CHECK(info.service.inside_port == 53);
    CHECK(info.service.institution.index() == hub.policy().house_index("portal"));
    CHECK(info.protocol == 17);
    CHECK(info.replied);
    CHECK(info.packets == 2);
    CHECK(info.bytes == 2 * udp(at(ends.client, 1), at(ends.portal_hub, 2)).ip().size());
    CHECK(info.idle == 7);
    CHECK(info.left == 293);
}

TEST_CASE("session desk: each filter leaves those that match it, and all of them must", "[path][session]") {
    TrackedHub hub;
    open_some(hub);
    const auto vrf = [&](const char* name) { return VrfId(static_cast<std::uint16_t>(hub.policy().vrf_index(name))); };
    const auto line = [&](const char* name) {
        return AttachmentId(static_cast<std::uint16_t>(hub.policy().line_index(name)));
    };
    CHECK(count(hub, {}) == 4);
    CHECK(count(hub, {.vrf = vrf("kita")}) == 3);
    CHECK(count(hub, {.vrf = vrf("minami")}) == 1);
    CHECK(count(hub, {.vrf = vrf("center")}) == 4);
    CHECK(count(hub, {.attachment = line("kita-backup")}) == 3);
    CHECK(count(hub, {.attachment = line("minami")}) == 1);
    CHECK(count(hub, {.address = address("10.0.0.7")}) == 3);  // two operators' own
    CHECK(count(hub, {.address = address("100.64.16.7")}) == 1);
    CHECK(count(hub, {.address = address(kEnds6.portal)}) == 1);
    CHECK(count(hub, {.address = address("10.0.0.8")}) == 0);
    CHECK(count(hub, {.port = 53}) == 3);
    CHECK(count(hub, {.port = 5000}) == 1);
    CHECK(count(hub, {.protocol = 6}) == 1);
    CHECK(count(hub, {.state = nat::TcpState::established}) == 1);
    CHECK(count(hub, {.state = nat::TcpState::opening}) == 0);
    CHECK(count(hub, {.vrf = vrf("kita"), .port = 53}) == 2);
    CHECK(count(hub, {.vrf = vrf("minami"), .protocol = 6}) == 0);
}

TEST_CASE("session desk: an answer has no more than was asked for, and counts the others", "[path][session]") {
    TrackedHub hub;
    std::vector<Frame> questions;
    for (unsigned port = 1; port <= 3000; ++port) questions.push_back(ask(kEnds4, port));
    hub.send("kita", questions);
    REQUIRE(hub.sessions() == 3000);
    SessionDesk desk;
    const SessionAnswer few = done(hub, desk, {.filter = {}, .most = 7});
    CHECK(few.sessions.size() == 7);
    CHECK(few.matching == 3000);
    const SessionAnswer most = done(hub, desk, {.filter = {}, .most = 5000});
    CHECK(most.sessions.size() == SessionDesk::kMost);
    REQUIRE(desk.put({}));
    CHECK_FALSE(desk.put({}));  // one order at a time
}

TEST_CASE("session desk: those that match are ended, and no other", "[path][session]") {
    TrackedHub hub;
    open_some(hub);
    SessionDesk desk;
    const SessionOrder udp_of_kita{
        .filter = {.vrf = VrfId(static_cast<std::uint16_t>(hub.policy().vrf_index("kita"))), .protocol = 17},
        .ends = true};
    CHECK(done(hub, desk, udp_of_kita).matching == 2);
    CHECK(hub.sessions() == 2);
    hub.refuses("center", answer_to(kEnds4), DropReason::no_agreement);
    hub.passes("kita", forth(kEnds4, 5000).ack());
    hub.passes("kita", ask(kEnds4));  // opened anew
    CHECK(done(hub, desk, {.filter = {}, .ends = true}).matching == 3);
    CHECK(hub.sessions() == 0);
    CHECK(done(hub, desk, {}).matching == 0);
    hub.refuses("kita", forth(kEnds4, 5000).ack(), DropReason::no_session);
}

TEST_CASE("session desk: running workers answer each for its own sessions, and end them",
          "[worker][session][threads]") {
    Policy policy = tracked_policy();
    policy.line("minami").port = 0;
    policy.line("center").port = 1;
    const auto tables = policy.tables();
    RingPort outside("desk0", 1024, 2), inside("desk1", 1024, 2);
    const Ports ports({&outside, &inside});
    RunningWorkers workers(ports.list(), *tables, {1, 1});
    std::vector<Bytes> questions;
    for (unsigned port = 1; port <= 200; ++port)
        questions.push_back(ask(kEnds4, port).to(policy.line("kita").mac_address).bytes());
    outside.receive(questions);
    REQUIRE(workers.reaches([](const dataplane::Counters& counters) { return counters.sessions == 200; }));
    const auto ordered = [&](const SessionOrder& order) {
        std::vector<SessionAnswer> answers;
        for (std::size_t i = 0; i < 2; ++i) REQUIRE(workers.desk(i).put(order));
        for (std::size_t i = 0; i < 2; ++i) {
            while (workers.desk(i).take() == nullptr) std::this_thread::sleep_for(std::chrono::microseconds(100));
            answers.push_back(*workers.desk(i).take());
        }
        return answers;
    };
    const auto shown = ordered({});
    CHECK(shown[0].matching + shown[1].matching == 200);
    CHECK(shown[0].matching > 0);
    CHECK(shown[1].matching > 0);
    const auto ended = ordered({.filter = {.port = 17}, .ends = true});
    CHECK(ended[0].matching + ended[1].matching == 1);
    CHECK(workers.reaches([](const dataplane::Counters& counters) { return counters.sessions == 199; }));
    workers.stop();
}

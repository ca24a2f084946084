// Sessions: both directions, budgets, time, and what ends them.
#include "nat/sessions.hpp"

#include <cstring>
#include <map>
#include <set>

#include <catch2/catch.hpp>

#include "tests/nat/support.hpp"

using namespace sekisho;
using namespace sekisho::nat;
using namespace sekisho::test;

namespace {

constexpr SessionOwner kKita{InstitutionId(7), OperatorId(1)};
constexpr SessionOwner kKitaToo{InstitutionId(8), OperatorId(1)};
constexpr SessionOwner kMinami{InstitutionId(9), OperatorId(2)};

template <class Record>
struct Tracker {
    using Key = decltype(Record::key);

    explicit Tracker(std::size_t capacity = 1000, SessionLimits limits = {})
        : budget(limits, 100, 10), sessions(capacity, budget, timeouts) {}

    auto open(std::uint64_t number, const SessionOwner& owner = kKita, TcpState state = TcpState::opening) {
        return sessions.open(canonical(key_of<Key>(number)), owner, state, 1, now);
    }
    // A translated one: number 2n forward, 2n + 1 back.
    auto open_pair(std::uint64_t n, const SessionOwner& owner = kKita) {
        return sessions.open(key_of<Key>(2 * n), {}, key_of<Key>(2 * n + 1), {}, owner, TcpState::opening, 1, now);
    }
    // Lets seconds pass, one by one, each with a whole sweep. How many sessions ended.
    std::size_t wait(std::uint32_t seconds) {
        std::size_t ended = 0;
        for (std::uint32_t i = 0; i < seconds; ++i) {
            ++now;
            sessions.expire(now, sessions.buckets(), [&](const Record&) { ++ended; });
        }
        return ended;
    }

    Timeouts timeouts;
    SessionBudget budget;
    Sessions<Record> sessions;
    std::uint32_t now = 1000;
};

}  // namespace

TEST_CASE("sessions: the workers' shares of a budget are the node's, exactly", "[nat][conformance-58]") {
    for (const std::size_t workers : {1U, 2U, 3U, 7U, 64U})
        for (const std::uint32_t whole : {0U, 1U, 63U, 65'537U, 4'000'000'000U}) {
            std::uint64_t institution = 0, operator_ = 0;
            for (std::size_t worker = 0; worker < workers; ++worker) {
                const SessionLimits share = share_of({whole, whole / 2}, workers, worker);
                CHECK(share.institution - whole / workers <= 1);
                institution += share.institution;
                operator_ += share.operator_;
            }
            CHECK(institution == whole);
            CHECK(operator_ == whole / 2);
        }
}

TEMPLATE_TEST_CASE("sessions: both directions of an untranslated flow find one record", "[nat]", Session4, Session6) {
    Tracker<TestType> hub;
    using Key = typename Tracker<TestType>::Key;
    for (std::uint64_t number = 0; number < 300; ++number) {
        const Key key = key_of<Key>(number);
        const auto there = canonical(key);
        const auto back = canonical(turned_round(key));
        REQUIRE(same_key(there.key, back.key));
        REQUIRE(there.turned != back.turned);
        REQUIRE(hub.open(number).refusal == SessionRefusal::none);
        REQUIRE(hub.sessions.find(there.key) == hub.sessions.find(back.key));
    }
    CHECK(hub.sessions.records() == 300);
}

TEMPLATE_TEST_CASE("sessions: a canonical key is the packet's own or that of its answers, the lower end first", "[nat]",
                   SessionKey4, SessionKey6) {
    std::size_t turned = 0;
    for (std::uint64_t number = 0; number < 300; ++number) {
        const TestType own = number % 2 == 0 ? key_of<TestType>(number) : turned_round(key_of<TestType>(number));
        const auto flow = canonical(own);
        REQUIRE(same_key(flow.key, flow.turned ? turned_round(own) : own));
        REQUIRE(flow.key.source <= flow.key.destination);
        turned += flow.turned;
    }
    CHECK(turned == 150);
}

TEST_CASE("sessions: where only ports tell the ends apart, directions are still told", "[nat]") {
    SessionKey4 key = key_of<SessionKey4>(0);
    key.destination = key.source;
    key.source_port = 9;
    key.destination_port = 8;
    CHECK(canonical(key).turned);
    CHECK(!canonical(turned_round(key)).turned);
    CHECK(same_key(canonical(key).key, canonical(turned_round(key)).key));
}

TEST_CASE("sessions: a session without a packet ends when its time is over, not before and a second after at most",
          "[nat]") {
    Tracker<Session4> hub;
    const auto slot = hub.open(0).slot;  // TCP, opening
    REQUIRE(hub.sessions[slot].key.protocol == kProtocolTcp);
    CHECK(hub.wait(240) == 0);
    CHECK(hub.wait(1) == 1);
    CHECK(hub.sessions.records() == 0);
    CHECK(hub.budget.of(kKita.institution) == 0);
}

TEST_CASE("sessions: an established TCP session lives two hours and four minutes after its latest packet",
          "[nat][conformance-53]") {
    Tracker<Session4> hub;
    const auto slot = hub.open(0).slot;
    hub.sessions.touch(slot, Direction::reverse, kTcpSyn | kTcpAck, 60, hub.now);
    hub.sessions.touch(slot, Direction::forward, kTcpAck, 60, hub.now);
    CHECK(hub.sessions[slot].core.state == TcpState::established);
    CHECK(hub.sessions[slot].core.is(SessionMarks::kReplied));
    CHECK(hub.wait(5000) == 0);
    hub.sessions.touch(slot, Direction::reverse, kTcpAck, 60, hub.now);
    CHECK(hub.wait(7440) == 0);
    CHECK(hub.wait(1) == 1);
}

TEST_CASE("sessions: a closed connection goes after four minutes, though its long time had begun", "[nat]") {
    Tracker<Session4> hub;
    const auto slot = hub.open(0, kKita, TcpState::established).slot;
    CHECK(hub.wait(100) == 0);
    hub.sessions.touch(slot, Direction::forward, kTcpFin | kTcpAck, 60, hub.now);
    hub.sessions.touch(slot, Direction::reverse, kTcpFin | kTcpAck, 60, hub.now);
    CHECK(hub.sessions[slot].core.state == TcpState::closed);
    CHECK(hub.wait(240) == 0);
    CHECK(hub.wait(1) == 1);
}

TEST_CASE("sessions: an unsolicited SYN is held six seconds", "[nat][conformance-53]") {
    Tracker<Session4> hub;
    hub.open(0, kKita, TcpState::unsolicited);
    CHECK(hub.wait(6) == 0);
    CHECK(hub.wait(1) == 1);
}

TEST_CASE("sessions: UDP lives five minutes, and outbound packets renew it", "[nat][conformance-52]") {
    Tracker<Session4> hub;
    const auto slot = hub.open(77).slot;
    REQUIRE(hub.sessions[slot].key.protocol == kProtocolUdp);
    CHECK(hub.wait(299) == 0);
    hub.sessions.touch(slot, Direction::forward, 0, 100, hub.now);
    CHECK(hub.wait(300) == 0);
    hub.sessions.touch(slot, Direction::reverse, 0, 100, hub.now, false);  // inbound, where that does not refresh
    CHECK(hub.wait(1) == 1);
}

TEST_CASE("sessions: of a translated session either twin keeps both, and both end together", "[nat]") {
    Tracker<Session4> hub;
    std::size_t ended = 0;
    const auto opened = hub.open_pair(0);
    REQUIRE(opened.refusal == SessionRefusal::none);
    const Slot twin = hub.sessions[opened.slot].core.twin;
    CHECK(hub.sessions.records() == 2);
    CHECK(hub.sessions[twin].core.twin == opened.slot);
    CHECK(hub.sessions[twin].core.is(SessionMarks::kReverse));
    CHECK(hub.wait(200) == 0);
    hub.sessions.touch(twin, Direction::reverse, kTcpSyn | kTcpAck, 60, hub.now);
    CHECK(hub.sessions[opened.slot].core.state == TcpState::answered);  // the state stands in both
    CHECK(hub.wait(240) == 0);
    CHECK(hub.wait(1) == 1);
    CHECK(hub.sessions.records() == 0);
    CHECK(hub.budget.of(kKita.operator_id) == 0);
    const auto again = hub.open_pair(0);
    hub.sessions.close(hub.sessions[again.slot].core.twin, [&](const Session4&) { ++ended; });
    CHECK(ended == 1);
    CHECK(hub.sessions.records() == 0);
}

TEMPLATE_TEST_CASE("sessions: of a usual packet only counters and time change, whatever the record was", "[nat]",
                   Session4, Session6) {
    Tracker<TestType> tracker;
    std::size_t usual = 0;
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp, kProtocolIcmp}) {
        auto key = canonical(key_of<typename Tracker<TestType>::Key>(protocol));
        key.key.protocol = protocol;
        const Slot slot = tracker.sessions.open(key, kKita, TcpState::none, 1, tracker.now).slot;
        REQUIRE(slot != kNoSlot);
        auto& core = tracker.sessions[slot].core;
        for (unsigned marks = 0; marks < 64; ++marks)
            for (std::size_t state = 0; state < kTcpStateNames.size(); ++state)
                for (unsigned flags = 0; flags < 256; ++flags)
                    for (const bool turned : {false, true}) {
                        core.marks = static_cast<std::uint8_t>(marks);
                        core.state = static_cast<TcpState>(state);
                        const auto tcp_flags = static_cast<std::uint8_t>(flags);
                        if (!core.is_usual(turned, protocol, tcp_flags)) continue;
                        ++usual;
                        SessionCore counted = core;
                        counted.count(100, ++tracker.now);
                        tracker.sessions.touch(slot, direction_by(marks, turned), tcp_flags, 100, tracker.now);
                        REQUIRE(std::memcmp(&core, &counted, sizeof core) == 0);
                        REQUIRE_FALSE(core.is(SessionMarks::kHeldBack));
                        REQUIRE(protocol != kProtocolIcmp);
                    }
    }
    // Of the marks without kHeldBack, three of four: all but those of a direction that is not seen yet.
    constexpr std::size_t kMarks = 2 * 32 * 3 / 4;
    CHECK(usual == kMarks * (kTcpStateNames.size() * 256 + 32));  // UDP: whatever these are; TCP: one state, five flags
}

TEST_CASE("sessions: one institution's limit is nobody else's", "[nat][conformance-58]") {
    Tracker<Session4> hub(1000, {50, 80});
    for (std::uint64_t n = 0; n < 50; ++n) REQUIRE(hub.open(n).refusal == SessionRefusal::none);
    CHECK(hub.open(50).refusal == SessionRefusal::institution_full);
    for (std::uint64_t n = 100; n < 130; ++n) REQUIRE(hub.open(n, kKitaToo).refusal == SessionRefusal::none);
    CHECK(hub.open(130, kKitaToo).refusal == SessionRefusal::operator_full);
    for (std::uint64_t n = 200; n < 250; ++n) REQUIRE(hub.open(n, kMinami).refusal == SessionRefusal::none);
    CHECK(hub.sessions.records() == 130);
    // What ends makes room.
    hub.sessions.close(hub.sessions.find(canonical(key_of<SessionKey4>(0)).key));
    CHECK(hub.open(50).refusal == SessionRefusal::none);
    CHECK(hub.open(51).refusal == SessionRefusal::institution_full);
}

TEST_CASE("sessions: a full table refuses, takes nothing, and leaves what is there untouched", "[nat]") {
    Tracker<Session4> hub(500, {100'000, 100'000});
    std::uint64_t n = 0;
    while (hub.open_pair(n).refusal == SessionRefusal::none) ++n;
    CHECK(hub.open_pair(n).refusal == SessionRefusal::table_full);
    CHECK(hub.sessions.records() == 2 * n);
    CHECK(hub.budget.of(kKita.institution) == n);
    for (std::uint64_t i = 0; i < n; ++i) {
        const Slot forward = hub.sessions.find(key_of<SessionKey4>(2 * i));
        const Slot reverse = hub.sessions.find(key_of<SessionKey4>(2 * i + 1));
        REQUIRE(forward != kNoSlot);
        REQUIRE(hub.sessions[forward].core.twin == reverse);
        REQUIRE(hub.sessions[reverse].core.twin == forward);
    }
}

TEST_CASE("sessions: random opening, touching, closing and waiting agree with a map", "[nat][random]") {
    Random random("sessions");
    CAPTURE(random.seed());
    Tracker<Session4> hub(400, {100'000, 100'000});
    struct Known {
        std::uint32_t seen;
        bool pair;
    };
    std::map<std::uint64_t, Known> model;  // even numbers: alone; of a pair, half its first number
    const auto find = [&](std::uint64_t n, bool pair) {
        return hub.sessions.find(pair ? key_of<SessionKey4>(2 * n + 154'000)
                                      : canonical(key_of<SessionKey4>(154 * n + 77)).key);
    };
    std::size_t full = 0;
    for (std::size_t step = 0; step < 40'000 * rounds(); ++step) {
        const std::uint64_t n = random.below(700);
        const bool pair = n % 2 == 0;
        const auto known = model.find(n);
        const Slot slot = find(n, pair);
        if (known == model.end()) {
            REQUIRE(slot == kNoSlot);
            SessionRefusal refusal;
            if (pair)
                refusal = hub.sessions
                              .open(key_of<SessionKey4>(2 * n + 154'000), {}, key_of<SessionKey4>(2 * n + 154'001), {},
                                    kKita, TcpState::opening, 1, hub.now)
                              .refusal;
            else
                refusal =
                    hub.sessions.open(canonical(key_of<SessionKey4>(154 * n + 77)), kMinami, {}, 1, hub.now).refusal;
            if (refusal == SessionRefusal::none)
                model[n] = {hub.now, pair};
            else
                ++full;
        } else if (random.one_in(4)) {
            REQUIRE(slot != kNoSlot);
            hub.sessions.close(slot);
            model.erase(known);
        } else {
            REQUIRE(slot != kNoSlot);
            hub.sessions.touch(slot, Direction::forward, kTcpSyn, 100, hub.now);
            known->second.seen = hub.now;
        }
        if (random.one_in(50)) {
            hub.wait(static_cast<std::uint32_t>(1 + random.below(40)));
            // Of times modulo 2^16 the table has no 0: what is due then is looked at a second later.
            if ((hub.now & 0xffff) == 0) hub.wait(1);
            for (auto at = model.begin(); at != model.end();) {
                const SessionKey4 key = at->second.pair ? key_of<SessionKey4>(2 * at->first + 154'000)
                                                        : key_of<SessionKey4>(154 * at->first + 77);
                const std::uint32_t life = key.protocol == kProtocolTcp ? 240 : 300;
                at = hub.now - at->second.seen > life ? model.erase(at) : std::next(at);
            }
            std::size_t records = 0;
            for (const auto& [number, what] : model) records += what.pair ? 2U : 1U;
            REQUIRE(hub.sessions.records() == records);
        }
    }
    CAPTURE(full);
    hub.wait(301);
    CHECK(hub.sessions.records() == 0);
    CHECK(hub.budget.of(kKita.institution) == 0);
    CHECK(hub.budget.of(kMinami.institution) == 0);
}

TEST_CASE("sessions: eight million of both directions and their mapping take two GiB at most", "[nat]") {
    Timeouts timeouts;
    SessionBudget budget({}, 1, 1);
    const Sessions<Session4> sessions(16'000'000, budget, timeouts);  // address space only
    CHECK(sessions.table().bytes() <= std::size_t{2} << 30);
    CHECK(sessions.table().places() >= 16'000'000);
}

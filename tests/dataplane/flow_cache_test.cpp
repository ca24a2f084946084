// The flow cache: what it knows fares as what nobody knows, and it forgets what may have changed.
#include "dataplane/flow_cache.hpp"

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::CachedFlows;
using dataplane::FlowCache;
using dataplane::FlowKey;
using dataplane::Stage;

namespace {

constexpr int kBursts = kSanitized ? 2'000 : 10'000;

std::uint64_t packets_at(TestHub& hub, Stage stage) {
    return hub.worker().counters.stages[static_cast<std::size_t>(stage)].packets;
}
// Sends the frame; whether the cache knew its flow, so that nobody was asked.
bool is_known(TestHub& hub, std::string_view line, const Frame& frame) {
    const std::uint64_t asked = packets_at(hub, Stage::admit);
    const std::uint64_t recognised = packets_at(hub, Stage::recognise);
    hub.send(line, frame);
    REQUIRE(packets_at(hub, Stage::recognise) == recognised + 1);
    return packets_at(hub, Stage::admit) == asked;
}
// By a gate, in place; the others are open.
void close(TestHub& hub, std::string_view line, bool closed) {
    std::vector<bool> open(hub.tables().attachments.size(), true);
    open[hub.policy().line_index(line)] = !closed;
    hub.tables().open_attachments(open);
}
Frame asking(const Ends& ends, unsigned port = 4000) {
    return tcp(at(ends.client, port), at(ends.portal_hub, 443)).ack();
}
Frame answering(const Ends& ends, unsigned port = 4000) {
    return tcp(at(ends.portal, 443), at(ends.client_hub, port)).ack();
}

// Few ends and ports, so that flows come back; now and then what makes a packet another than the others of its flow.
Frame any_frame(Random& random, const Ends& ends, bool answer) {
    const std::string_view destinations[] = {ends.portal_hub, ends.archive, ends.clinic_hub, ends.unused_hub};
    const unsigned ports[] = {53, 443, 4000};
    const std::string from = at(answer             ? ends.portal
                                : random.one_in(8) ? ends.router
                                                   : ends.client,
                                ports[random.below(3)]);
    const std::string to = at(answer ? ends.client_hub : destinations[random.below(4)], ports[random.below(3)]);
    const unsigned flags[] = {0x02, 0x10, 0x18, 0x12, 0x04, 0x00, 0x01};
    Frame frame = random.one_in(2) ? udp(from, to) : tcp(from, to).flags(flags[random.below(7)]);
    frame.payload(random.one_in(16) ? 1400 + random.below(200) : random.below(64));
    if (random.one_in(8)) frame.ttl(random.word32() & 3);
    if (random.one_in(8)) frame.dont_fragment(random.one_in(2));
    return frame;
}

FlowKey<Ipv4Address> key_of(std::uint32_t source, std::uint32_t epoch = 1) {
    FlowKey<Ipv4Address> key;
    key.words = {source, 7, std::uint64_t{epoch} << FlowKey<Ipv4Address>::kEpochShift};
    return key;
}

}  // namespace

TEST_CASE("flow cache: the next packet of a flow is known, and leaves as the first did", "[path][flow_cache]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    CHECK_FALSE(is_known(hub, "kita", asking(ends)));
    const Frames first = hub.left();
    REQUIRE(first.size() == 1);
    CHECK(is_known(hub, "kita", asking(ends)));
    CHECK(hub.left() == first);
    CHECK_FALSE(is_known(hub, "kita", asking(ends, 4001)));
    CHECK_FALSE(is_known(hub, "center", answering(ends)));
    CHECK(is_known(hub, "center", answering(ends)));
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("flow cache: what is each packet's own is looked at each time", "[path][flow_cache]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", asking(ends));
    hub.send("center", answering(ends));
    REQUIRE(is_known(hub, "center", answering(ends)));
    SECTION("TTL") {
        CHECK_FALSE(is_known(hub, "kita", asking(ends).ttl(1)));
        CHECK(hub.drops() == Drops{{DropReason::ttl_expired, 1}});
        CHECK(is_known(hub, "kita", asking(ends).ttl(2)));
    }
    SECTION("length") {
        const Frame whole = asking(ends).payload(1500);
        CHECK_FALSE(is_known(hub, "kita", whole));
        CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
    }
    SECTION("flags, against the agreement's direction") {
        CHECK_FALSE(is_known(hub, "center", tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).syn()));
        CHECK(hub.drops() == Drops{{DropReason::not_a_reply, 1}});
        CHECK_FALSE(is_known(hub, "center", tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).fin()));
        CHECK(hub.drops() == Drops{{DropReason::not_a_reply, 1}});
        CHECK(is_known(hub, "center", tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).rst()));
        CHECK(hub.drops() == Drops{});
    }
    SECTION("flags, in its direction: whoever passed without any says that all pass") {
        const Frame finish = tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).fin();
        CHECK_FALSE(is_known(hub, "kita", finish));
        CHECK(is_known(hub, "kita", finish));
        CHECK(is_known(hub, "kita", asking(ends)));
    }
    SECTION("a SYN is none of the others, for its MSS") {
        const Frame opening = tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn();
        CHECK_FALSE(is_known(hub, "kita", opening));
        CHECK_FALSE(is_known(hub, "kita", opening));
        CHECK(hub.left().size() == 1);
    }
}

TEST_CASE("flow cache: the same addresses and ports by another line are another flow", "[path][flow_cache]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", asking(ends));
    REQUIRE(is_known(hub, "kita", asking(ends)));
    CHECK_FALSE(is_known(hub, "minami", asking(ends)));
    CHECK_FALSE(is_known(hub, "center", asking(ends)));
    CHECK(hub.drops().size() == 1);
    CHECK(hub.left().empty());
}

TEST_CASE("flow cache: gates, MTUs and other tables make it forget", "[path][flow_cache]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", asking(ends));
    REQUIRE(is_known(hub, "kita", asking(ends)));
    const dataplane::Tables& tables = hub.tables();
    SECTION("an institution's gate") {
        std::vector<std::uint64_t> closed(tables.closed_institutions.size(), ~std::uint64_t{0});
        tables.close_institutions(closed);
        CHECK_FALSE(is_known(hub, "kita", asking(ends)));
        CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
        tables.close_institutions(std::vector<std::uint64_t>(closed.size(), 0));
        CHECK_FALSE(is_known(hub, "kita", asking(ends)));
        CHECK(hub.drops() == Drops{});
    }
    SECTION("the way out's gate") {
        close(hub, "center", true);
        CHECK_FALSE(is_known(hub, "kita", asking(ends)));
        CHECK(hub.drops() == Drops{{DropReason::egress_closed, 1}});
    }
    SECTION("its MTU") {
        tables.set_mtu(AttachmentId(static_cast<AttachmentId::Value>(hub.policy().line_index("center"))), 1280);
        CHECK_FALSE(is_known(hub, "kita", asking(ends).payload(1300)));
        CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
    }
    SECTION("a generation without the agreement") {
        Policy policy = hub.policy();
        policy.agreements.clear();
        hub.commit(policy);
        CHECK_FALSE(is_known(hub, "kita", asking(ends)));
        CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    }
    SECTION("the same one again") {
        hub.commit(hub.policy());
        CHECK_FALSE(is_known(hub, "kita", asking(ends)));
        CHECK(is_known(hub, "kita", asking(ends)));
    }
}

TEST_CASE("flow cache: random packets fare as in a hub without it, over gates and generations", "[path][flow_cache]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Random random("flow cache");
    StandardHub hub, plain;
    plain.worker().flow_cache.reset();
    hub.explains(false);
    plain.explains(false);
    int left = 0;
    for (int n = 0; n < kBursts; ++n) {
        hub.wait(0.1);  // budgets fill
        plain.wait(0.1);
        hub.keep_neighbours();
        plain.keep_neighbours();
        if (random.one_in(64)) {
            const bool closes = random.one_in(2);
            close(hub, "center", closes);
            close(plain, "center", closes);
        }
        if (random.one_in(64)) {
            Policy policy = hub.policy();
            policy.line("center").mtu(random.one_in(2) ? 1500 : 1400);
            hub.commit(policy);
            plain.commit(policy);
        }
        const bool answer = random.one_in(2);
        const std::string_view line = answer ? "center" : random.one_in(8) ? "minami" : "kita";
        std::vector<Frame> frames;
        for (std::size_t burst = 1 + random.below(4); burst > 0; --burst)
            frames.push_back(any_frame(random, ends, answer));
        INFO("SEKISHO_SEED=" << random.seed() << ", burst " << n << "\n" << hex_of(frames.front().bytes()));
        hub.send(line, frames);
        plain.send(line, frames);
        REQUIRE(hub.drops() == plain.drops());
        Frames by_hub = hub.left(), by_plain = plain.left();  // flows may pass each other within a burst
        const auto before = [](const Sent& a, const Sent& b) {
            return std::pair(a.port, a.frame) < std::pair(b.port, b.frame);
        };
        std::sort(by_hub.begin(), by_hub.end(), before);
        std::sort(by_plain.begin(), by_plain.end(), before);
        REQUIRE(by_hub == by_plain);
        left += static_cast<int>(by_hub.size());
    }
    CHECK(left > kBursts / 2);
    const std::uint64_t known = packets_at(hub, Stage::recognise) - packets_at(hub, Stage::admit);
    CHECK(known > static_cast<std::uint64_t>(kBursts) / 10);
    CHECK(packets_at(plain, Stage::recognise) == 0);
}

TEST_CASE("flow cache: more flows than it has room for all leave, and some are known", "[path][flow_cache]") {
    StandardHub hub;
    hub.explains(false);
    constexpr std::size_t kFlows = 32'768;  // twice as many as there are places
    std::size_t left = 0;
    for (int round = 0; round < 2; ++round)
        for (unsigned port = 1; port <= kFlows; port += 64) {
            std::vector<Frame> frames;
            for (unsigned n = 0; n < 64; ++n) frames.push_back(asking(kEnds4, port + n));
            hub.send("kita", frames);
            left += hub.left().size();
        }
    CHECK(left == 2 * kFlows);
    CHECK(packets_at(hub, Stage::admit) > kFlows);
    CHECK(packets_at(hub, Stage::admit) < 2 * kFlows - kFlows / 16);
}

TEST_CASE("flow cache: four flows are kept side by side; a fifth takes the place of one", "[flow_cache]") {
    CachedFlows<Ipv4Address> flows;
    constexpr std::size_t kWays = CachedFlows<Ipv4Address>::kWays;
    std::vector<std::uint32_t> sources;
    const auto side_of = [&](std::uint32_t source) { return flows.place_of(key_of(source)) / kWays; };
    for (std::uint32_t source = 1; sources.size() <= kWays; ++source)
        if (side_of(source) == side_of(1)) sources.push_back(source);
    const auto put = [&](std::size_t i, std::uint32_t epoch) {
        flows.entry_for(key_of(sources[i], epoch)).key = key_of(sources[i], epoch);
    };
    const auto has = [&](std::size_t i, std::uint32_t epoch) {
        const FlowKey<Ipv4Address> key = key_of(sources[i], epoch);
        return flows.finder().find(flows.place_of(key), key) != nullptr;
    };
    const auto known = [&](std::uint32_t epoch) {
        std::size_t count = 0;
        for (std::size_t i = 0; i < sources.size(); ++i) count += has(i, epoch);
        return count;
    };
    CHECK(known(1) == 0);
    for (std::size_t i = 0; i < kWays; ++i) {
        put(i, 1);
        put(i, 1);  // no second place for one flow
        CHECK(known(1) == i + 1);
    }
    put(kWays, 1);
    CHECK(has(kWays, 1));
    CHECK(known(1) == kWays);
    for (std::size_t i = 0; i < kWays; ++i) put(i, 2);  // what does not count any more goes first
    CHECK(known(2) == kWays);
    CHECK(known(1) == 0);
    flows.clear();
    CHECK(known(2) == 0);
}

TEST_CASE("flow cache: when all epochs have been used, none of the first ones' flows counts", "[flow_cache]") {
    dataplane::Tables first, second, third;
    FlowCache cache(FlowKey<Ipv4Address>::kEpochs - 2);
    cache.begin(first);
    CHECK(cache.epoch() == FlowKey<Ipv4Address>::kEpochs - 1);
    cache.begin(first);
    CHECK(cache.epoch() == FlowKey<Ipv4Address>::kEpochs - 1);
    auto& flows = cache.of<Ipv4Address>();
    flows.entry_for(key_of(1)).key = key_of(1);  // of long ago
    REQUIRE(flows.finder().find(flows.place_of(key_of(1)), key_of(1)) != nullptr);
    cache.begin(second);
    CHECK(cache.epoch() == 1);
    CHECK(flows.finder().find(flows.place_of(key_of(1)), key_of(1)) == nullptr);
    second.close_institutions({});  // whatever changes in place
    cache.begin(second);
    CHECK(cache.epoch() == 2);
    cache.begin(third);
    CHECK(cache.epoch() == 3);
}

TEST_CASE("flow cache: where flows do not come back it is not asked for a while, and then tried again",
          "[flow_cache]") {
    dataplane::WorthAsking worth;
    const auto ask_for = [&](std::uint32_t packets, std::uint32_t found_of_64) {
        std::uint32_t asked = 0;
        for (std::uint32_t n = 0; n < packets; n += 64)
            if (worth.ask(64)) {
                asked += 64;
                worth.found(found_of_64);
            }
        return asked;
    };
    CHECK(ask_for(4 * worth.kAsked, 32) == 4 * worth.kAsked);
    // None is found any more: for one judgement more at most, and then one in nine of them.
    const std::uint32_t asked = ask_for(2 * worth.kAsked + 2 * worth.kUnasked, 0);
    CHECK(asked > worth.kAsked);
    CHECK(asked <= 3 * worth.kAsked);
    ask_for(worth.kUnasked + 2 * worth.kAsked, 32);
    CHECK(ask_for(4 * worth.kAsked, 32) == 4 * worth.kAsked);
}

// What the socket tells of SAs while packets go through them: the ends of lifetimes, of numbers and of reserves, each
// once and in their order; and what was refused, by reason.
#include <map>

#include "tests/control/sas_traffic.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

// Longer than control lets pass between two looks at SAs, and at reserves.
constexpr std::chrono::milliseconds kTwoLooks{250};
constexpr std::chrono::milliseconds kReserveLook{1300};

json told(const char* direction, std::uint32_t spi, const char* event) {
    return {{"kind", "sa"}, {"tunnel", "kita-esp"}, {"direction", direction}, {"spi", spi}, {"event", event}};
}

// Hears what is told of SAs.
class SaListener {
  public:
    explicit SaListener(const TestHub& hub) : asker_(hub) { asker_.result("events", {{"kinds", {"sa"}}}); }

    json next() {
        json event = asker_.answer().at("params");
        CHECK(event["lost"] == 0);
        for (const char* of_the_stream : {"sequence", "time", "lost"}) event.erase(of_the_stream);
        return event;
    }
    // What was told and not heard yet, to the SAs' removal, which is asked for here: nothing that comes twice, or
    // late, is missed.
    std::vector<json> rest(SaHub& hub, std::chrono::milliseconds after = kTwoLooks) {
        std::this_thread::sleep_for(after);
        hub.asker.result("sa.remove", {{"sas", {{{"tunnel", "kita-esp"}}}}});
        std::vector<json> all;
        do all.push_back(next());
        while (all.back() != told("inbound", 4096, "removed"));
        return all;
    }

  private:
    Asker asker_;
};

const std::vector<json> kOnlyRemoved = {told("outbound", 4097, "removed"), told("inbound", 4096, "removed")};

// A pair whose lifetimes have `soft` and `hard` of `unit` is used up, the outbound SA ahead of the inbound one at each
// step. `soft_packets` and `hard_packets`: the packets that reach these limits.
void use_up(const std::string& unit, std::uint64_t soft, std::uint64_t hard, std::size_t soft_packets,
            std::size_t hard_packets) {
    SaHub hub;
    json pair = hub.pair(4096);
    pair["lifetimes"] = {{"soft", {{unit, soft}}}, {"hard", {{unit, hard}}}};
    hub.asker.result("sa.install", {{"sas", {pair}}});
    SaTraffic traffic(hub, pair);
    const auto event = [&](const std::string& which) { return which + "_" + unit; };
    // Both to just before the soft limit. What is told too early is told to nobody, and missed below.
    CHECK(traffic.seal(soft_packets - 1) == Fates(soft_packets - 1, "done"));
    CHECK(traffic.open(soft_packets - 1) == Fates(soft_packets - 1, "done"));
    std::this_thread::sleep_for(kTwoLooks);
    SaListener listener(hub.hub);
    CHECK(traffic.seal(1) == Fates{"done"});
    CHECK(listener.next() == told("outbound", 4097, event("soft").c_str()));
    CHECK(traffic.open(1) == Fates{"done"});
    CHECK(listener.next() == told("inbound", 4096, event("soft").c_str()));
    // Behind it nothing changes for packets, to the one that reaches the hard limit.
    const std::size_t between = hard_packets - soft_packets;
    CHECK(traffic.seal(between - 1) == Fates(between - 1, "done"));
    CHECK(traffic.open(between - 1) == Fates(between - 1, "done"));
    CHECK(hub.states() == "inbound 4096 open, outbound 4097 current");
    CHECK(traffic.seal(1) == Fates{"done"});
    CHECK(listener.next() == told("outbound", 4097, event("hard").c_str()));
    CHECK(traffic.open(1) == Fates{"done"});
    CHECK(listener.next() == told("inbound", 4096, event("hard").c_str()));
    CHECK(traffic.seal(2) == Fates(2, "sa_expired"));
    CHECK(traffic.open(2) == Fates(2, "sa_expired"));
    for (const json& sa : hub.all()) {
        CHECK(sa["state"] == "over");
        CHECK(sa["left"][unit] == 0);
        CHECK(sa["packets"] == hard_packets);
        CHECK(sa["bytes"] == hard_packets * SaTraffic::kCipherBytes);
        CHECK(sa["failures"] == json{{"sa_expired", 2}});
    }
    CHECK(listener.rest(hub) == kOnlyRemoved);
}

}  // namespace

TEST_CASE("SAs: that one has carried the bytes of its soft lifetime, and then of its hard one, is told once each",
          "[control]") {
    constexpr std::uint64_t each = SaTraffic::kCipherBytes;
    use_up("bytes", 7 * each + 1, 15 * each, 8, 15);
}

TEST_CASE("SAs: that one has carried the packets of its soft lifetime, and then of its hard one, is told once each",
          "[control]") {
    use_up("packets", 5, 9, 5, 9);
}

TEST_CASE("SAs: limits that one burst crosses together are told with the soft ones first", "[control]") {
    SaHub hub;
    SaListener listener(hub.hub);
    json pair = hub.pair(4096);
    pair["lifetimes"] = {{"soft", {{"bytes", 100}, {"packets", 2}}}, {"hard", {{"bytes", 200}, {"packets", 3}}}};
    hub.asker.result("sa.install", {{"sas", {pair}}});
    SaTraffic traffic(hub, pair);
    CHECK(traffic.open(6) == Fates(6, "done"));  // the burst that crosses is carried whole
    for (const char* event : {"soft_bytes", "soft_packets", "hard_bytes", "hard_packets"})
        CHECK(listener.next() == told("inbound", 4096, event));
    CHECK(traffic.open(1) == Fates{"sa_expired"});
    CHECK(traffic.seal(1) == Fates{"done"});  // the other direction has its own
    CHECK(listener.rest(hub) == kOnlyRemoved);
}

TEST_CASE("SAs: that most sequence numbers are used is told once, long before the last one is", "[control]") {
    // Without ESN numbers can end in a life; IKE's keys have them all from the start.
    SaHub hub(protected_draft().set("/tunnels/0/keys", "ike").set("/tunnels/0/esn", false), ManualKeys::refuse, false);
    json pair = hub.pair(4096);
    pair["origin"] = "ike";
    hub.asker.result("sa.install", {{"sas", {pair}}});
    SaTraffic traffic(hub, pair, TunnelId(1), false);
    crypto::SequenceWord& numbers = traffic.outbound()->sequence();
    constexpr std::uint32_t kMost = 0xe000'0000;          // seven eighths of 2^32
    REQUIRE(numbers.take(kMost - 4).count == kMost - 4);  // what a worker does for packets, and none are made
    CHECK(traffic.seal(1) == Fates{"done"});
    std::this_thread::sleep_for(kTwoLooks);  // what is told too early is told to nobody, and missed below
    SaListener listener(hub.hub);
    CHECK(traffic.open(1) == Fates{"done"});
    CHECK(traffic.seal(5) == Fates(5, "done"));
    CHECK(listener.next() == told("outbound", 4097, "soft_sequence"));
    CHECK(traffic.seal(3) == Fates(3, "done"));
    const json shown = hub.all().back();
    CHECK(shown["next_sequence"] == kMost + 6);
    CHECK(shown["last_sequence"] == 0xffff'ffffU);
    // To the last number and no further, which is no event but a reason to drop.
    REQUIRE(numbers.take(0xffff'ffffU - (kMost + 6)).count == 0xffff'ffffU - (kMost + 6));
    CHECK(traffic.seal(3) == Fates{"done", "sequence_exhausted", "sequence_exhausted"});
    CHECK(hub.all().back()["failures"] == json{{"sequence_exhausted", 2}});
    CHECK(listener.rest(hub) == kOnlyRemoved);
}

TEST_CASE("SAs: a reserve that no witness lets the ledger extend runs out, which is told, and packets wait for it",
          "[control]") {
    SaHub hub(protected_draft(), ManualKeys::witness, false);
    json epoch, mark;
    // Answers as the store would, until what was asked for in this way has its answer.
    const auto witnessed = [&](Asker& agent, int request) {
        REQUIRE(comes_true([&] {
            while (const auto line = agent.client.read_line(std::chrono::milliseconds(5))) {
                const json question = json::parse(*line);
                if (!question.contains("method")) continue;
                const json& asked = question["params"];
                json answer = {{"ask", asked["ask"]}};
                if (asked["question"] == "epoch") {
                    answer["epoch"] = epoch;
                    answer["mark"] = mark;
                } else if (asked["question"] == "record") {
                    epoch = asked["epoch"];
                    mark = asked["mark"];
                }
                agent.send("ledger.answer", answer);
            }
            const auto line = hub.asker.client.read_line(std::chrono::milliseconds(5));
            if (!line) return false;
            const json answer = json::parse(*line);
            REQUIRE(answer["id"] == request);
            INFO(answer.dump());
            REQUIRE(answer.contains("result"));
            return true;
        }));
    };
    SaListener listener(hub.hub);
    json pair = hub.pair(4096);
    {
        Asker agent(hub.hub);
        agent.result("ledger.witness");
        witnessed(agent, hub.asker.send("ledger.new"));
        std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // keys must be younger than the ledger
        pair["created"] = time_text(seconds_from_now(0));
        witnessed(agent, hub.asker.send("sa.install", {{"sas", {pair}}}));
    }
    REQUIRE(comes_true([&] { return hub.asker.result("show.ledger")["witness"] == false; }));
    SaTraffic traffic(hub, pair);
    crypto::SequenceWord& numbers = traffic.outbound()->sequence();
    const auto left = static_cast<std::uint32_t>(numbers.end() - numbers.next());
    REQUIRE(numbers.take(left - 3).count == left - 3);  // what a worker does for packets, and none are made
    CHECK(traffic.seal(5) == Fates{"done", "done", "done", "nonce_reserve_exhausted", "nonce_reserve_exhausted"});
    CHECK(listener.next() == told("outbound", 4097, "reserve_exhausted"));
    const json shown = hub.all().back();
    CHECK(shown["next_sequence"] == shown["reserved_to"]);
    CHECK(shown["failures"] == json{{"nonce_reserve_exhausted", 2}});
    CHECK(shown["state"] == "current");
    CHECK(traffic.open(1) == Fates{"done"});  // what comes in needs no numbers
    // Once for what was dropped until then, and again only for more.
    std::this_thread::sleep_for(kReserveLook);
    CHECK(traffic.seal(1) == Fates{"nonce_reserve_exhausted"});
    CHECK(listener.next() == told("outbound", 4097, "reserve_exhausted"));
    // With a witness there are numbers again, behind those that were reserved.
    Asker again(hub.hub);
    again.result("ledger.witness");
    const std::uint64_t end = numbers.end();
    REQUIRE(comes_true([&] { return witnessed(again, hub.asker.send("show.ledger")), numbers.end() > end; }));
    CHECK(traffic.seal(2) == Fates(2, "done"));
    CHECK(hub.all().back()["failures"] == json{{"nonce_reserve_exhausted", 3}});
    CHECK(listener.rest(hub, kReserveLook) == kOnlyRemoved);
}

TEST_CASE("SAs: what was refused is shown by reason, of each SA its own", "[control]") {
    SaHub hub(protected_draft(2));
    const json pair = hub.pair(4096), other = hub.pair(5000, "kita-esp-1");
    hub.asker.result("sa.install", {{"sas", {pair, other}}});
    for (const json& sa : hub.all()) CHECK(sa["failures"] == json::object());
    SaTraffic traffic(hub, pair);
    be_attacked(traffic);
    CHECK(traffic.seal(1) == Fates{"done"});
    CHECK(traffic.seal(2, SaTraffic::leaving(65530)) == Fates(2, "packet_too_big"));
    CHECK(traffic.seal(1, SaTraffic::leaving(), 4) == Fates{"no_room"});
    std::map<std::uint32_t, json> failures;  // by SPI
    for (const json& sa : hub.all()) failures[sa["spi"].get<std::uint32_t>()] = sa["failures"];
    CHECK(failures == std::map<std::uint32_t, json>{
                          {4096, {{"replay_duplicate", 2}, {"icv_wrong", 1}, {"selector_mismatch", 3}}},
                          {4097, {{"packet_too_big", 2}, {"no_room", 1}}},
                          {5000, json::object()},
                          {5001, json::object()},
                      });
    // They are the SA's: another with its SPI begins anew.
    hub.asker.result("sa.remove", {{"sas", {{{"tunnel", "kita-esp"}, {"inbound", 4096}}}}});
    json fresh = hub.pair(4096);
    fresh.erase("outbound");
    fresh["inbound"]["key"] = key_text(77);
    hub.asker.result("sa.install", {{"sas", {fresh}}});
    CHECK(hub.all()[0]["spi"] == 4096);
    CHECK(hub.all()[0]["failures"] == json::object());
}

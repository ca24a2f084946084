// The event stream: what is told, in order, to whom, and what a slow listener misses.
#include "control/events.hpp"

#include <catch2/catch.hpp>

#include "control/stall_text.hpp"
#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

class Listener {
  public:
    explicit Listener(const TestHub& hub, const json& params = json::object()) : asker(hub) {
        first = asker.result("events", params);
    }
    json next() {
        json line = asker.answer();
        INFO(line.dump());
        REQUIRE(line["method"] == "event");
        REQUIRE_FALSE(line.contains("id"));
        return line["params"];
    }
    // What comes within a while.
    std::string hears() { return asker.client.read_line(std::chrono::milliseconds(1200)).value_or(""); }

    Asker asker;
    json first;
};

json a_gate(const std::string& id) {
    return {{"id", id}, {"target", "operator"}, {"target_id", "kita"}, {"reason", "emergency"}};
}

}  // namespace

TEST_CASE("events: a kind that there is not is refused by name", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json error = asker.error("events", {{"kinds", {"gate", "weather"}}});
    CHECK(error["code"] == -32602);
    CHECK(error["message"].get<std::string>().find("weather") != std::string::npos);
    CHECK(asker.error("events", {{"kinds", "gate"}})["code"] == -32602);
}

TEST_CASE("events: a commit and a gate by hand are told, numbered without a gap, to everybody who listens",
          "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Listener one(hub);
    Listener other(hub);
    CHECK(one.first["kinds"].size() == kEventKinds.size());
    const auto begun = one.first["sequence"].get<std::uint64_t>();
    Asker asker(hub);
    const json transaction = asker.result("begin")["transaction"];
    asker.result("batch", {{"transaction", transaction}, {"put", {{"operators", {an_operator("minami")}}}}});
    asker.result("commit", {{"transaction", transaction}});
    asker.result("gate.close", a_gate("g"));
    asker.result("gate.open", {{"id", "g"}});
    for (Listener* listener : {&one, &other}) {
        json event = listener->next();
        CHECK(event["kind"] == "generation");
        CHECK(event["generation"] == 2);
        CHECK(event["before"] == 1);
        CHECK(event["sequence"] == begun + 1);
        CHECK(event["time"].get<std::string>().ends_with("+09:00"));
        event = listener->next();
        CHECK(event["kind"] == "gate");
        CHECK(event["change"] == "closed");
        CHECK(event["gate"] == a_gate("g"));
        CHECK(event["uid"] == ::getuid());
        CHECK(event["sequence"] == begun + 2);
        event = listener->next();
        CHECK(event["change"] == "opened");
        CHECK(event["sequence"] == begun + 3);
        CHECK(event["lost"] == 0);
    }
}

TEST_CASE("events: who asks for some kinds hears no others", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    hub.node.link_up = true;
    Listener links(hub, {{"kinds", {"link"}}});
    Asker asker(hub);
    asker.result("gate.close", a_gate("g"));
    hub.node.link_up = false;
    const json event = links.next();
    CHECK(event["kind"] == "link");
    CHECK(event["port"] == "port0");
    CHECK(event["state"] == "down");
    hub.node.link_up = true;
    CHECK(links.next()["state"] == "up");
}

TEST_CASE("events: a neighbour that answers and one that fails are told, what was so before is not", "[control]") {
    TestHub hub;
    hub.node.second_neighbour = dataplane::Neighbours::State::reachable;
    Listener listener(hub, {{"kinds", {"neighbour"}}});
    hub.node.first_neighbour = dataplane::Neighbours::State::reachable;
    json event = listener.next();
    CHECK(event["kind"] == "neighbour");
    CHECK(event["address"] == "10.0.0.0");
    CHECK(event["attachment"] == "kita-1");
    CHECK(event["state"] == "reachable");
    CHECK(event["mac"] == "00:00:00:00:00:00");
    hub.node.second_neighbour = dataplane::Neighbours::State::failed;
    event = listener.next();
    CHECK(event["address"] == "10.0.0.1");
    CHECK(event["state"] == "failed");
    hub.node.second_neighbour = dataplane::Neighbours::State::incomplete;  // it is asked again: no news
    CHECK(listener.hears() == "");
}

TEST_CASE("events: drops and missed packets at a high rate begin and end an overload; few are no news", "[control]") {
    TestHub hub;
    Listener listener(hub, {{"kinds", {"overload"}}});
    hub.node.more_drops = 100;  // within half a second: under the limit
    CHECK(listener.hears() == "");
    hub.node.more_drops = 1'000'000;
    json event = listener.next();
    CHECK(event["kind"] == "overload");
    CHECK(event["what"] == "dropped");
    CHECK(event["reason"] == "no_agreement");
    CHECK(event["state"] == "high");
    CHECK(event["per_second"] > 1000);
    event = listener.next();
    CHECK(event["state"] == "normal");
    hub.node.missed = 500;
    event = listener.next();
    CHECK(event["what"] == "missed");
    CHECK(event["port"] == "port0");
    CHECK(listener.next()["state"] == "normal");
}

TEST_CASE("events: a listener that does not read holds up nobody and is told how many it lost", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Listener slow(hub);
    Listener quick(hub);
    std::atomic<int> posted{0};
    constexpr int kEvents = 8000;
    // Many at once, as no commit could: straight from the loop.
    for (int i = 0; i < kEvents / 100; ++i)
        hub.loop->post([&] {
            for (int j = 0; j < 100; ++j) {
                hub.events.post(EventKind::gate, {{"words", std::string(200, 'w')}});
                ++posted;
            }
        });
    // Reads to the end, which is an event that is posted until it fits: each is there, or counted as lost.
    const auto lost_by = [&](Listener& listener) {
        std::uint64_t last = listener.first["sequence"], lost = 0;
        for (int silences = 0; silences < 20;) {
            const auto line = listener.asker.client.read_line(std::chrono::milliseconds(500));
            if (!line) {
                ++silences;
                hub.loop->post([&] { hub.events.post(EventKind::date, {{"last", true}}); });
                continue;
            }
            const json event = json::parse(*line)["params"];
            const auto gap = event["lost"].get<std::uint64_t>();
            CHECK(event["sequence"] == last + 1 + gap);
            last = event["sequence"];
            lost += gap;
            if (event.contains("last")) break;
        }
        CHECK(last > kEvents);
        return lost;
    };
    const std::uint64_t lost_by_quick = lost_by(quick);
    CHECK(posted == kEvents);
    const std::uint64_t lost_by_slow = lost_by(slow);
    CHECK(lost_by_slow > 1000);
    CHECK(lost_by_quick < kEvents);
}

TEST_CASE("events: while nobody listens the node is not looked at", "[control]") {
    TestHub hub;
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    CHECK(hub.node.looks == 0);
    {
        Listener listener(hub);
        CHECK(comes_true([&] { return hub.node.looks > 2; }));
    }
    REQUIRE(comes_true([&] { return hub.clients() == 0; }));
    const int looks = hub.node.looks;
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    CHECK(hub.node.looks == looks);
}

TEST_CASE("events: a worker that stalls is told with its number and how long, and so is that it goes on", "[control]") {
    using dataplane::StallWatch;
    const StallWatch::Event stalled{WorkerId(1), true, std::chrono::milliseconds(120)};
    const StallWatch::Event running{WorkerId(1), false, std::chrono::milliseconds(2'000)};
    CHECK(words_of(stalled) == "worker 1 is stalled: it has finished no round for 120 ms");
    CHECK(words_of(running) == "worker 1 goes on again, after 2000 ms");
    CHECK(details_of(stalled) == json{{"worker", 1}, {"state", "stalled"}, {"milliseconds", 120}});
    TestHub hub;
    Listener listener(hub, {{"kinds", {"worker"}}});
    hub.loop->post([&] { hub.events.post(EventKind::worker, details_of(running)); });
    const json told = listener.next();
    CHECK(told["kind"] == "worker");
    CHECK(told["worker"] == 1);
    CHECK(told["state"] == "running");
}

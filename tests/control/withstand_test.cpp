// The control socket under its clients: two hundred at work, one that floods, those that hang, vanish or talk nonsense.
#include <random>
#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "control/request_rate.hpp"
#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// How long nine of ten `version`s take at most while something goes on: the tenth may have been the machine.
milliseconds time_of_version(Asker& asker, int times = 50) {
    std::vector<steady_clock::duration> took;
    for (int i = 0; i < times; ++i) {
        const auto begin = steady_clock::now();
        asker.result("version");
        took.push_back(steady_clock::now() - begin);
    }
    const auto ninth = took.begin() + times * 9 / 10;
    std::nth_element(took.begin(), ninth, took.end());
    return std::chrono::duration_cast<milliseconds>(*ninth);
}

std::string a_request(const std::string& method, const json& params = json::object()) {
    return json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}}.dump() + "\n";
}

// Writes without waiting for room; how much went.
std::size_t write_what_fits(const RawClient& client, const std::string& bytes) {
    const ssize_t went = ::send(client.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return went < 0 ? 0 : static_cast<std::size_t>(went);
}

class Flood {
  public:
    Flood(const TestHub& hub, std::string request, bool takes_answers)
        : client_(hub.socket()), thread_([this, request = std::move(request), takes_answers] {
              std::string many;
              while (many.size() < 60'000) many += request;
              std::size_t at = 0;  // the stream stays made of whole requests
              char bytes[65536];
              while (!stop_) {
                  const std::size_t went = write_what_fits(client_, many.substr(at));
                  at = (at + went) % many.size();
                  sent += went;
                  if (takes_answers) {
                      const ssize_t got = ::recv(client_.number(), bytes, sizeof bytes, MSG_DONTWAIT);
                      if (got > 0) answered += std::count(bytes, bytes + got, '\n');
                  }
                  if (went == 0) std::this_thread::sleep_for(milliseconds(1));
              }
          }) {}
    ~Flood() {
        stop_ = true;
        thread_.join();
    }
    std::atomic<std::size_t> sent{0};
    std::atomic<std::int64_t> answered{0};

  private:
    RawClient client_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

std::unique_ptr<TestHub> a_hub_of(int operators) {
    std::vector<std::string> ids;
    for (int i = 0; i < operators; ++i) ids.push_back("operator-" + std::to_string(i));
    return std::make_unique<TestHub>(std::string(), as_document(a_document(ids)));
}

}  // namespace

TEST_CASE("request rate: a burst, then so many a second, and no more saved up than a burst", "[control]") {
    RequestRate::Time now{};
    RequestRate rate(100, 10, now);
    const auto taken = [&] {
        int count = 0;
        while (rate.take(now)) ++count;
        return count;
    };
    CHECK(taken() == 10);
    now += milliseconds(50);
    CHECK(taken() == 5);
    now += std::chrono::hours(1);
    CHECK(taken() == 10);
}

TEST_CASE("withstand: one client floods with small requests, and another's version answers within 100 ms",
          "[control][clock]") {
    TestHub hub;
    Flood flood(hub, a_request("version"), true);
    REQUIRE(comes_true([&] { return flood.answered > 100; }));
    Asker asker(hub);
    CHECK(time_of_version(asker) < milliseconds(100));
}

TEST_CASE("withstand: one client floods with pages of a large show, and another's version answers within 100 ms",
          "[control][clock]") {
    const auto hub = a_hub_of(2000);
    Flood flood(*hub, a_request("show.operators"), true);
    REQUIRE(comes_true([&] { return flood.answered > 5; }));
    Asker asker(*hub);
    CHECK(time_of_version(asker) < milliseconds(100));
}

TEST_CASE("withstand: a client that floods is served at a bounded rate and loses nothing", "[control]") {
    TestHub hub;
    RawClient client(hub.socket());
    constexpr int kRequests = 9000;  // 4,000 at once, the others at 2,000 a second
    std::thread writer([&] {
        std::string all;
        for (int i = 0; i < kRequests; ++i) all += a_request("nothing");
        client.write(all);
    });
    const auto begin = steady_clock::now();
    int answers = 0;
    while (answers < kRequests && client.read_line()) ++answers;
    writer.join();
    CHECK(answers == kRequests);
    CHECK(steady_clock::now() - begin > milliseconds(2300));
}

TEST_CASE("withstand: with a worker that does not answer, a flood for its counters holds up nobody for long",
          "[control][clock]") {
    TestHub hub;
    hub.node.stuck = true;
    hub.node.patience = milliseconds(50);
    Flood first(hub, a_request("show.counters"), true);
    Flood second(hub, a_request("show.drops"), true);
    Flood third(hub, a_request("show.stages"), true);
    REQUIRE(comes_true([&] { return third.answered > 5; }));
    Asker asker(hub);
    CHECK(time_of_version(asker, 20) < milliseconds(100));
    hub.node.stuck = false;
    CHECK(comes_true([&] { return asker.ask("show.counters").contains("result"); }));
}

TEST_CASE("withstand: two hundred clients at work at once all get every answer, and nothing of theirs is left",
          "[control]") {
    const auto hub = a_hub_of(500);
    constexpr int kClients = 200;
    std::atomic<int> good{0};
    std::atomic<int> transactions{0};
    std::vector<std::thread> clients;
    for (int number = 0; number < kClients; ++number)
        clients.emplace_back([&, number] {
            RawClient client(hub->socket());
            const auto ask = [&](const std::string& method, const json& params = json::object()) -> json {
                client.write(a_request(method, params));
                const auto line = client.read_line(std::chrono::seconds(60));
                return line ? json::parse(*line) : json();
            };
            bool all = true;
            for (int round = 0; round < 5; ++round) {
                all = all && ask("version").contains("result");
                all = all && ask("show.operators", {{"limit", 50}})["result"]["items"].size() == 50;
                all = all && ask("explain", {{"attachment", "kita-1"},
                                             {"source", "10.0.0.7"},
                                             {"destination", "100.64.0.1"},
                                             {"protocol", "tcp"},
                                             {"destination_port", 443}})["result"]["passes"] == true;
                const json begun = ask("begin");
                if (begun.contains("error")) {  // 32 may be open at a time
                    all = all && begun["error"]["data"]["name"] == "limit";
                    continue;
                }
                const json transaction = begun["result"]["transaction"];
                const std::string id = "new-" + std::to_string(number);
                all = all && ask("batch", {{"transaction", transaction},
                                           {"put", {{"operators", {an_operator(id)}}}}})["result"]["objects"] == 502;
                all = all && ask("abort", {{"transaction", transaction}})["result"]["aborted"] == transaction;
                ++transactions;
            }
            if (all) ++good;
        });
    for (std::thread& client : clients) client.join();
    CHECK(good == kClients);
    CHECK(transactions > 0);
    CHECK(comes_true([&] { return hub->transactions() == 0; }));
    Asker asker(*hub);
    CHECK(asker.result("show.generation")["generation"] == 1);
}

TEST_CASE("withstand: clients vanish in the middle of every phase, and what they held is free again", "[control]") {
    TestHub hub;
    const std::string batch = a_request("batch", {{"transaction", 1}, {"put", a_document({"kita"})}});
    const std::vector<std::string> phases = {
        "",
        "{\"jsonrpc\"",
        a_request("begin"),
        a_request("begin") + batch.substr(0, batch.size() / 2),
        a_request("begin") + batch,
        a_request("begin") + batch + a_request("commit", {{"transaction", 1}, {"dry_run", true}}),
        a_request("events"),
        std::string(300'000, 'x')};
    for (int round = 0; round < 10; ++round)
        for (const std::string& phase : phases) {
            RawClient client(hub.socket());
            client.write(phase);
            if (round % 2 == 0) client.vanish();
        }
    CHECK(comes_true([&] { return hub.clients() == 0; }));
    CHECK(comes_true([&] { return hub.transactions() == 0; }));
    Asker asker(hub);
    CHECK(asker.result("version")["generation"] == 0);
}

TEST_CASE("withstand: what arrived whole before its client vanished is done, however much of it", "[control]") {
    TestHub hub;
    {
        RawClient client(hub.socket());
        std::string all = a_request("begin");
        for (int i = 0; i < 30; ++i)
            all += a_request("batch",
                             {{"transaction", 1}, {"put", {{"operators", {an_operator("o" + std::to_string(i))}}}}});
        all += a_request("batch", {{"transaction", 1}, {"put", {{"hub", a_hub()}}}});
        all += a_request("commit", {{"transaction", 1}});
        client.write(all);
    }
    Asker asker(hub);
    CHECK(comes_true([&] { return asker.result("version")["generation"] == 1; }));
    CHECK(asker.result("show.operators")["items"].size() == 30);
}

TEST_CASE("withstand: random bytes, deep nesting and torn requests are answered or ignored, and never more",
          "[control]") {
    TestHub hub;
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const std::string good = a_request("explain", {{"attachment", "kita-1"}, {"source", "10.0.0.7"}});
    for (int i = 0; i < 300; ++i) {
        RawClient client(hub.socket());
        std::string bytes;
        switch (random() % 4) {
            case 0:
                for (int j = 0; j < 2000; ++j) bytes += static_cast<char>(random());
                break;
            case 1: bytes = std::string(100'000, random() % 2 == 0 ? '[' : '{'); break;
            case 2: {
                bytes = good;
                for (int j = 0; j < 3; ++j) bytes[random() % bytes.size()] = static_cast<char>(random());
                break;
            }
            default: bytes = good.substr(0, random() % good.size()) + "\n" + good.substr(random() % good.size());
        }
        client.write(bytes + "\n");
        client.end_of_input();
        while (const auto line = client.read_line()) {
            const json answer = json::parse(*line, nullptr, false);
            REQUIRE(answer.is_object());
            CHECK((answer.contains("error") || answer.contains("result")));
        }
        CHECK(client.closed());
    }
    Asker asker(hub);
    CHECK(asker.result("version")["version"] == "test");
}

TEST_CASE("withstand: two thousand connections opened and closed, some at once, and the next is served", "[control]") {
    TestHub hub;
    for (int round = 0; round < 20; ++round) {
        std::vector<RawClient> clients;
        for (int i = 0; i < 100; ++i) clients.emplace_back(hub.socket());
    }
    CHECK(comes_true([&] { return hub.clients() == 0; }));
    Asker asker(hub);
    CHECK(asker.result("version")["version"] == "test");
}

TEST_CASE("withstand: without descriptors the daemon rests instead of spinning, and serves again when there are some",
          "[control]") {
    TestHub hub;
    Asker before(hub);
    before.result("version");
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    RawClient waiting(hub.socket());  // its end here has a descriptor; its end there may not get one
    waiting.write(a_request("version"));
    REQUIRE(waiting.read_line());
    std::vector<FileDescriptor> taken;
    std::optional<RawClient> late;
    const FileDescriptor spare(::dup(0));
    const rlimit few{static_cast<rlim_t>(spare.number()) + 3, limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    late.emplace(hub.socket());  // one for this end
    for (int got; (got = ::dup(0)) >= 0;) taken.emplace_back(got);
    late->write(a_request("version"));
    rusage begin{};
    ::getrusage(RUSAGE_SELF, &begin);
    const auto answered = late->read_line(milliseconds(500));
    rusage end{};
    ::getrusage(RUSAGE_SELF, &end);
    CHECK(before.result("version")["version"] == "test");
    taken.clear();
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const auto milliseconds_of = [](const rusage& usage) {
        return usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 + usage.ru_stime.tv_sec * 1000 +
               usage.ru_stime.tv_usec / 1000;
    };
    CHECK(milliseconds_of(end) - milliseconds_of(begin) < 200);
    if (!answered) CHECK(late->read_line(std::chrono::seconds(5)));
}

TEST_CASE("withstand: two hundred that hang in the middle of a line hold up nobody", "[control][clock]") {
    TestHub hub;
    std::vector<RawClient> hanging;
    for (int i = 0; i < 200; ++i) {
        hanging.emplace_back(hub.socket());
        hanging.back().write("{\"jsonrpc\": \"2.0\", ");
    }
    Asker asker(hub);
    CHECK(time_of_version(asker) < milliseconds(100));
}

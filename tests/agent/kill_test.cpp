// kill -9 of agent, daemon and store at random moments of commits, on the real daemon: either the old generation or the
// new one.
//
// A policy is a pair of operators with the same number: "left-N" and "right-N". Whatever is killed when, what the
// daemon runs has both of one number and nothing else. SEKISHO_TEST_KILLS says how many times.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "control/client.hpp"
#include "tests/agent/agent_support.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using namespace sekisho::agent::test;

namespace {

struct Daemon {
    TemporaryDirectory directory;
    std::string socket = directory / "s";
    std::string prefix = "sk-agent-" + std::to_string(::getpid());
    std::optional<Program> process;

    ~Daemon() {
        process.reset();
        std::filesystem::remove_all("/run/dpdk/" + prefix);  // what a killed one leaves
    }
    void start() {
        process.emplace(
            path_from("SEKISHOD"),
            std::vector<std::string>{"--socket", socket, "--state-dir", directory / "state", "--file-prefix", prefix,
                                     "--no-huge", "--memory", "128", "--buffers", "4096", "--port", "port0=net_null0"});
    }
    // The ids of the operators that run; nullopt while it does not answer.
    std::optional<std::vector<std::string>> operators() const {
        auto client = control::Client::connect(socket);
        if (!client) return std::nullopt;
        const auto answer = client->call("show.operators");
        const auto* result = std::get_if<json>(&answer);
        if (result == nullptr) return std::nullopt;
        std::vector<std::string> ids;
        for (const json& item : (*result)["items"]) ids.push_back(item["id"]);
        return ids;
    }
};

bool is_whole(const std::vector<std::string>& ids) {
    return ids.empty() || (ids.size() == 2 && ids[0].rfind("left-", 0) == 0 && ids[1] == "right-" + ids[0].substr(5));
}

Etcd::Changes pair(int number) {
    Etcd::Changes changes;
    if (number > 0)
        for (const char* side : {"left", "right"})
            changes.emplace_back(fmt::format("operators/{}-{}", side, number - 1), std::nullopt);
    for (const char* side : {"left", "right"}) {
        const std::string id = fmt::format("{}-{}", side, number);
        changes.emplace_back("operators/" + id, an_operator(id).dump());
    }
    return changes;
}

}  // namespace

TEST_CASE("kill: agent, daemon and store at random moments leave the old generation or the new one", "[agent][kill]") {
    const char* told = std::getenv("SEKISHO_TEST_KILLS");
    const int kills = told == nullptr ? 6 : std::atoi(told);
    sekisho::test::Random random("agent_kill");
    Etcd etcd;
    Daemon daemon;
    daemon.start();
    Etcd::Changes first = pair(0);
    first.emplace_back("hub", a_hub().dump());
    first.emplace_back("nodes/hub-1", json{{"id", "hub-1"}}.dump());
    etcd.write(first);
    Agent agent(daemon.socket, etcd.options(), "hub-1", {"--gather", "0"});
    const auto runs = [&](int number) {
        return comes_true(
            [&] {
                const auto ids = daemon.operators();
                if (ids) REQUIRE(is_whole(*ids));
                return ids && ids->size() == 2 && (*ids)[0] == fmt::format("left-{}", number);
            },
            std::chrono::seconds(60));
    };
    REQUIRE(runs(0));
    int number = 0;
    for (int kill = 0; kill < kills; ++kill) {
        const int burst = 1 + static_cast<int>(random.below(5));
        for (int i = 0; i < burst; ++i) etcd.write(pair(++number));
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(30'000)));
        const auto who = kill < 3 ? static_cast<std::uint64_t>(kill) : random.below(3);
        INFO("kill " << kill << " of " << who);
        if (who == 0) {
            agent.kill();
            const auto ids = daemon.operators();
            REQUIRE(ids);
            CHECK(is_whole(*ids));
            agent.start();
        } else if (who == 1) {
            daemon.process.reset();
            daemon.start();
        } else {
            etcd.kill();
            const auto ids = daemon.operators();
            REQUIRE(ids);
            CHECK(is_whole(*ids));
            etcd.start();
        }
        const bool it_runs = runs(number);
        INFO("agent:\n" << agent.log() << "\ndaemon:\n" << daemon.process->err());
        REQUIRE(it_runs);
    }
}

TEST_CASE("kill: the daemon starts and forwards without store and agent", "[agent][kill]") {
    Daemon daemon;
    {
        Etcd etcd;
        daemon.start();
        Etcd::Changes changes = pair(7);
        changes.emplace_back("hub", a_hub().dump());
        changes.emplace_back("nodes/hub-1", json{{"id", "hub-1"}}.dump());
        etcd.write(changes);
        Agent agent(daemon.socket, etcd.options(), "hub-1");
        REQUIRE(comes_true([&] { return daemon.operators() == std::vector<std::string>{"left-7", "right-7"}; }));
    }
    daemon.process.reset();
    daemon.start();
    CHECK(comes_true([&] { return daemon.operators() == std::vector<std::string>{"left-7", "right-7"}; }));
}

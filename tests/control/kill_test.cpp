// kill -9 at random moments of commits, over and over: what is there afterwards is the old generation or the new one.
//
// A client commits documents to a real daemon, some of them to be confirmed, while the test kills it. After each
// restart the running document must be one that was committed and, if its commit or confirmation was answered, that
// one; an unconfirmed one never. Number, hash, state directory and audit chain must agree. Once with documents that are
// saved whole, once with small changes of a large one, which go into the journal, and once with changes so large that
// the journal is shortened all the time. SEKISHO_KILLS says how often.
#include <filesystem>
#include <fstream>
#include <thread>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "control/client.hpp"
#include "control/document_hash.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/control/program_support.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

// A document that is told from others by one name, and large enough that saving it takes a while.
Document numbered(std::uint64_t number) {
    json document = a_document({});
    for (int i = 0; i < 100; ++i) {
        json each = an_operator("operator-" + std::to_string(i));
        each["name"] = "of document " + std::to_string(number);
        document["operators"].push_back(each);
    }
    return as_document(document);
}

// A document that is large enough for a journal: of its many gates, the first `changing` differ from document to
// document.
Document large(std::uint64_t number, int changing) {
    json document = json::parse(numbered(0).text());
    document["gates"] = json::array();
    for (int i = 0; i < 3000; ++i)
        document["gates"].push_back({{"id", "gate-" + std::to_string(i)},
                                     {"target", "operator"},
                                     {"target_id", "operator-" + std::to_string(i % 100)},
                                     {"reason", "emergency"},
                                     {"notice", "of document " + std::to_string(i < changing ? number : 0)}});
    return as_document(document);
}

constexpr int kShortens = 400;  // gates a commit: a few fill half the journal

struct Told {                   // what the client knows
    std::string good;           // hash that a restart must have at least, or a later one
    std::set<std::string> may;  // hashes of what was asked for since and not answered
};

// With `changing` gates, each document follows the one before it by what differs; without, as a whole.
void kill_over_and_over(int changing) {
    const bool small = changing != 0;
    const char* const asked = std::getenv("SEKISHO_KILLS");
    const int kills = asked != nullptr ? std::atoi(asked) : 6;
    sekisho::test::Random random("kill");
    TemporaryDirectory directory;
    const std::string socket = directory / "control.sock", state = directory / "state";
    const std::vector<std::string> arguments = {"--socket",
                                                socket,
                                                "--state-dir",
                                                state,
                                                "--file-prefix",
                                                "sk-kill-" + std::to_string(::getpid()),
                                                "--no-huge",
                                                "--memory",
                                                "128",
                                                "--buffers",
                                                "4096",
                                                "--port",
                                                "port0=net_null0"};
    const auto ctl = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"--socket", socket, "--json"});
        return run(path_from("SEKISHOCTL"), more);
    };

    struct Made {
        json put, difference;
        std::string hash;
    };
    std::vector<Made> documents;  // read once, so that the time goes into commits
    for (std::uint64_t number = 0; number < 24; ++number) {
        const Document document = small ? large(number, changing) : numbered(number);
        json difference;
        for (int i = 0; i < changing; ++i)
            difference["gates"].push_back(json::parse(document.find(Kind::gates, fmt::format("gate-{}", i))->text));
        documents.push_back({json::parse(document.text()), difference, hash_of(document).text});
    }
    Told told;
    std::uint64_t next = 1, last_number = 0, commits = 0, unconfirmed_kills = 0;
    for (int round = 0; round <= kills; ++round) {
        Program sekishod(path_from("SEKISHOD"), arguments);
        REQUIRE(ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
        const json shown = json::parse(ctl({"show", "generation"}).out);
        const std::string hash = shown["hash"].is_string() ? shown["hash"].get<std::string>() : "";
        INFO("round " << round << ", generation " << shown["generation"] << " " << hash);
        CHECK((hash == told.good || told.may.contains(hash)));
        CHECK(shown["generation"] >= last_number);
        CHECK(shown["confirm_by"].is_null());
        last_number = shown["generation"];
        CHECK(ctl({"drift"}).exit_code == 0);
        CHECK(run(path_from("SEKISHOCTL"), {"audit", "verify", state + "/audit.jsonl"}).exit_code == 0);
        told = {hash, {}};
        if (round == kills) {
            sekishod.signal(SIGTERM);
            CHECK(sekishod.wait() == 0);
            break;
        }
        std::atomic<bool> gone{false};
        const auto patience = std::chrono::microseconds(random.below(round % 2 == 0 ? 60'000 : 600'000));
        std::atomic<bool> may_kill{!small || last_number != 0};  // small changes need something that they change
        std::thread killer([&] {
            may_kill.wait(false);
            std::this_thread::sleep_for(patience);
            sekishod.signal(SIGKILL);
            gone = true;
        });
        bool waits = false;
        while (!gone) {
            const auto& [all, difference, made] = documents[next++ % documents.size()];
            const bool whole = !small || last_number + commits == 0;
            const json& put = whole ? all : difference;
            auto client = Client::connect(socket);
            if (!client) break;
            const auto begun = client->call("begin", {{"replace", whole}});
            if (!std::holds_alternative<json>(begun)) break;
            const json transaction = std::get<json>(begun)["transaction"];
            if (!std::holds_alternative<json>(client->call("batch", {{"transaction", transaction}, {"put", put}})))
                break;
            const bool to_confirm = last_number + commits != 0 && random.one_in(2);
            json params = {{"transaction", transaction}};
            if (to_confirm) params["confirm"] = 600;
            if (!to_confirm) told.may.insert(made);
            waits = to_confirm;
            if (!std::holds_alternative<json>(client->call("commit", params))) break;
            ++commits;
            may_kill = true;
            may_kill.notify_all();
            if (to_confirm) {
                told.may.insert(made);  // from here on: the confirmation may have been carried out, unanswered
                if (!std::holds_alternative<json>(client->call("confirm", json::object()))) break;
            }
            waits = false;
            told = {made, {}};
        }
        unconfirmed_kills += waits ? 1 : 0;
        may_kill = true;
        may_kill.notify_all();
        killer.join();
        sekishod.wait();
    }
    const auto has_journal = [&] {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(state))
            if (entry.path().filename().string().ends_with("journal")) return true;
        return false;
    };
    if (changing < kShortens) {
        CHECK(has_journal() == small);
    } else {  // what it follows moves when it is shortened
        std::ifstream generation(state + "/generation");
        std::string first_line;
        std::getline(generation, first_line);
        CHECK(json::parse(first_line)["generation"] > 1);
    }
    std::cout << "kill, " << changing << " gates: " << kills << " kills, " << commits << " commits, "
              << unconfirmed_kills << " kills while one waited to be confirmed\n";
    CHECK(commits > 0);
}

}  // namespace

TEST_CASE("sekishod: kill -9 in the middle of commits leaves the old generation or the new one, whole",
          "[control][kill]") {
    kill_over_and_over(0);
}

TEST_CASE("sekishod: kill -9 in the middle of small commits leaves the old generation or the new one, whole",
          "[control][kill]") {
    kill_over_and_over(1);
}

TEST_CASE("sekishod: kill -9 while the journal is shortened leaves the old generation or the new one, whole",
          "[control][kill]") {
    kill_over_and_over(kShortens);
}

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

struct Made {  // a document, read once, so that the time goes into commits
    json put, difference;
    std::string hash;
};

// With `changing` gates, each document follows the one before it by what differs; without, as a whole.
std::vector<Made> documents_with(int changing) {
    std::vector<Made> documents;
    for (std::uint64_t number = 0; number < 6; ++number) {
        const Document document = changing != 0 ? large(number, changing) : numbered(number);
        json difference;
        for (int i = 0; i < changing; ++i)
            difference["gates"].push_back(json::parse(document.find(Kind::gates, fmt::format("gate-{}", i))->text));
        documents.push_back({json::parse(document.text()), difference, hash_of(document).text});
    }
    return documents;
}

// The client: it commits one document after another, and knows what it may find afterwards.
class Committing {
  public:
    Committing(std::string socket, int changing)
        : socket_(std::move(socket)), small_(changing != 0), documents_(documents_with(changing)) {}

    // The next document, committed and, when asked, confirmed. False: the daemon went away before it had answered.
    bool next(bool to_confirm) {
        waits = false;
        const auto& [all, difference, made] = documents_[next_++ % documents_.size()];
        const bool whole = !small_ || commits == 0;  // small changes need something that they change
        auto client = Client::connect(socket_);
        if (!client) return false;
        const auto begun = client->call("begin", {{"replace", whole}});
        if (!std::holds_alternative<json>(begun)) return false;
        const json transaction = std::get<json>(begun)["transaction"];
        const json batch = {{"transaction", transaction}, {"put", whole ? all : difference}};
        if (!std::holds_alternative<json>(client->call("batch", batch))) return false;
        json params = {{"transaction", transaction}};
        if (to_confirm) params["confirm"] = 600;
        if (!to_confirm) told.may.insert(made);
        waits = to_confirm;
        if (!std::holds_alternative<json>(client->call("commit", params))) return false;
        ++commits;
        if (to_confirm) {
            told.may.insert(made);  // from here on: the confirmation may have been carried out, unanswered
            if (!std::holds_alternative<json>(client->call("confirm", json::object()))) return false;
        }
        waits = false;
        told = {made, {}};
        return true;
    }

    Told told;
    bool waits = false;  // the last one's confirmation is not answered
    int commits = 0;     // answered

  private:
    std::string socket_;
    bool small_;
    std::vector<Made> documents_;
    std::uint64_t next_ = 1;
};

// Kills follow the time that commits take on this machine: some within one, others within the next few. Before the
// first kill and behind the last, enough is committed for what is to be there in any case.
void kill_over_and_over(int changing) {
    const bool small = changing != 0;
    const char* const asked = std::getenv("SEKISHO_KILLS");
    const int kills = asked != nullptr ? std::atoi(asked) : 6;
    constexpr int kUndisturbed = 4;  // as large as they may be, these shorten the journal
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
    const auto start_of_file = [&] {  // generation that was written whole
        std::ifstream generation(state + "/generation");
        std::string first_line;
        std::getline(generation, first_line);
        return json::parse(first_line)["generation"].get<std::uint64_t>();
    };
    const auto has_journal = [&] {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(state))
            if (entry.path().filename().string().ends_with("journal")) return true;
        return false;
    };

    Committing client(socket, changing);
    std::chrono::steady_clock::duration commit_time{};
    std::uint64_t last_number = 0;
    int unconfirmed_kills = 0;
    for (int round = 0; round <= kills; ++round) {
        Program sekishod(path_from("SEKISHOD"), arguments);
        REQUIRE(ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
        const json shown = json::parse(ctl({"show", "generation"}).out);
        const std::string hash = shown["hash"].is_string() ? shown["hash"].get<std::string>() : "";
        INFO("round " << round << ", generation " << shown["generation"] << " " << hash);
        CHECK((hash == client.told.good || client.told.may.contains(hash)));
        CHECK(shown["generation"] >= last_number);
        CHECK(shown["confirm_by"].is_null());
        last_number = shown["generation"];
        CHECK(ctl({"drift"}).exit_code == 0);
        CHECK(run(path_from("SEKISHOCTL"), {"audit", "verify", state + "/audit.jsonl"}).exit_code == 0);
        client.told = {hash, {}};
        if (round == 0 || round == kills) {
            const std::uint64_t whole = round == 0 ? 0 : start_of_file();
            const auto begin = std::chrono::steady_clock::now();
            for (int i = 0; i < kUndisturbed; ++i) REQUIRE(client.next(false));
            commit_time = (std::chrono::steady_clock::now() - begin) / kUndisturbed;
            if (changing < kShortens)
                CHECK(has_journal() == small);
            else  // what it follows moves when it is shortened
                CHECK(comes_true([&] { return start_of_file() > std::max<std::uint64_t>(whole, 1); }));
        }
        if (round == kills) {
            sekishod.signal(SIGTERM);
            CHECK(sekishod.wait() == 0);
            break;
        }
        const auto longest =
            static_cast<std::size_t>(std::chrono::duration_cast<std::chrono::microseconds>(commit_time).count());
        const std::chrono::microseconds patience(random.below(longest * (round % 2 == 0 ? 1 : 4)));
        std::thread killer([&] {
            std::this_thread::sleep_for(patience);
            sekishod.signal(SIGKILL);
        });
        while (client.next(random.one_in(2))) {
        }
        unconfirmed_kills += client.waits ? 1 : 0;
        killer.join();
        sekishod.wait();
    }
    std::cout << "kill, " << changing << " gates: " << kills << " kills, " << client.commits << " commits, "
              << unconfirmed_kills << " kills while one waited to be confirmed\n";
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

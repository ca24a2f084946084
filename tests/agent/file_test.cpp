// The watched file: replaced, half written, wrong, gone, and what the agent does with it.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/agent/agent_support.hpp"

using namespace sekisho;
using namespace sekisho::agent::test;
using control::Kind;

namespace {

struct Place {
    TestHub hub;
    TemporaryDirectory directory;
    std::string file = directory / "policy.json";

    void replace(const std::string& text) const {  // as editors do
        write_file(file + ".new", text);
        std::filesystem::rename(file + ".new", file);
    }
    void replace(const json& document) const { replace(document.dump()); }
};

}  // namespace

TEST_CASE("file: what is in it runs, and what is renamed over it", "[agent][file]") {
    Place place;
    place.replace(a_document({"kita"}));
    Agent agent(place.hub.socket(), place.file);
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    place.replace(a_document({"kita", "minami"}));
    REQUIRE(gets(place.hub, Kind::operators, "minami"));
    CHECK(seen(place.hub).generation == 2);
    place.replace(a_document({"minami"}));
    REQUIRE(gets(place.hub, Kind::operators, "kita", false));
    CHECK(agent.stop() == 0);
}

TEST_CASE("file: half of one is refused with line and column, and the old generation goes on", "[agent][file]") {
    Place place;
    place.replace(a_document({"kita"}));
    Agent agent(place.hub.socket(), place.file);
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    const std::string text = a_document({"kita", "minami"}).dump(1);
    write_file(place.file, text.substr(0, text.size() / 2));
    REQUIRE(agent.says("is refused"));
    CHECK(agent.log().find("policy.json: line ") != std::string::npos);
    CHECK(seen(place.hub).generation == 1);
    CHECK(place.hub.transactions() == 0);
    write_file(place.file, text);
    REQUIRE(gets(place.hub, Kind::operators, "minami"));
}

TEST_CASE("file: what is wrong in it is named, changes nothing, and goes in when mended", "[agent][file]") {
    Place place;
    json wrong = a_document({"kita"});
    wrong["operators"].push_back(wrong["operators"][0]);
    place.replace(wrong);
    Agent agent(place.hub.socket(), place.file);
    CHECK(agent.says("operators[1]: another one before it has the same name"));
    wrong = a_document({"kita"});
    wrong["castles"] = json::array();
    place.replace(wrong);
    CHECK(agent.says("castles: is not a kind"));
    wrong = a_document({"kita"});
    wrong["operators"][0].erase("name");
    place.replace(wrong);
    CHECK(agent.says("operators/kita: "));
    wrong = a_document({"kita"});
    wrong["attachments"] = json::array({an_attachment("line", "minami", 1)});
    place.replace(wrong);
    CHECK(agent.says("attachments/line: "));
    wrong = a_document({"kita"});
    wrong.erase("hub");
    place.replace(wrong);
    CHECK(agent.says("hub: is missing"));
    CHECK(seen(place.hub).generation == 0);
    place.replace(a_document({"kita"}));
    CHECK(gets(place.hub, Kind::operators, "kita"));
    CHECK(place.hub.transactions() == 0);
}

TEST_CASE("file: one that comes later is found, and one that goes away changes nothing", "[agent][file]") {
    Place place;
    Agent agent(place.hub.socket(), place.file);
    REQUIRE(agent.says("policy.json: No such file"));
    place.replace(a_document({"kita"}));
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    std::filesystem::remove(place.file);
    REQUIRE(comes_true([&] {
        const std::string log = agent.log();
        return log.find("No such file", log.find("objects read")) != std::string::npos;
    }));
    CHECK(seen(place.hub).has(Kind::operators, "kita"));
    place.replace(a_document({"kita", "minami"}));
    CHECK(gets(place.hub, Kind::operators, "minami"));
}

TEST_CASE("file: an agent that starts again finds its own generation and pushes nothing", "[agent][file]") {
    Place place;
    place.replace(a_document({"kita"}));
    Agent agent(place.hub.socket(), place.file);
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    const int compiled = place.hub.compiler.calls;
    agent.kill();
    agent.start();
    REQUIRE(agent.says("the node runs them"));
    CHECK(seen(place.hub).generation == 1);
    CHECK(place.hub.compiler.calls == compiled);
}

TEST_CASE("file: a node that wants a signature gets the one beside the file, and nothing goes in without",
          "[agent][file]") {
    const Signer signer;
    TestHub hub({}, {}, false, {}, {}, signer.keys());
    TemporaryDirectory directory;
    const std::string file = directory / "policy.json";
    write_file(file, a_document({"kita"}).dump());
    Agent agent(hub.socket(), file);
    REQUIRE(agent.says("is refused"));
    CHECK(seen(hub).generation == 0);
    write_file(file + ".sig", signer.sign({"minami"}));  // another document's
    REQUIRE(agent.says("none of this node's signing keys"));
    CHECK(seen(hub).generation == 0);
    write_file(file + ".sig", signer.sign({"kita"}) + "\n");
    REQUIRE(gets(hub, Kind::operators, "kita"));
    CHECK(seen(hub).generation == 1);
}

TEST_CASE("file: a policy that was applied by hand is drift, until the file changes", "[agent][file]") {
    Place place;
    place.replace(a_document({"kita"}));
    Agent agent(place.hub.socket(), place.file);
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    {
        control::test::Asker by_hand(place.hub);
        const json begun = by_hand.result("begin");
        by_hand.result("batch",
                       {{"transaction", begun["transaction"]}, {"put", {{"operators", {an_operator("chuo")}}}}});
        by_hand.result("commit", {{"transaction", begun["transaction"]}});
    }
    REQUIRE(agent.says("did not come from this store"));
    CHECK(seen(place.hub).has(Kind::operators, "chuo"));
    CHECK(seen(place.hub).label.empty());
    place.replace(a_document({"kita", "minami"}));
    REQUIRE(gets(place.hub, Kind::operators, "minami"));
    CHECK_FALSE(seen(place.hub).has(Kind::operators, "chuo"));
}

TEST_CASE("file: drift is undone at once if so configured", "[agent][file]") {
    Place place;
    place.replace(a_document({"kita"}));
    Agent agent(place.hub.socket(), place.file, {"--drift", "restore"});
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    {
        control::test::Asker by_hand(place.hub);
        const json begun = by_hand.result("begin", {{"replace", true}});
        by_hand.result("batch", {{"transaction", begun["transaction"]},
                                 {"put", {{"hub", a_hub()}, {"operators", {an_operator("chuo")}}}}});
        by_hand.result("commit", {{"transaction", begun["transaction"]}});
    }
    REQUIRE(gets(place.hub, Kind::operators, "chuo", false));
    CHECK(seen(place.hub).has(Kind::operators, "kita"));
    CHECK(seen(place.hub).generation == 3);
}

TEST_CASE("file: a daemon that comes later, and goes and comes, gets the policy", "[agent][file]") {
    TemporaryDirectory directory;
    const std::string file = directory / "policy.json";
    write_file(file, a_document({"kita"}).dump());
    Agent agent(directory / "link", file);
    CHECK(agent.says("link"));
    for (int i = 0; i < 2; ++i) {
        TestHub hub;  // each with a state directory of its own: it knows nothing
        std::filesystem::remove(directory / "link");
        std::filesystem::create_symlink(hub.socket(), directory / "link");
        CHECK(gets(hub, Kind::operators, "kita"));
    }
}

TEST_CASE("file: the command line says what is wrong with it", "[agent][file]") {
    const auto refuses = [](const std::vector<std::string>& arguments, const std::string& words) {
        const Ran ran = run(path_from("SEKISHO_AGENT"), arguments);
        INFO(ran.err);
        CHECK(ran.exit_code == 2);
        CHECK(ran.err.find(words) != std::string::npos);
    };
    refuses({}, "subcommand is required");
    refuses({"run"}, "--etcd or --file");
    refuses({"run", "--etcd", "http://127.0.0.1:1"}, "--node");
    refuses({"run", "--etcd", "127.0.0.1:1", "--node", "a"}, "https://HOST:PORT");
    refuses({"run", "--etcd", "http://127.0.0.1:1", "--node", "a b"}, "a name is");
    refuses({"run", "--etcd", "http://127.0.0.1:1", "--file", "x", "--node", "a"}, "excludes");
    refuses({"run", "--etcd", "https://127.0.0.1:1", "--cert", "x", "--node", "a"}, "--key");
    refuses({"run", "--etcd", "http://127.0.0.1:1", "--cert", "x", "--key", "y", "--node", "a"}, "say https://");
    refuses({"fleet"}, "--etcd");
    refuses({"import", "/no/where", "--etcd", "http://127.0.0.1:1"}, "/no/where");
    CHECK(run(path_from("SEKISHO_AGENT"), {"fleet", "--etcd", "http://127.0.0.1:1"}).exit_code == 3);
}

TEST_CASE("fleet: sekishoctl leaves it to the agent, and passes on what the agent says", "[agent][file]") {
    TemporaryDirectory directory;
    write_file(directory / "agent.toml", "etcd = \"http://127.0.0.1:1\"\n");
    // Beside each other, as they are installed.
    std::filesystem::copy(path_from("SEKISHOCTL"), directory / "sekishoctl");
    const Ran alone = run(directory / "sekishoctl", {"fleet", "--config", directory / "none.toml"});
    CHECK(alone.exit_code != 0);
    std::filesystem::create_symlink(path_from("SEKISHO_AGENT"), directory / "sekisho-agent");
    const Ran wrong = run(directory / "sekishoctl", {"fleet", "--config", directory / "none.toml"});
    CHECK(wrong.exit_code == 2);
    CHECK(wrong.err.find("sekisho-agent: --config") != std::string::npos);
    const Ran asked = run(directory / "sekishoctl", {"fleet", "--config", directory / "agent.toml"});
    CHECK(asked.exit_code == 3);
    CHECK(asked.err.find("127.0.0.1:1") != std::string::npos);
}

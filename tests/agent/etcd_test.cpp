// A real etcd: snapshot, watch, what is refused, restarts, compaction, shares, and the node's state.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/agent/agent_support.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using namespace sekisho::agent::test;

namespace {

std::string bare(const std::string& words) {
    return words.substr(0, words.find('\n'));
}

}  // namespace

TEST_CASE("etcd: what is refused is named by key and field, the old generation goes on, and mended it goes in",
          "[agent][etcd]") {
    Cluster cluster;
    const std::uint64_t before = seen(cluster.hub).generation;
    struct Case {
        std::string key, value, words;
    };
    json no_name = an_operator("chuo");
    no_name.erase("name");
    const std::string huge = R"({"id": "chuo", "name": ")" + std::string((1 << 20) + 10, 'x') + "\"}";
    for (const Case& wrong : std::vector<Case>{
             {"operators/chuo", R"({"id": "chuo", "na)", "line 1"},
             {"operators/chuo", "[1]", "object is expected"},
             {"operators/chuo", an_operator("nishi").dump(), "is not what the key says"},
             {"operators/chuo", no_name.dump(), "\"name\" is missing"},
             {"operators/chuo", huge, "bytes; at most"},
             {"castles/x", R"({"id": "x"})", "not a kind of object"},
             {"attachments/line", an_attachment("line", "nowhere", 1).dump(), "nowhere"},
             {"nodes/hub-1", R"({"id": "hub-1", "attachments": ["line"]})", "there is no attachment \"line\""},
             {"nodes/hub-1", R"({"id": "hub-1", "attachments": 7})", ".attachments: an array"}}) {
        INFO(wrong.key << " " << wrong.words);
        const std::string was = bare(cluster.etcd.get("/sekisho/hub/policy/" + wrong.key));
        cluster.etcd.write({{wrong.key, wrong.value}, {"operators/beside", an_operator("beside").dump()}});
        const json state = cluster.state_with_refusal(wrong.key);
        CHECK(state["refused"][0]["words"].get<std::string>().find(wrong.words) != std::string::npos);
        CHECK(state["health"] == "degraded");
        CHECK(cluster.agent->says(wrong.words));
        CHECK(seen(cluster.hub).generation == before);
        CHECK(cluster.hub.transactions() == 0);
        cluster.etcd.write(
            {{wrong.key, was.empty() ? std::nullopt : std::optional(was)}, {"operators/beside", std::nullopt}});
        cluster.state_when([](const json& now) { return now["refused"].empty() && now["pending"] == 0; });
    }
    CHECK(seen(cluster.hub).generation == before);
    cluster.etcd.put("operators/chuo", an_operator("chuo"));
    CHECK(gets(cluster.hub, Kind::operators, "chuo"));
    CHECK(seen(cluster.hub).generation > before);
}

TEST_CASE("etcd: without the hub, or with nothing at all, nothing is pushed", "[agent][etcd]") {
    Cluster cluster;
    const Seen before = seen(cluster.hub);
    REQUIRE(cluster.etcd.ctl({"del", "--prefix", "/sekisho/hub/policy/"}).exit_code == 0);
    cluster.state_with_refusal("hub");
    CHECK(seen(cluster.hub).generation == before.generation);
    CHECK(seen(cluster.hub).document == before.document);
    cluster.etcd.write(small_policy());
    cluster.state_when([](const json& state) { return state["refused"].empty() && state["pending"] == 0; });
    CHECK(seen(cluster.hub).document == before.document);
}

TEST_CASE("etcd: small changes go over as puts and deletes", "[agent][etcd]") {
    Cluster cluster;
    cluster.etcd.write({{"operators/chuo", an_operator("chuo").dump()}, {"operators/kita", std::nullopt}});
    REQUIRE(gets(cluster.hub, Kind::operators, "chuo"));
    CHECK_FALSE(seen(cluster.hub).has(Kind::operators, "kita"));
    CHECK(seen(cluster.hub).has(Kind::operators, "minami"));
    const auto lines = cluster.hub.audit_lines();
    CHECK(lines.back()["what"] == "commit");
    CHECK(lines.back()["counts"]["operators"] == json{{"added", 1}, {"changed", 0}, {"removed", 1}});
    // An operator that comes and goes before it was seen is nothing.
    cluster.etcd.put("operators/brief", an_operator("brief"));
    cluster.etcd.erase("operators/brief");
    cluster.etcd.put("operators/last", an_operator("last"));
    REQUIRE(gets(cluster.hub, Kind::operators, "last"));
    CHECK(gets(cluster.hub, Kind::operators, "brief", false));
}

TEST_CASE("etcd: how an object is laid out changes nothing on the node", "[agent][etcd]") {
    Cluster cluster;
    const json chuo = an_operator("chuo");
    cluster.etcd.put_text("operators/chuo", chuo.dump(4) + "\n");
    REQUIRE(gets(cluster.hub, Kind::operators, "chuo"));
    const std::string text = seen(cluster.hub).document.find(Kind::operators, "chuo")->text;
    CHECK(text == chuo.dump());
    cluster.etcd.put_text("operators/chuo", "  " + chuo.dump() + "\t");
    cluster.etcd.put("operators/last", an_operator("last"));
    REQUIRE(gets(cluster.hub, Kind::operators, "last"));
    CHECK(seen(cluster.hub).document.find(Kind::operators, "chuo")->text == text);
    // The node's hash is of the canonical text, and so is what an agent that starts compares with it.
    REQUIRE(cluster.agent->stop() == 0);
    cluster.agent->start();
    CHECK(cluster.agent->says("the node runs them"));
}

TEST_CASE("etcd: what one revision changes is never split over two generations", "[agent][etcd]") {
    Cluster cluster({"--gather", "0"});
    std::atomic<bool> done{false};
    std::atomic<int> looks{0}, halves{0};
    std::thread looker([&] {
        while (!done) {
            const Seen now = seen(cluster.hub);
            ++looks;
            if (now.has(Kind::operators, "left") != now.has(Kind::operators, "right")) ++halves;
        }
    });
    for (int i = 0; i < 60; ++i) {
        std::optional<std::string> left, right;
        if (i % 2 == 0) {
            left = an_operator("left").dump();
            right = an_operator("right").dump();
        }
        // Far apart among the keys, so that a careless reader could cut between them.
        Etcd::Changes changes = {{"operators/left", left}};
        for (int other = 0; other < 50; ++other)
            changes.emplace_back(fmt::format("operators/m{}", other), an_operator(fmt::format("m{}", other)).dump());
        changes.emplace_back("operators/right", right);
        cluster.etcd.write(changes);
    }
    CHECK(gets(cluster.hub, Kind::operators, "right", false));
    done = true;
    looker.join();
    CHECK(looks > 10);
    CHECK(halves == 0);
    CHECK(seen(cluster.hub).generation > 2);
}

TEST_CASE("etcd: while it is down the node goes on, and afterwards what was changed comes over", "[agent][etcd]") {
    Cluster cluster;
    cluster.etcd.kill();
    REQUIRE(cluster.agent->says("warning etcd"));
    CHECK(seen(cluster.hub).has(Kind::operators, "kita"));
    cluster.etcd.start();
    cluster.etcd.put("operators/chuo", an_operator("chuo"));
    CHECK(gets(cluster.hub, Kind::operators, "chuo"));
    CHECK(cluster.agent->says("the store answers again"));
    CHECK(cluster.agent->log().find("reading all of it again") == std::string::npos);  // the watch went on
    cluster.state_when([](const json& state) { return state["source"].is_null(); });
}

TEST_CASE("etcd: revisions that were compacted while it was away are made up for by reading all of it again",
          "[agent][etcd]") {
    Cluster cluster;
    cluster.agent->kill();
    cluster.etcd.erase("operators/kita");
    cluster.etcd.put("operators/chuo", an_operator("chuo"));
    const std::int64_t revision = cluster.etcd.put("operators/nishi", an_operator("nishi"));
    cluster.etcd.compact(revision);
    cluster.agent->start();
    REQUIRE(gets(cluster.hub, Kind::operators, "nishi"));
    const Seen now = seen(cluster.hub);
    CHECK(now.has(Kind::operators, "chuo"));
    CHECK_FALSE(now.has(Kind::operators, "kita"));
    // Or a later one: the killed agent's state went with its lease.
    const std::size_t at = now.label.find('@');
    REQUIRE(at != std::string::npos);
    CHECK(std::stoll(now.label.substr(at + 1)) >= revision);
    CHECK(now.label.ends_with(" hub-1"));
}

TEST_CASE("etcd: a running watch whose revision was compacted compares, and pushes only what differs",
          "[agent][etcd]") {
    // The agent stands still (SIGSTOP) while the store changes, is compacted, and restarts, which ends the watch.
    Cluster cluster;
    cluster.agent->signal(SIGSTOP);
    cluster.etcd.erase("operators/kita");
    std::int64_t revision = 0;
    for (const char* id : {"chuo", "nishi"})
        revision = cluster.etcd.put(std::string("operators/") + id, an_operator(id));
    cluster.etcd.compact(revision);
    cluster.etcd.stop();
    cluster.agent->signal(SIGCONT);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cluster.etcd.start();
    REQUIRE(gets(cluster.hub, Kind::operators, "nishi"));
    CHECK(gets(cluster.hub, Kind::operators, "kita", false));
    CHECK(seen(cluster.hub).has(Kind::operators, "minami"));
    const auto lines = cluster.hub.audit_lines();
    CHECK(lines.back()["counts"]["operators"]["changed"] == 0);
}

TEST_CASE("etcd: an agent that starts again goes on from what the node runs", "[agent][etcd]") {
    Cluster cluster;
    cluster.agent->kill();
    const int compiled = cluster.hub.compiler.calls;
    cluster.agent->start();
    REQUIRE(cluster.agent->says("the node runs them"));
    CHECK(cluster.hub.compiler.calls == compiled);
    cluster.agent->kill();
    cluster.etcd.erase("operators/kita");
    cluster.etcd.put("operators/chuo", an_operator("chuo"));
    cluster.agent->start();
    REQUIRE(gets(cluster.hub, Kind::operators, "chuo"));
    CHECK(gets(cluster.hub, Kind::operators, "kita", false));
    CHECK(cluster.agent->says("the node runs them"));
}

TEST_CASE("etcd: the node's signature goes over with the policy, and unsigned content is refused until it is there",
          "[agent][etcd]") {
    const Signer signer;
    Etcd etcd;
    etcd.write(small_policy());
    TestHub hub({}, {}, false, {}, {}, signer.keys());
    Agent agent(hub.socket(), etcd.options(), "hub-1");
    REQUIRE(agent.says("is refused"));
    CHECK(seen(hub).generation == 0);
    etcd.write({{"signatures/hub-1", signer.sign({"kita", "minami"})}});
    REQUIRE(gets(hub, Kind::operators, "kita"));
    // A change and its signature, in one revision; then a change alone.
    etcd.write({{"operators/chuo", an_operator("chuo").dump()},
                {"signatures/hub-1", signer.sign({"chuo", "kita", "minami"})}});
    REQUIRE(gets(hub, Kind::operators, "chuo"));
    etcd.write({{"operators/nishi", an_operator("nishi").dump()}});
    REQUIRE(agent.says("none of this node's signing keys"));
    CHECK_FALSE(seen(hub).has(Kind::operators, "nishi"));
    etcd.write({{"signatures/hub-1", signer.sign({"chuo", "kita", "minami", "nishi"})}});
    REQUIRE(gets(hub, Kind::operators, "nishi"));
}

TEST_CASE("etcd: a hold keeps what was written until it is taken away", "[agent][etcd]") {
    Cluster cluster;
    cluster.etcd.put("hold", {{"who", "a test"}});
    cluster.etcd.put("operators/chuo", an_operator("chuo"));
    const json state = cluster.state_when([](const json& now) { return now["pending"] == 1; });
    CHECK(state["hold"].get<std::string>().find("a test") != std::string::npos);
    CHECK_FALSE(seen(cluster.hub).has(Kind::operators, "chuo"));
    cluster.agent->kill();  // also a new agent waits
    cluster.agent->start();
    cluster.state_when([](const json& now) { return now["pending"] == 1; });
    CHECK_FALSE(seen(cluster.hub).has(Kind::operators, "chuo"));
    cluster.etcd.erase("hold");
    CHECK(gets(cluster.hub, Kind::operators, "chuo"));
}

TEST_CASE("etcd: two nodes share one store, and each gets its part", "[agent][etcd]") {
    Etcd etcd;
    Etcd::Changes changes = small_policy();
    changes.push_back({"attachments/kita-1", an_attachment("kita-1", "kita", 1).dump()});
    changes.push_back({"attachments/kita-2", an_attachment("kita-2", "kita", 2).dump()});
    changes.push_back({"nodes/hub-1", json{{"id", "hub-1"}, {"attachments", {"kita-1"}}}.dump()});
    changes.push_back({"nodes/hub-2", json{{"id", "hub-2"}, {"attachments", {"kita-2"}}}.dump()});
    std::erase_if(changes,
                  [](const auto& change) { return change.first == "nodes/hub-1" && change.second->size() < 16; });
    const json both = {{"operator", "kita"},
                       {"prefix", "10.0.0.0/8"},
                       {"nexthops",
                        {{{"attachment", "kita-1"}, {"gateway", "192.0.2.6"}},
                         {{"attachment", "kita-2"}, {"gateway", "192.0.2.10"}, {"backup", true}}}}};
    changes.push_back({"routes/kita/10.0.0.0/8", both.dump()});
    etcd.write(changes);
    TestHub first, second;
    Agent agent_1(first.socket(), etcd.options(), "hub-1"), agent_2(second.socket(), etcd.options(), "hub-2");
    REQUIRE(gets(first, Kind::attachments, "kita-1"));
    REQUIRE(gets(second, Kind::attachments, "kita-2"));
    CHECK_FALSE(seen(first).has(Kind::attachments, "kita-2"));
    CHECK_FALSE(seen(second).has(Kind::attachments, "kita-1"));
    for (const TestHub* hub : {&first, &second}) {
        const auto route = seen(*hub).document.find(Kind::routes, "kita 10.0.0.0/8");
        REQUIRE(route);
        const json written = json::parse(route->text);
        CHECK(written["nexthops"].size() == 1);
        CHECK_FALSE(written["nexthops"][0].contains("backup"));
    }

    SECTION("an attachment that is given to both is refused by both") {
        etcd.put("nodes/hub-2", {{"id", "hub-2"}, {"attachments", {"kita-2", "kita-1"}}});
        for (const Agent* agent : {&agent_1, &agent_2}) CHECK(agent->says("nodes/hub-2: .attachments[1]: \"kita-1\""));
        CHECK_FALSE(seen(second).has(Kind::attachments, "kita-1"));
    }
    SECTION("an attachment moves in one revision") {
        etcd.write({{"nodes/hub-1", json{{"id", "hub-1"}, {"attachments", json::array()}}.dump()},
                    {"nodes/hub-2", json{{"id", "hub-2"}, {"attachments", {"kita-2", "kita-1"}}}.dump()}});
        CHECK(gets(second, Kind::attachments, "kita-1"));
        CHECK(gets(first, Kind::attachments, "kita-1", false));
        CHECK_FALSE(seen(first).has(Kind::routes, "kita 10.0.0.0/8"));
    }
    SECTION("the fleet is both, and one that is gone is seen to be gone") {
        const auto fleet = [&] {
            const Ran ran = run(path_from("SEKISHO_AGENT"), {"--etcd", etcd.endpoint(), "fleet", "--json"});
            REQUIRE(ran.exit_code == 0);
            return json::parse(ran.out);
        };
        CHECK(comes_true([&] {
            const json all = fleet();
            return all.size() == 2 && all[0]["state"].is_object() && all[1]["state"].is_object();
        }));
        agent_1.kill();  // kill -9: the lease ends by itself
        CHECK(comes_true([&] { return fleet()[0]["state"].is_null(); }));
        CHECK(fleet()[1]["state"]["node"] == "hub-2");
        CHECK(agent_2.stop() == 0);  // taken back, at once
        CHECK(fleet()[1]["state"].is_null());
        const Ran text = run(path_from("SEKISHO_AGENT"), {"--etcd", etcd.endpoint(), "fleet"});
        CHECK(text.out.find("hub-1  gone") != std::string::npos);
    }
}

TEST_CASE("etcd: the node's state tells what it runs, and goes on with a new lease", "[agent][etcd]") {
    Cluster cluster;
    const std::int64_t revision = cluster.etcd.put("operators/chuo", an_operator("chuo"));
    json state = cluster.state_when([&](const json& now) { return now["revision"] == revision; });
    CHECK(state["node"] == "hub-1");
    CHECK(state["generation"] == seen(cluster.hub).generation);
    CHECK(state["label"] == seen(cluster.hub).label);
    CHECK(state["daemon"]["version"] == "test");
    CHECK(state["daemon"]["committed"].is_string());
    CHECK(state["daemon"]["hash"].get<std::string>().size() == 64);
    CHECK(state["counters"]["received"] == 11);
    CHECK(state["ports"].size() == 2);
    CHECK(state["workers"] == json{{"running", 1}, {"stalled", 1}});
    CHECK(state["health"] == "degraded");  // a worker is stalled, the links are down
    CHECK(state["refused"].empty());
    CHECK(state["drift"].is_null());
    // Somebody takes the lease away, and all that hung on it.
    const Ran leases = cluster.etcd.ctl({"lease", "list"});
    std::istringstream lines(leases.out);
    for (std::string line; std::getline(lines, line);)
        if (line.size() == 16) CHECK(cluster.etcd.ctl({"lease", "revoke", line}).exit_code == 0);
    CHECK(comes_true([&] { return cluster.etcd.state_of("hub-1").is_object(); }));
}

TEST_CASE("etcd: a policy file goes into the store, object by object, and only what differs", "[agent][etcd]") {
    Etcd etcd;
    TestHub hub;
    Agent agent(hub.socket(), etcd.options(), "hub-1");
    const std::string file = hub.directory / "policy.json";
    const auto import = [&](const std::vector<std::string>& more = {}) {
        std::vector<std::string> arguments = {"--etcd", etcd.endpoint(), "import", file};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(path_from("SEKISHO_AGENT"), arguments);
    };
    write_file(file, R"({"hub": {)");
    CHECK(import().exit_code == 1);
    CHECK(etcd.ctl({"get", "--prefix", "--keys-only", "/sekisho/hub/policy"}).out.empty());

    std::vector<std::string> names;  // more than one transaction of etcd takes
    for (int i = 0; i < 400; ++i) names.push_back(fmt::format("operator-{}", i));
    write_file(file, a_document(names).dump());
    Ran ran = import({"--node", "hub-1"});
    INFO(ran.err);
    CHECK(ran.out.find("401 objects written, 0 deleted, 0 the same") != std::string::npos);
    REQUIRE(gets(hub, Kind::operators, "operator-399"));
    CHECK(seen(hub).document == control::test::as_document(a_document(names)));
    CHECK(seen(hub).generation == 1);  // the hold kept the first four hundred together
    names.pop_back();
    json document = a_document(names);
    document["operators"][3]["name"] = "Another";
    write_file(file, document.dump());
    CHECK(import().out.find("1 objects written, 1 deleted, 399 the same") != std::string::npos);
    REQUIRE(gets(hub, Kind::operators, "operator-399", false));
    CHECK(seen(hub).generation == 2);
    CHECK(seen(hub).document == control::test::as_document(document));
}

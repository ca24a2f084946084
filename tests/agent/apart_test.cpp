// What the node runs and what the store says come apart: drift, commits that go in late, a store that was put back.
#include <utility>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "agent/etcd_source.hpp"
#include "tests/agent/agent_support.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using namespace sekisho::agent::test;

namespace {

// A copy of the store is kept; then it gets an operator, and so does the node.
void write_what_is_lost(Cluster& cluster) {
    cluster.etcd.stop();
    cluster.etcd.keep_copy();
    cluster.etcd.start();
    cluster.etcd.put("operators/lost", an_operator("lost"));
    REQUIRE(gets(cluster.hub, Kind::operators, "lost"));
}

}  // namespace

TEST_CASE("etcd: drift is told in the node's state", "[agent][etcd]") {
    Cluster cluster;
    {
        control::test::Asker by_hand(cluster.hub);
        const json begun = by_hand.result("begin");
        by_hand.result("batch",
                       {{"transaction", begun["transaction"]}, {"put", {{"operators", {an_operator("hand")}}}}});
        by_hand.result("commit", {{"transaction", begun["transaction"]}});
    }
    cluster.state_when([](const json& state) { return state["drift"].is_string() && state["health"] == "degraded"; });
    cluster.agent->kill();  // and by an agent that starts then
    cluster.agent->start();
    REQUIRE(cluster.agent->says("objects read"));
    CHECK(cluster.agent->says("did not come from this store"));
    CHECK(seen(cluster.hub).has(Kind::operators, "hand"));
    cluster.etcd.put("operators/chuo", an_operator("chuo"));
    REQUIRE(gets(cluster.hub, Kind::operators, "chuo"));
    CHECK_FALSE(seen(cluster.hub).has(Kind::operators, "hand"));
    cluster.state_when([](const json& state) { return state["drift"].is_null(); });
}

// What an agent before it had sent goes in after the new one looked.
TEST_CASE("etcd: a late commit of the agent before is no drift: the agent goes on from it", "[agent][etcd]") {
    Cluster cluster;
    cluster.agent->signal(SIGSTOP);
    const std::int64_t revision = cluster.etcd.put("operators/chuo", an_operator("chuo"));
    cluster.etcd.put("operators/nishi", an_operator("nishi"));
    const std::string label = seen(cluster.hub).label;
    const std::size_t at = label.rfind('@');
    {
        control::test::Asker late(cluster.hub);
        const json transaction = late.result("begin")["transaction"];
        late.result("batch", {{"transaction", transaction}, {"put", {{"operators", {an_operator("chuo")}}}}});
        late.result(
            "commit",
            {{"transaction", transaction},
             {"label", fmt::format("{}@{}{}", label.substr(0, at), revision, label.substr(label.find(' ', at)))}});
    }
    cluster.agent->signal(SIGCONT);
    REQUIRE(gets(cluster.hub, Kind::operators, "nishi"));
    CHECK(seen(cluster.hub).has(Kind::operators, "chuo"));
    CHECK(cluster.agent->log().find("did not come from this store") == std::string::npos);
}

TEST_CASE("etcd: a store that was put back to an earlier state is read again", "[agent][etcd]") {
    Cluster cluster;
    write_what_is_lost(cluster);
    cluster.etcd.stop();
    cluster.etcd.put_copy_back();
    cluster.etcd.start();
    CHECK(gets(cluster.hub, Kind::operators, "lost", false));
    CHECK(seen(cluster.hub).has(Kind::operators, "kita"));
}

// The node's label is of a revision that the store has again, with something else in it.
TEST_CASE("etcd: an agent that starts beside a store that was put back and written to since reads all again",
          "[agent][etcd]") {
    Cluster cluster;
    write_what_is_lost(cluster);
    CHECK(cluster.agent->stop() == 0);
    cluster.etcd.stop();
    cluster.etcd.put_copy_back();
    cluster.etcd.start();
    for (const char* id : {"chuo", "higashi", "nishi", "kita"})
        cluster.etcd.put("operators/" + std::string(id), an_operator(id));
    cluster.agent->start();
    CHECK(gets(cluster.hub, Kind::operators, "lost", false));
    CHECK(seen(cluster.hub).has(Kind::operators, "nishi"));
    CHECK(cluster.agent->says("is not what the store had"));
}

// Other writes have brought it to the revision where it was: only what it holds there tells.
TEST_CASE("etcd: a store that was put back, and written to since, is read again", "[agent][etcd]") {
    const bool loses_a_deletion = GENERATE(false, true);
    Etcd etcd;
    etcd.put("operators/kita", an_operator("kita"));
    etcd.stop();
    etcd.keep_copy();
    etcd.start();
    EtcdSource::Options options{etcd.options(), policy_prefix("hub")};
    EtcdSource source(options);
    if (!loses_a_deletion) etcd.put("operators/lost", an_operator("lost"));
    REQUIRE(source.begin(""));
    std::size_t read = 0;
    REQUIRE(source.read("", [&](const Item&) { ++read; }));
    REQUIRE(read == (loses_a_deletion ? 1U : 2U));
    if (loses_a_deletion) {
        etcd.erase("operators/kita");
        REQUIRE(comes_true([&] { return !source.next(std::chrono::milliseconds(100)).changes.empty(); }));
    }
    etcd.stop();
    etcd.put_copy_back();
    etcd.start();
    for (int n = 0; n < 3; ++n) etcd.put("operators/other", an_operator("other"));
    Event event;
    REQUIRE(comes_true([&] {
        event = source.next(std::chrono::milliseconds(100));
        return event.what != Event::What::nothing && event.what != Event::What::failed;
    }));
    CHECK(event.what == Event::What::start_again);
}

// 600 short values and then 40 MiB of long ones: the page whose size follows the short ones is more than gRPC takes.
TEST_CASE("etcd: all of it is read, once and in order, whatever the values' sizes", "[agent][etcd]") {
    Etcd etcd;
    std::vector<std::pair<std::string, std::size_t>> written;
    Etcd::Changes changes;
    for (int n = 0; n < 600; ++n) {
        written.emplace_back(fmt::format("a{:03}", n), 10);
        changes.emplace_back(written.back().first, std::string(10, 'x'));
        if (changes.size() == 100) etcd.write(std::exchange(changes, {}));  // etcd takes 128 in one transaction
    }
    for (int n = 0; n < 40; ++n) {
        written.emplace_back(fmt::format("b{:03}", n), std::size_t{1} << 20);
        etcd.put_text(written.back().first, std::string(written.back().second, 'y'));
    }
    written.emplace_back("c", 1);
    etcd.put_text("c", "z");
    EtcdSource source({etcd.options(), policy_prefix("hub")});
    REQUIRE(source.begin(""));
    std::vector<std::pair<std::string, std::size_t>> read;
    REQUIRE(source.read("", [&](const Item& item) { read.emplace_back(item.key, item.value.size()); }));
    CHECK(read == written);
}

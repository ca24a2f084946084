// The nonce ledger's witness in a real etcd: an old copy of the ledger, a lost one, keys of another node, and a store
// that is away.
#include <filesystem>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "agent/ledger_memory.hpp"
#include "tests/agent/agent_support.hpp"
#include "tests/control/sas_support.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using namespace sekisho::agent::test;
using control::ManualKeys;
using control::test::Asker;
using control::test::key_text;
using control::test::protected_draft;
using control::test::seconds_from_now;

namespace {

const std::string kOne(32, '1'), kTwo(32, '2');

// A node whose manual keys are witnessed, started and stopped over one state directory.
struct WitnessedNode {
    TemporaryDirectory directory;
    std::string state = directory / "state", file = state + "/nonce-ledger";
    std::unique_ptr<TestHub> hub;
    std::unique_ptr<Asker> asker;
    std::optional<Agent> agent;
    std::string name;

    explicit WitnessedNode(std::string node = "hub-1") : name(std::move(node)) {}
    void start(const Etcd& etcd) {
        const bool first = !std::filesystem::exists(state);
        std::optional<control::Document> document;
        if (first) document = protected_draft().document();
        hub = std::make_unique<TestHub>(state, std::move(document), false, control::Roles(),
                                        control::test::real_compiler(), control::SigningKeys(), std::string(),
                                        ManualKeys::witness);
        REQUIRE(hub->started);
        asker = std::make_unique<Asker>(*hub);
        agent.emplace(hub->socket(), etcd.options(), name);
        REQUIRE(comes_true([&] { return ledger()["witness"] == true; }));
    }
    void stop() {
        agent.reset();
        asker.reset();
        hub.reset();
    }
    json ledger() const { return asker->result("show.ledger"); }
    bool stands() const {
        return comes_true([&] { return ledger()["stands"] == true; });
    }
    bool is_refused(const std::string& words) const {
        const bool came = comes_true([&] {
            const json why = ledger()["refused"];
            return why.is_string() && why.get<std::string>().find(words) != std::string::npos;
        });
        if (!came) UNSCOPED_INFO(ledger().dump() << "\n" << agent->log());
        return came;
    }
    // An outbound SA's keys, made now; the ledger's birth is before that, by a second.
    json install(std::uint32_t spi, std::uint32_t number, const char* method = "sa.install") const {
        std::this_thread::sleep_for(std::chrono::milliseconds(1100));
        return asker->ask(method, {{"sas",
                                    {{{"tunnel", "kita-esp"},
                                      {"created", control::time_text(seconds_from_now(0))},
                                      {"outbound", {{"spi", spi}, {"key", key_text(number)}}}}}}});
    }
    // So that the same file, not a copy of it, can be put back: as when a whole machine is.
    void keep() const { std::filesystem::create_hard_link(file, directory / "kept"); }
    void put_back() const { std::filesystem::rename(directory / "kept", file); }
};

std::uint64_t epoch_in(const Etcd& etcd, const std::string& node = "hub-1") {
    return json::parse(etcd.get(ledger_key("hub", node)))["epoch"];
}

}  // namespace

TEST_CASE("witness: the store remembers the ledger, and an old copy or a lost one is found out",
          "[agent][keys][conformance-36]") {
    Etcd etcd;
    WitnessedNode node;
    node.start(etcd);
    CHECK(node.is_refused("nonce-ledger"));  // there is none
    REQUIRE(node.asker->result("ledger.new")["stands"] == true);
    const std::string ledger = node.ledger()["ledger"];
    REQUIRE(node.install(4096, 1).contains("result"));
    CHECK(etcd.ctl({"get", "--prefix", "--print-value-only", claims_prefix("hub")}).out == ledger + "\n");
    CHECK(epoch_in(etcd) == node.ledger()["epoch"]);
    node.stop();
    node.keep();

    node.start(etcd);  // an ordinary restart: it stands
    REQUIRE(node.stands());
    REQUIRE(node.install(5000, 2).contains("result"));
    node.stop();
    SECTION("an old copy") {
        node.put_back();
        node.start(etcd);
        CHECK(node.is_refused("an old copy: the ledger is at epoch"));
        CHECK(node.install(6000, 3)["error"]["data"]["name"] == "permission");
    }
    SECTION("the file lost, and the old copy put back afterwards") {
        std::filesystem::remove(node.file);
        node.start(etcd);
        CHECK(node.is_refused("nonce-ledger"));
        node.stop();
        node.put_back();
        node.start(etcd);
        CHECK(node.is_refused("an old copy: the ledger is at epoch"));
        // An engineer makes a new one: from then on nobody has heard of the old one.
        REQUIRE(node.asker->result("ledger.new")["stands"] == true);
        CHECK(node.ledger()["ledger"] != ledger);
        const json again = node.install(6000, 2);  // a key of the old ledger's
        CHECK(again["error"]["data"]["name"] == "exists");
        CHECK(again["error"]["message"].get<std::string>().find("is that of another node's ledger, " + ledger) !=
              std::string::npos);
        CHECK(node.install(6000, 3).contains("result"));
    }
    SECTION("a lost file, a new ledger, and then the last state of the lost one") {
        std::filesystem::create_hard_link(node.file, node.directory / "last");
        std::filesystem::remove(node.file);
        node.start(etcd);
        REQUIRE(node.asker->result("ledger.new")["stands"] == true);
        node.stop();
        std::filesystem::rename(node.directory / "last", node.file);
        node.start(etcd);
        CHECK(node.is_refused("the witness has never heard of ledger " + ledger));
    }
}

TEST_CASE("witness: without the store no new key is taken, what is there goes on, and afterwards all is well",
          "[agent][keys]") {
    Etcd etcd;
    WitnessedNode node;
    node.start(etcd);
    REQUIRE(node.asker->result("ledger.new")["stands"] == true);
    REQUIRE(node.install(4096, 1).contains("result"));
    etcd.stop();
    const json refused = node.install(5000, 2, "sa.rekey");
    CHECK(refused["error"]["data"]["name"] == "unavailable");
    CHECK(refused["error"]["message"].get<std::string>().find("witness: etcd http://") != std::string::npos);
    CHECK(node.asker->result("show.sa")["items"][0]["state"] == "current");
    CHECK(node.agent->says("the nonce ledger's witness: etcd http://"));
    node.stop();
    node.start(etcd);  // and a daemon that starts meanwhile takes none
    CHECK(node.is_refused("witness: etcd http://"));
    CHECK(node.install(5000, 2)["error"].is_object());
    etcd.start();
    REQUIRE(node.stands());
    CHECK(node.install(5000, 2).contains("result"));
    CHECK(comes_true([&] {
        const json state = etcd.state_of("hub-1");
        return state.is_object() && state["witness"].is_null();
    }));
}

TEST_CASE("witness: a key that one node uses is taken by no other", "[agent][keys]") {
    Etcd etcd;
    WitnessedNode first("hub-1"), second("hub-2");
    for (WitnessedNode* node : {&first, &second}) {
        node->start(etcd);
        REQUIRE(node->asker->result("ledger.new")["stands"] == true);
    }
    REQUIRE(first.install(4096, 1).contains("result"));
    const json refused = second.install(4096, 1);
    CHECK(refused["error"]["data"]["name"] == "exists");
    CHECK(second.install(4096, 2).contains("result"));
    CHECK(epoch_in(etcd, "hub-2") == second.ledger()["epoch"]);
}

TEST_CASE("witness: epochs only rise, claims are all or none, and another's change is seen", "[agent][keys]") {
    Etcd etcd;
    LedgerMemory memory(etcd.options(), "hub", "hub-1"), other(etcd.options(), "hub", "hub-1");
    CHECK(memory.epoch_of(kOne).value() == std::nullopt);
    CHECK_FALSE(memory.record(kOne, {7, "g"}));  // nobody has heard of it, and it is not new
    CHECK(memory.record(kOne, {1, ""}).error().words == "an epoch without a mark");
    REQUIRE(memory.record(kOne, {1, "a"}));
    REQUIRE(memory.record(kOne, {1, "a"}));  // asked again
    REQUIRE(memory.record(kOne, {2, "b"}));
    REQUIRE(other.record(kOne, {3, "c"}));
    CHECK(memory.record(kOne, {3, "d"}).error().words ==
          "the store has epoch 3 of a clone of it: one of the two must go");
    REQUIRE(memory.record(kOne, {3, "c"}));
    CHECK(memory.record(kOne, {2, "b"}).error().words == "the store has epoch 3 of it, which is later");
    CHECK(other.epoch_of(kOne).value() == LedgerMemory::Epoch{3, "c"});
    REQUIRE(memory.record(kTwo, {1, "e"}));
    CHECK(other.record(kOne, {4, "f"}).error().words == "the store has another ledger for this node: " + kTwo);
    CHECK(other.epoch_of(kOne).value() == std::nullopt);
    // What was recorded before there were marks has one of zeros.
    const std::string before = json{{"ledger", kOne}, {"epoch", 9}}.dump();
    REQUIRE(etcd.ctl({"put", ledger_key("hub", "hub-1"), before}).exit_code == 0);
    CHECK(memory.epoch_of(kOne).value() == LedgerMemory::Epoch{9, std::string(32, '0')});

    std::vector<std::string> keys;
    for (int i = 0; i < 250; ++i) keys.push_back(fmt::format("{:032x}", i));
    REQUIRE(memory.claim(kOne, {keys[240], keys[3]}));
    REQUIRE(memory.claim(kOne, {keys[3], keys[4]}));
    const auto refused = memory.claim(kTwo, keys);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::exists);
    std::vector<std::string> theirs(keys.begin() + 5, keys.begin() + 240);
    REQUIRE(memory.claim(kTwo, theirs));  // those it claimed before the one that it may not were given back
    REQUIRE_FALSE(memory.claim(kTwo, {keys[250 - 1], keys[240]}));
    REQUIRE(memory.claim(kOne, {keys[249]}));
    REQUIRE(etcd.ctl({"put", ledger_key("hub", "hub-1"), "[1]"}).exit_code == 0);
    CHECK(memory.epoch_of(kOne).error().words.find("ledgers/hub-1: is not") != std::string::npos);
}

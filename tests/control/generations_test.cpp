// Transactions and generations over a real socket: all or nothing, one after the other, kept over restarts.
#include "control/generations.hpp"

#include <catch2/catch.hpp>

#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

TEST_CASE("generations: a node that was never told anything runs generation 0, which is empty", "[control]") {
    TestHub hub;
    REQUIRE(hub.started);
    Asker asker(hub);
    CHECK(asker.result("show.generation")["generation"] == 0);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{0});
}

TEST_CASE("generations: a commit that does not validate changes nothing, names all errors, and leaves the transaction",
          "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json transaction = staged(asker, {"kita"});
    for (const char* id : {"t1", "t2"})
        asker.result("batch", {{"transaction", transaction},
                               {"put",
                                {{"translations",
                                  {{{"id", id},
                                    {"operator", "nobody"},
                                    {"kind", "prefix_map"},
                                    {"operator_prefix", "10.0.0.0/16"},
                                    {"hub_prefix", "100.64.0.0/16"}}}}}}});
    const json error = asker.error("commit", {{"transaction", transaction}});
    CHECK(error["data"]["errors"].size() >= 2);
    CHECK(error["message"].get<std::string>().find("nobody") != std::string::npos);
    CHECK(asker.result("show.generation")["generation"] == 0);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{0});
    CHECK_FALSE(std::filesystem::exists(hub.state->file()));

    asker.result("batch", {{"transaction", transaction}, {"delete", {{"translations", {"t1", "t2"}}}}});
    CHECK(asker.result("commit", {{"transaction", transaction}})["generation"] == 1);
}

TEST_CASE("generations: a commit that does not compile changes nothing and is audited as refused", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    REQUIRE(hub.started);
    Asker asker(hub);
    const json transaction = staged(asker, {"uncompilable"});
    const json error = asker.error("commit", {{"transaction", transaction}});
    CHECK(error["data"]["name"] == "unsupported");
    CHECK(asker.result("show.generation")["generation"] == 1);
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
    CHECK((*hub.state->load())->record.number == 1);
    const json last = hub.audit_lines().back();
    CHECK(last["what"] == "refused");
    CHECK(last["uid"] == ::getuid());
    CHECK(last["error"].get<std::string>().find("uncompilable") != std::string::npos);
}

TEST_CASE("generations: a commit whose state cannot be saved changes nothing", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    std::filesystem::create_directory(hub.state->file() + ".new");  // where the new file would be written
    const json transaction = staged(asker, {"minami"});
    CHECK(asker.error("commit", {{"transaction", transaction}})["data"]["name"] == "unavailable");
    CHECK(asker.result("show.generation")["generation"] == 1);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
    std::filesystem::remove(hub.state->file() + ".new");
    CHECK(asker.result("commit", {{"transaction", transaction}})["generation"] == 2);
}

TEST_CASE("generations: a commit publishes, counts what changed, saves and audits", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json result = asker.result("commit", {{"transaction", staged(asker, {"kita", "minami"})}});
    CHECK(result["base"] == 0);
    CHECK(result["generation"] == 1);
    CHECK(result["dry_run"] == false);
    CHECK(result["counts"]["operators"] == json({{"added", 2}, {"removed", 0}, {"changed", 0}}));
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{0, 1});
    CHECK((*hub.state->load())->record.number == 1);
    const json line = hub.audit_lines().back();
    CHECK(line["what"] == "commit");
    CHECK(line["generation"] == 1);
    CHECK(line["pid"] == ::getpid());
    CHECK(line["time"].get<std::string>().ends_with("+09:00"));
}

TEST_CASE("generations: a batch is applied whole or not at all, and its error names the place", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json transaction = staged(asker, {"kita"});
    json bad = an_operator("minami");
    bad["name"] = 3;
    const json error =
        asker.error("batch", {{"transaction", transaction}, {"put", {{"operators", {an_operator("chuo"), bad}}}}});
    CHECK(error["message"].get<std::string>().starts_with("put.operators[1]: "));
    CHECK(asker.error("batch", {{"transaction", transaction}, {"put", {{"operatorz", json::array()}}}})["message"] ==
          "put: no kind \"operatorz\"");
    CHECK(asker.error("batch", {{"transaction", transaction},
                                {"delete", {{"operators", {"nobody"}}}}})["data"]["name"] == "not_found");
    CHECK(asker.error("batch", {{"transaction", transaction}, {"put", 3}})["data"]["name"] == "invalid");
    asker.result("commit", {{"transaction", transaction}});
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
}

TEST_CASE("generations: with replace, what is not put is gone; without, it stays", "[control]") {
    TestHub hub({}, as_document(a_document({"kita", "minami"})));
    Asker asker(hub);
    asker.result("commit", {{"transaction", staged(asker, {"chuo"})}});
    CHECK(running_operators(asker) == std::vector<std::string>{"chuo", "kita", "minami"});
    asker.result("commit", {{"transaction", staged(asker, {"chuo"}, true)}});
    CHECK(running_operators(asker) == std::vector<std::string>{"chuo"});
}

TEST_CASE("generations: a commit that changes nothing makes no generation", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    const json result = asker.result("commit", {{"transaction", staged(asker, {"kita"}, true)}});
    CHECK(result["generation"] == 1);
    CHECK(result["counts"].empty());
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
    CHECK(asker.result("begin").contains("transaction"));  // the transaction has ended
}

TEST_CASE("generations: a dry run tells everything, changes nothing, and may be followed by the commit", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json transaction = staged(asker, {"kita"});
    const json dry = asker.result("commit", {{"transaction", transaction}, {"dry_run", true}});
    CHECK(dry["dry_run"] == true);
    CHECK(dry["generation"] == 1);
    CHECK(dry["counts"]["operators"]["added"] == 1);
    CHECK(asker.result("show.generation")["generation"] == 0);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{0});
    CHECK_FALSE(std::filesystem::exists(hub.state->file()));
    CHECK(hub.audit_lines().empty());
    CHECK(asker.result("commit", {{"transaction", transaction}})["generation"] == 1);
}

TEST_CASE("generations: of two transactions on one generation the second commit is a conflict that names both",
          "[control]") {
    TestHub hub;
    Asker first(hub);
    Asker second(hub);
    const json one = staged(first, {"kita"});
    const json two = staged(second, {"minami"});
    CHECK(first.result("commit", {{"transaction", one}})["generation"] == 1);
    const json error = second.error("commit", {{"transaction", two}});
    CHECK(error["code"] == 8);
    CHECK(error["data"] == json({{"name", "conflict"}, {"base", 0}, {"running", 1}}));
    CHECK(second.error("commit", {{"transaction", two}})["data"]["name"] == "not_found");
    CHECK(second.result("commit", {{"transaction", staged(second, {"minami"})}})["generation"] == 2);
    CHECK(running_operators(second) == std::vector<std::string>{"kita", "minami"});
}

TEST_CASE("generations: while a commit compiles, everything else is answered, and a second commit waits its turn",
          "[control]") {
    TestHub hub;
    Asker slow(hub);
    Asker waiting(hub);
    Asker other(hub);
    const json one = staged(slow, {"kita"});
    const json two = staged(waiting, {"minami"});
    const int calls = hub.compiler.calls;
    hub.compiler.hold();
    slow.send("commit", {{"transaction", one}});
    REQUIRE(comes_true([&] { return hub.compiler.calls == calls + 1; }));
    waiting.send("commit", {{"transaction", two}});
    CHECK(other.result("show.generation")["generation"] == 0);
    CHECK(other.result("show.drops")["items"].size() == 2);
    const json same = slow.error("batch", {{"transaction", one}, {"put", json::object()}});
    CHECK(same["message"].get<std::string>().find("is being committed") != std::string::npos);
    CHECK(slow.error("abort", {{"transaction", one}})["data"]["name"] == "exists");
    hub.compiler.let_go();
    CHECK(slow.answer()["result"]["generation"] == 1);
    CHECK(waiting.answer()["error"]["data"]["name"] == "conflict");
}

TEST_CASE("generations: a client that vanishes takes its transaction with it", "[control]") {
    TestHub hub;
    {
        Asker gone(hub);
        staged(gone, {"kita"});
    }
    Asker asker(hub);
    CHECK(comes_true([&] { return hub.clients() == 1; }));
    CHECK(asker.result("show.generation")["transactions"] == 0);
    CHECK(running_operators(asker).empty());
}

TEST_CASE("generations: a commit that was asked for whole is carried out though its client vanishes", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const int calls = hub.compiler.calls;
    hub.compiler.hold();
    {
        Asker gone(hub);
        gone.send("commit", {{"transaction", staged(gone, {"kita"})}});
        REQUIRE(comes_true([&] { return hub.compiler.calls == calls + 1; }));
    }
    hub.compiler.let_go();
    CHECK(comes_true([&] { return asker.result("show.generation")["generation"] == 1; }));
    CHECK(asker.result("show.generation")["transactions"] == 0);
}

TEST_CASE("generations: a transaction is its client's own, one at a time, and abort ends it", "[control]") {
    TestHub hub;
    Asker mine(hub);
    Asker yours(hub);
    const json transaction = staged(mine, {"kita"});
    CHECK(yours.error("commit", {{"transaction", transaction}})["data"]["name"] == "not_found");
    CHECK(yours.error("abort", {{"transaction", transaction}})["data"]["name"] == "not_found");
    CHECK(mine.error("begin")["data"]["name"] == "exists");
    mine.result("abort", {{"transaction", transaction}});
    CHECK(mine.error("commit", {{"transaction", transaction}})["data"]["name"] == "not_found");
    CHECK(running_operators(mine).empty());
}

TEST_CASE("generations: there are only so many transactions at a time", "[control]") {
    TestHub hub;
    std::vector<std::unique_ptr<Asker>> askers;
    for (int i = 0; i < 32; ++i) {
        askers.push_back(std::make_unique<Asker>(hub));
        askers.back()->result("begin");
    }
    Asker one_more(hub);
    CHECK(one_more.error("begin")["data"]["name"] == "limit");
    askers.pop_back();
    CHECK(comes_true([&] { return one_more.ask("begin").contains("result"); }));
}

TEST_CASE("generations: all transactions together may hold so many bytes, and what ends makes room", "[control]") {
    TestHub hub;
    hub.generations->limit_staged_bytes(1400);
    Asker asker(hub), other(hub);
    json many = json::array();
    for (int i = 0; i < 6; ++i) many.push_back(an_operator("operator-" + std::to_string(i)));
    const json first = asker.result("begin")["transaction"], second = other.result("begin")["transaction"];
    asker.result("batch", {{"transaction", first}, {"put", {{"operators", many}}}});
    const json refused = other.error("batch", {{"transaction", second}, {"put", {{"operators", many}}}});
    CHECK(refused["data"]["name"] == "limit");
    CHECK(refused["message"].get<std::string>().find("all open transactions together") != std::string::npos);
    other.result("batch", {{"transaction", second}, {"delete", json::object()}});  // it stands, without the batch
    asker.result("abort", {{"transaction", first}});
    CHECK(other.result("batch", {{"transaction", second}, {"put", {{"operators", many}}}})["objects"] == 6);
}

TEST_CASE("generations: diff tells what a transaction would change, against what runs now", "[control]") {
    TestHub hub({}, as_document(a_document({"kita", "minami"})));
    Asker asker(hub);
    const json transaction = staged(asker, {"kita", "chuo"}, true);
    const json diff = asker.result("diff", {{"transaction", transaction}});
    CHECK(diff["running"] == 1);
    CHECK(diff["counts"]["operators"] == json({{"added", 1}, {"removed", 1}, {"changed", 0}}));
    CHECK(diff["changes"].size() == 2);
    CHECK(diff["omitted"] == 0);
}

TEST_CASE("generations: a restart continues with the saved generation and its number", "[control]") {
    TemporaryDirectory kept;
    {
        TestHub hub(kept / "state");
        Asker asker(hub);
        asker.result("commit", {{"transaction", staged(asker, {"kita"})}});
        asker.result("commit", {{"transaction", staged(asker, {"minami"})}});
    }
    TestHub again(kept / "state", as_document(a_document({"unused"})));
    REQUIRE(again.started);
    Asker asker(again);
    CHECK(asker.result("show.generation")["generation"] == 2);
    CHECK(running_operators(asker) == std::vector<std::string>{"kita", "minami"});
    CHECK(again.node.generations() == std::vector<std::uint64_t>{2});
    CHECK(again.audit_lines().back()["what"] == "restore");
    CHECK(asker.result("commit", {{"transaction", staged(asker, {"chuo"})}})["generation"] == 3);
}

TEST_CASE("generations: an initial policy that is to replace the saved one becomes the next generation", "[control]") {
    TemporaryDirectory kept;
    { TestHub hub(kept / "state", as_document(a_document({"kita"}))); }
    TestHub again(kept / "state", as_document(a_document({"minami"})), true);
    REQUIRE(again.started);
    Asker asker(again);
    CHECK(asker.result("show.generation")["generation"] == 2);
    CHECK(running_operators(asker) == std::vector<std::string>{"minami"});
}

TEST_CASE("generations: a damaged state file is refused in words, never half used, and only replaced on request",
          "[control]") {
    TemporaryDirectory kept;
    { TestHub hub(kept / "state", as_document(a_document({"kita"}))); }
    const std::string file = kept / "state/generation";
    const auto content = [&file] {
        std::ifstream stream(file, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(stream), {});
    };
    const std::string good = content();
    std::string flipped = good;
    flipped[good.find("kita") + 1] = 'j';
    for (const auto& [bad, words] :
         std::vector<std::pair<std::string, std::string>>{{flipped, "checksum is wrong"},
                                                          {good.substr(0, good.size() - 5), "bytes and should have"},
                                                          {good.substr(0, 10), "first line has no end"},
                                                          {"", "first line has no end"},
                                                          {"{}\n{}", "does not describe a generation"},
                                                          {"\xff\xfe\n", "does not describe a generation"}}) {
        std::ofstream(file, std::ios::binary | std::ios::trunc) << bad;
        TestHub again(kept / "state", as_document(a_document({"minami"})));
        REQUIRE_FALSE(again.started);
        CHECK(again.started.error().words.find(words) != std::string::npos);
        CHECK(again.node.generations().empty());
        CHECK(content() == bad);
    }
    TestHub again(kept / "state", as_document(a_document({"minami"})), true);
    REQUIRE(again.started);
    CHECK((*again.state->load())->record.number == 1);
}

TEST_CASE("generations: a state directory has one daemon", "[control]") {
    TestHub hub;
    auto second = StateStore::open(hub.directory_of_state);
    REQUIRE_FALSE(second);
    CHECK(second.error().words.find("another daemon is using it") != std::string::npos);
}

TEST_CASE("generations: when a date comes, the running policy is compiled again under its number, and audited",
          "[control]") {
    TestHub hub;
    Asker asker(hub);
    hub.compiler.next_change = std::chrono::system_clock::now() + std::chrono::milliseconds(300);
    asker.result("commit", {{"transaction", staged(asker, {"kita"})}});
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{0, 1});
    REQUIRE(comes_true([&] { return hub.node.generations().size() == 3; }));
    CHECK(hub.node.generations().back() == 1);
    CHECK(asker.result("show.generation")["generation"] == 1);
    CHECK(hub.audit_lines().back()["what"] == "date");
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
}

TEST_CASE("state: CRC-32 is the one of IEEE 802.3", "[control]") {
    CHECK(crc32_of("123456789") == 0xcbf43926U);  // the check value of CRC-32/ISO-HDLC
    CHECK(crc32_of("") == 0);
}

TEST_CASE("generations: a label is its generation's, over a restart, and no other commit's", "[control]") {
    TemporaryDirectory kept;
    {
        TestHub hub(kept / "state");
        Asker asker(hub);
        CHECK(asker.result("show.generation")["label"].is_null());
        CHECK(asker.error("commit", {{"transaction", staged(asker, {"kita"})},
                                     {"label", std::string(257, 'x')}})["data"]["name"] == "invalid_params");
        asker.result("abort", {{"transaction", 1}});
        asker.result("commit", {{"transaction", staged(asker, {"kita"})}, {"label", "store@7"}});
        CHECK(asker.result("show.generation")["label"] == "store@7");
        // The same document again is no generation, and takes the new label.
        CHECK(asker.result("commit", {{"transaction", staged(asker, {"kita"})}, {"label", "store@8"}})["generation"] ==
              1);
        CHECK(asker.result("show.generation")["label"] == "store@8");
        asker.result("commit", {{"transaction", staged(asker, {"kita"})}});
        CHECK(asker.result("show.generation")["label"] == "store@8");
    }
    {
        TestHub again(kept / "state");
        Asker asker(again);
        CHECK(asker.result("show.generation")["label"] == "store@7");
        asker.result("commit", {{"transaction", staged(asker, {"minami"})}});
        CHECK(asker.result("show.generation")["label"].is_null());
    }
}

// Generations that must be confirmed, those that come back, and what a restart makes of both.
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "control/document_hash.hpp"
#include "control/state_file.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

json commit(Asker& asker, const std::vector<std::string>& operators, json more = json::object()) {
    more["transaction"] = staged(asker, operators, true);
    return asker.result("commit", more);
}
json refused(Asker& asker, const std::vector<std::string>& operators, json more = json::object()) {
    const json transaction = staged(asker, operators, true);
    more["transaction"] = transaction;
    json error = asker.error("commit", more);
    if (error["data"]["name"] != "conflict") asker.result("abort", {{"transaction", transaction}});
    return error;
}
// What `show generations` says of one: its state, or "" when it is not there.
std::string state_of(Asker& asker, std::uint64_t number) {
    const json all = asker.result("show.generations");
    for (const json& item : all["items"])
        if (item["generation"] == number) return item["state"];
    return "";
}

}  // namespace

TEST_CASE("confirm: where nothing waits, there is nothing to confirm and nothing to go back to", "[control]") {
    TestHub hub;
    Asker asker(hub);
    CHECK(asker.error("confirm")["data"]["name"] == "not_found");
    CHECK(asker.error("rollback")["data"]["name"] == "not_found");
    CHECK(asker.error("rollback", {{"generation", 7}})["message"] == "generation 7 is not kept; none is");
    CHECK(refused(asker, {"kita"}, {{"confirm", 5}})["message"].get<std::string>().find("nothing runs yet") !=
          std::string::npos);
    CHECK(refused(asker, {"kita"}, {{"confirm", 100'000}})["data"]["name"] == "invalid_params");
    CHECK(asker.result("show.generation")["generation"] == 0);
}

TEST_CASE("confirm: without it a generation is rolled back by itself, as a new one, and both are told", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    const json made = commit(asker, {"minami"}, {{"confirm", 1}});
    CHECK(made["generation"] == 2);
    CHECK(made["confirm_by"].is_string());
    CHECK(running_operators(asker) == std::vector<std::string>{"minami"});
    CHECK(asker.result("show.generation")["confirm_by"] == made["confirm_by"]);
    CHECK(state_of(asker, 1) == "good");
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 3; }));
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1, 2, 3});
    CHECK(asker.result("show.generation")["confirm_by"].is_null());
    CHECK(state_of(asker, 1) == "kept");
    CHECK(state_of(asker, 2) == "rolled_back");
    CHECK(state_of(asker, 3) == "running");
    const json last = hub.audit_lines().back();
    CHECK(last["what"] == "rollback");
    CHECK(last["of"] == 1);
    CHECK(last["reason"] == "not confirmed in time");
    CHECK((*hub.state->load())->record.number == 3);
    CHECK_FALSE(std::filesystem::exists(hub.state->unconfirmed_file()));
    CHECK(commit(asker, {"chuo"})["generation"] == 4);  // no number is given twice
}

TEST_CASE("confirm: a generation that is confirmed stays, by its number or without", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"}, {{"confirm", 1}});
    CHECK((*hub.state->load())->record.number == 1);  // the good one still is the old one
    CHECK(asker.error("confirm", {{"generation", 1}})["message"] == "generation 2 waits to be confirmed, not 1");
    CHECK(asker.result("confirm", {{"generation", 2}}) == json({{"confirmed", 2}}));
    CHECK((*hub.state->load())->record.number == 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(1300));
    CHECK(asker.result("show.generation")["generation"] == 2);
    CHECK(hub.audit_lines().back()["what"] == "confirm");
    CHECK(state_of(asker, 1) == "kept");
    CHECK(state_of(asker, 2) == "running");
}

TEST_CASE("confirm: while one waits, no other commit changes anything, and a dry run still answers", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"}, {{"confirm", 60}});
    const json error = refused(asker, {"chuo"});
    CHECK(error["data"]["name"] == "exists");
    CHECK(error["message"].get<std::string>().starts_with("generation 2 waits until "));
    CHECK(refused(asker, {"chuo"}, {{"confirm", 60}})["data"]["name"] == "exists");
    CHECK(asker.error("rollback", {{"generation", 1}, {"confirm", 60}})["data"]["name"] == "exists");
    const json dry = commit(asker, {"chuo"}, {{"dry_run", true}});
    CHECK(dry["counts"]["operators"]["added"] == 1);
    CHECK(asker.result("show.generation")["generation"] == 2);
}

TEST_CASE("confirm: a rollback that is asked for ends the waiting at once", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"}, {{"confirm", 60}});
    const json back = asker.result("rollback");
    CHECK(back["generation"] == 3);
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
    CHECK(asker.error("confirm")["data"]["name"] == "not_found");
    CHECK(asker.result("show.generation")["confirm_by"].is_null());
}

TEST_CASE("confirm: a disk that is full does not keep an unconfirmed generation running", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"}, {{"confirm", 60}});
    std::filesystem::create_directory(hub.state->file() + ".new");  // where the file would be written
    CHECK(asker.result("rollback")["generation"] == 3);
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
    CHECK((*hub.state->load())->record.number == 1);  // of the same document: what a restart begins with
}

TEST_CASE("confirm: if it cannot be recorded, the generation waits on", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"}, {{"confirm", 2}});
    const std::string away = hub.directory_of_state + "/away";
    std::filesystem::rename(hub.state->unconfirmed_file(), away);
    CHECK(asker.error("confirm")["data"]["name"] == "unavailable");
    CHECK(asker.result("show.generation")["confirm_by"].is_string());
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 3; }));
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
}

TEST_CASE("confirm: a restart counts as its rollback; no number is used again", "[control]") {
    TemporaryDirectory kept;
    {
        TestHub hub(kept / "state", as_document(a_document({"kita"})));
        Asker asker(hub);
        commit(asker, {"minami"}, {{"confirm", 600}});
    }
    {
        TestHub again(kept / "state");
        REQUIRE(again.started);
        Asker asker(again);
        CHECK(asker.result("show.generation")["generation"] == 3);
        CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
        CHECK(asker.result("show.generation")["confirm_by"].is_null());
        CHECK(state_of(asker, 2) == "rolled_back");
        const json line = again.audit_lines().back();
        CHECK(line["what"] == "rollback");
        CHECK(line["unconfirmed"] == 2);
        CHECK(asker.result("show.drift")["drift"] == false);
    }
    TestHub third(kept / "state");
    Asker asker(third);
    CHECK(asker.result("show.generation")["generation"] == 3);
    CHECK(third.audit_lines().back()["what"] == "restore");
}

TEST_CASE("rollback: an old document comes back as a new generation, and can be tried out and confirmed", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"});
    commit(asker, {"chuo"});
    const json dry = asker.result("rollback", {{"generation", 1}, {"dry_run", true}});
    CHECK(dry["counts"]["operators"] == json({{"added", 1}, {"removed", 1}, {"changed", 0}}));
    CHECK(running_operators(asker) == std::vector<std::string>{"chuo"});
    const json back = asker.result("rollback", {{"generation", 1}, {"confirm", 60}});
    CHECK(back["generation"] == 4);
    CHECK(back["confirm_by"].is_string());
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
    CHECK(asker.result("confirm")["confirmed"] == 4);
    const json items = asker.result("show.generations")["items"];
    REQUIRE(items.size() == 4);
    CHECK(items[3]["what"] == "rollback");
    CHECK(items[3]["of"] == 1);
    CHECK(items[3]["hash"] == items[0]["hash"]);
    CHECK(items[3]["rules_version"] == "2026-04");
    CHECK(items[3]["uid"] == ::getuid());
    CHECK(asker.error("rollback", {{"generation", 4}})["message"] == "generation 4 is the one that runs");
}

TEST_CASE("rollback: so many old documents are kept and no more, and a damaged one is refused", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    for (std::size_t i = 0; i < StateStore::kKeep + 3; ++i) commit(asker, {i % 2 == 0 ? "minami" : "chuo"});
    const json items = asker.result("show.generations")["items"];
    CHECK(items.size() == StateStore::kKeep + 1);
    CHECK(items.front()["generation"] == 4);
    CHECK(asker.error("rollback", {{"generation", 3}})["message"].get<std::string>().starts_with(
        "generation 3 is not kept; there are 4, 5"));
    std::ofstream(hub.state->kept_file(5, true), std::ios::app) << "x";
    CHECK(asker.error("rollback", {{"generation", 5}})["message"].get<std::string>().find("is damaged") !=
          std::string::npos);
    CHECK(asker.result("rollback", {{"generation", 7}})["generation"] == StateStore::kKeep + 5);
}

TEST_CASE("drift: what runs, what is stored and what is wanted are compared by their hashes", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    const std::string hash = asker.result("show.generation")["hash"];
    CHECK(asker.result("show.drift", {{"desired", hash}})["drift"] == false);
    const json other = asker.result("show.drift", {{"desired", std::string(64, '0')}});
    CHECK(other["drift"] == true);
    CHECK(other["differences"] == json({"what runs is not what was named as desired"}));
    CHECK(asker.error("show.drift", {{"desired", "abc"}})["data"]["name"] == "invalid_params");
    commit(asker, {"minami"}, {{"confirm", 60}});
    CHECK(asker.result("show.drift")["differences"] == json({"generation 2 waits to be confirmed"}));
    CHECK(asker.result("show.drift")["stored"]["generation"] == 2);
    asker.result("confirm");
    CHECK(asker.result("show.drift")["drift"] == false);
    std::ofstream(hub.state->file(), std::ios::app) << "x";
    CHECK(asker.result("show.drift")["differences"][0].get<std::string>().find("is damaged") != std::string::npos);
}

TEST_CASE("drift: a document has one hash however it was written, and its file one that sha256sum finds", "[control]") {
    TestHub hub({}, as_document(a_document({"kita", "minami"})));
    TestHub other({}, as_document(a_document({"minami", "kita"})));
    Asker asker(hub), others(other);
    const std::string hash = asker.result("show.generation")["hash"];
    CHECK(others.result("show.generation")["hash"] == hash);
    std::FILE* const pipe = ::popen(("tail -n +2 " + hub.state->file() + " | sha256sum").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 65> said{};
    CHECK(std::fread(said.data(), 1, 64, pipe) == 64);
    ::pclose(pipe);
    CHECK(json::parse(*read_first_line(hub.state->file()))["sha256"] == said.data());
}

TEST_CASE("hash: change by change it is that of the whole, and the length of the text is told with it", "[control]") {
    sekisho::test::Random random("hash, change by change");
    Document document;
    DocumentDigest digest;
    std::map<std::string, std::string> seen;  // by hash: the text
    const std::size_t steps = sekisho::test::kSanitized ? 100 : 300;
    for (std::size_t step = 0; step < steps; ++step) {
        Document next = document;
        for (std::uint64_t edits = random.below(4); edits > 0; --edits) {
            const std::string id = "operator-" + std::to_string(random.below(60));
            json object = an_operator(id);
            object["name"] = "name " + std::to_string(random.below(5));
            if (random.one_in(3))
                static_cast<void>(next.erase("operators", id));
            else
                REQUIRE(next.put("operators", object));
        }
        if (random.one_in(10)) REQUIRE(next.put("hub", a_document({})["hub"]));
        digest.change(document, next);
        document = next;
        const DocumentHash hash = digest.hash();
        REQUIRE(hash.text == hash_of(document).text);
        REQUIRE(hash.bytes == document.text().size());
        REQUIRE(seen.try_emplace(hash.text, document.text()).first->second == document.text());
    }
    CHECK(seen.size() > steps / 3);
}

TEST_CASE("state: the directory and what is in it are its owner's alone", "[control]") {
    TemporaryDirectory kept;
    std::filesystem::create_directory(kept / "state");
    ::chmod((kept / "state").c_str(), 0755);
    TestHub hub(kept / "state", as_document(a_document({"kita"})));
    Asker asker(hub);
    commit(asker, {"minami"});
    const auto mode = [](const std::string& path) {
        struct stat found {};
        REQUIRE(::stat(path.c_str(), &found) == 0);
        return found.st_mode & 0777;
    };
    CHECK(mode(kept / "state") == 0700);
    for (const char* file : {"generation", "audit.jsonl", "lock", "kept/1"})
        CHECK(mode(kept / "state" + ("/" + std::string(file))) == 0600);
}

TEST_CASE("state: what the version before kept is begun with", "[control]") {
    TemporaryDirectory kept;
    const std::string text = as_document(a_document({"kita"})).text();
    std::filesystem::create_directory(kept / "state");
    const json line = {{"format", 1},
                       {"generation", 41},
                       {"committed", "2026-10-01T09:00:00+09:00"},
                       {"bytes", text.size()},
                       {"crc32", crc32_of(text)}};
    std::ofstream(kept / "state/generation") << line.dump() << "\n" << text;
    TestHub hub(kept / "state");
    REQUIRE(hub.started);
    Asker asker(hub);
    const json shown = asker.result("show.generation");
    CHECK(shown["generation"] == 41);
    CHECK(shown["committed"] == "2026-10-01T09:00:00+09:00");
    CHECK(commit(asker, {"minami"})["generation"] == 42);
    CHECK(asker.result("rollback", {{"generation", 41}})["generation"] == 43);
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
}

TEST_CASE("allocations: numbers leave the plan once they have rested; a rollback is not held to that", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const auto commit = [&](json change) {
        const json transaction = asker.result("begin")["transaction"];
        change["transaction"] = transaction;
        asker.result("batch", change);
        const json answer = asker.ask("commit", {{"transaction", transaction}});
        if (answer.contains("error")) asker.result("abort", {{"transaction", transaction}});
        return answer;
    };
    const auto state = [&] { return asker.result("show.allocations")["items"][0]; };
    json document = a_document({"kita"});
    document["hub"]["hold_down_days"] = 10;
    REQUIRE(commit({{"put", document}}).contains("result"));
    json allocation = {{"id", "x"}, {"operator", "kita"}, {"prefix", "100.70.0.0/16"}};
    REQUIRE(commit({{"put", {{"allocations", {allocation}}}}}).contains("result"));
    CHECK(state()["state"] == "allocated");
    CHECK(state()["free_from"] == nullptr);
    const json gone = {{"delete", {{"allocations", {"x"}}}}};
    CHECK(commit(gone)["error"]["message"] ==
          "allocations \"x\" .released: is missing: an allocation in use cannot go");
    allocation["released"] = hub.in(std::chrono::seconds(0)).substr(0, 10);
    REQUIRE(commit({{"put", {{"allocations", {allocation}}}}}).contains("result"));
    CHECK(state()["state"] == "held");
    CHECK(commit(gone)["error"].is_object());
    hub.advance(std::chrono::hours(24 * 10));
    CHECK(state()["free_from"] == hub.in(std::chrono::seconds(0)).substr(0, 10));
    REQUIRE(commit(gone).contains("result"));
    asker.result("rollback", {{"generation", 2}});
    CHECK(state()["state"] == "allocated");
    asker.result("rollback", {{"generation", 1}});
    CHECK(asker.result("show.allocations")["items"].empty());
}

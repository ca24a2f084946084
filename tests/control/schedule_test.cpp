// Changes that come into force at a time, by a clock that the test moves.
#include <catch2/catch.hpp>

#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

json schedule(Asker& asker, const std::vector<std::string>& operators, const std::string& at, bool dry_run = false) {
    return asker.result("commit",
                        {{"transaction", staged(asker, operators, true)}, {"effective_at", at}, {"dry_run", dry_run}});
}
json items(Asker& asker) {
    return asker.result("show.schedule")["items"];
}
// An operator with another name than it had.
void rename(Asker& asker, const std::string& id, const std::string& name) {
    json changed = an_operator(id);
    changed["name"] = name;
    const json transaction = asker.result("begin")["transaction"];
    asker.result("batch", {{"transaction", transaction}, {"put", {{"operators", {changed}}}}});
    asker.result("commit", {{"transaction", transaction}});
}

using std::chrono::hours;

}  // namespace

TEST_CASE("schedule: a time that has passed, is none, or is to be confirmed too is refused", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    const json transaction = staged(asker, {"minami"});
    const auto error = [&](json more) {
        more["transaction"] = transaction;
        return asker.error("commit", more)["message"].get<std::string>();
    };
    CHECK(error({{"effective_at", "2020-01-01"}}).find("is not in the future") != std::string::npos);
    CHECK(error({{"effective_at", "tomorrow"}}).find("neither a date") != std::string::npos);
    CHECK(error({{"effective_at", "2099-01-01T00:00:00Z"}}).find("+09:00") != std::string::npos);
    CHECK(error({{"effective_at", "2099-01-01"}, {"confirm", 5}}).find("takes effect now") != std::string::npos);
    CHECK(items(asker).empty());
    CHECK(asker.error("schedule.cancel", {{"id", 1}})["data"]["name"] == "not_found");
}

TEST_CASE("schedule: a dry run tells what would change then, and stages nothing", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    const json dry = schedule(asker, {"minami"}, "2099-01-01", true);
    CHECK(dry["counts"]["operators"] == json({{"added", 1}, {"removed", 1}, {"changed", 0}}));
    CHECK(dry["scheduled"].is_null());
    CHECK(items(asker).empty());
}

TEST_CASE("schedule: what is compiled for a time is compiled for that time", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    schedule(asker, {"minami"}, "2099-01-01", true);
    CHECK(time_text(hub.compiler.last_now) == "2099-01-01T00:00:00+09:00");
}

TEST_CASE("schedule: a change comes into force at its time and not before, as a generation of its own", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    const json made = schedule(asker, {"kita", "minami"}, hub.in(hours(2)));
    CHECK(made["scheduled"] == 1);
    CHECK(made["generation"] == 1);
    CHECK(hub.audit_lines().back()["what"] == "schedule");
    REQUIRE(items(asker).size() == 1);
    CHECK(items(asker)[0]["counts"]["operators"]["added"] == 1);
    CHECK(items(asker)[0]["fits"] == true);
    hub.advance(hours(1));
    CHECK(asker.result("show.generation")["generation"] == 1);
    hub.advance(hours(2));
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 2; }));
    CHECK(running_operators(asker) == std::vector<std::string>{"kita", "minami"});
    CHECK(items(asker).empty());
    CHECK(std::filesystem::is_empty(hub.directory_of_state + "/scheduled"));
    const json last = hub.audit_lines().back();
    CHECK(last["what"] == "commit");
    CHECK(last["scheduled"] == 1);
    CHECK(last["pid"] == ::getpid());
}

TEST_CASE("schedule: commits in between are not undone", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    schedule(asker, {"kita", "minami"}, hub.in(hours(2)));
    asker.result("commit", {{"transaction", staged(asker, {"chuo"})}});
    hub.advance(hours(3));
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 3; }));
    CHECK(running_operators(asker) == std::vector<std::string>{"chuo", "kita", "minami"});
}

TEST_CASE("schedule: a commit to the same object is warned of at once, and the change fails at its time by name",
          "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    json changed = an_operator("kita");
    changed["name"] = "north";
    json transaction = asker.result("begin")["transaction"];
    asker.result("batch", {{"transaction", transaction}, {"put", {{"operators", {changed}}}}});
    asker.result("commit", {{"transaction", transaction}, {"effective_at", hub.in(hours(2))}});
    changed["name"] = "south";
    transaction = asker.result("begin")["transaction"];
    asker.result("batch", {{"transaction", transaction}, {"put", {{"operators", {changed}}}}});
    const json made = asker.result("commit", {{"transaction", transaction}});
    CHECK(made["warnings"].dump().find("it will not come into force") != std::string::npos);
    CHECK(made["warnings"].dump().find("kita") != std::string::npos);
    CHECK(items(asker)[0]["fits"] == false);
    hub.advance(hours(3));
    REQUIRE(comes_true([&] { return items(asker)[0]["failed"] == true; }));
    CHECK(items(asker)[0]["words"].get<std::string>().find("was changed by another commit") != std::string::npos);
    CHECK(asker.result("show.generation")["generation"] == 2);
    CHECK(hub.audit_lines().back()["what"] == "refused");
    hub.advance(hours(1));  // it is not tried over and over
    CHECK(hub.audit_lines().back()["scheduled"] == 1);
    CHECK(asker.result("schedule.cancel", {{"id", 1}}) == json({{"cancelled", 1}}));
    CHECK(items(asker).empty());
    CHECK(hub.audit_lines().back()["what"] == "schedule.cancel");
}

TEST_CASE("schedule: what was cancelled does not come into force", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    schedule(asker, {"minami"}, hub.in(hours(2)));
    asker.result("schedule.cancel", {{"id", 1}});
    hub.advance(hours(3));
    rename(asker, "kita", "north");  // behind whatever came due
    CHECK(running_operators(asker) == std::vector<std::string>{"kita"});
    CHECK(asker.result("show.generation")["generation"] == 2);
}

TEST_CASE("schedule: two that come due together go in the order of their times", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    schedule(asker, {"kita", "minami"}, hub.in(hours(3)));
    schedule(asker, {"kita", "chuo"}, hub.in(hours(2)));
    hub.advance(hours(4));
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 3; }));
    std::vector<int> order;
    for (const json& line : hub.audit_lines())
        if (line["what"] == "commit") order.push_back(line["scheduled"]);
    CHECK(order == std::vector<int>{2, 1});
    CHECK(running_operators(asker) == std::vector<std::string>{"chuo", "kita", "minami"});
}

TEST_CASE("schedule: while a generation waits to be confirmed, what is due waits too", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    schedule(asker, {"kita", "minami"}, hub.in(hours(2)));
    asker.result("commit", {{"transaction", staged(asker, {"chuo"})}, {"confirm", 60}});
    hub.advance(hours(3));
    CHECK(asker.result("show.generation")["generation"] == 2);
    asker.result("confirm");
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 3; }));
    CHECK(running_operators(asker) == std::vector<std::string>{"chuo", "kita", "minami"});
}

TEST_CASE("schedule: it is kept over a restart, and what came due meanwhile comes into force then", "[control]") {
    TemporaryDirectory kept;
    const auto soon = std::chrono::seconds(3);
    {
        TestHub hub(kept / "state", as_document(a_document({"kita"})));
        Asker asker(hub);
        schedule(asker, {"chuo", "kita"}, "2099-01-01");
        schedule(asker, {"kita", "minami"}, hub.in(soon));  // the last thing here: it is real time
    }
    std::this_thread::sleep_for(soon);
    TestHub again(kept / "state");
    REQUIRE(again.started);
    Asker asker(again);
    REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 2; }));
    CHECK(running_operators(asker) == std::vector<std::string>{"kita", "minami"});
    REQUIRE(items(asker).size() == 1);
    CHECK(items(asker)[0]["id"] == 1);
    CHECK(items(asker)[0]["fits"] == true);
}

TEST_CASE("schedule: done again after a crash between its commit and its removal, it changes nothing", "[control]") {
    TemporaryDirectory kept;
    std::string file, content;
    {
        TestHub hub(kept / "state", as_document(a_document({"kita"})));
        Asker asker(hub);
        schedule(asker, {"minami"}, hub.in(hours(1)));
        file = hub.directory_of_state + "/scheduled/1";
        std::ifstream stream(file);
        content.assign(std::istreambuf_iterator<char>(stream), {});
        hub.advance(hours(2));
        REQUIRE(comes_true([&] { return asker.result("show.generation")["generation"] == 2; }));
    }
    std::ofstream(file) << content;
    TestHub again(kept / "state");
    Asker asker(again);
    again.advance(hours(2));
    REQUIRE(comes_true([&] { return items(asker).empty(); }));
    CHECK(asker.result("show.generation")["generation"] == 2);
    CHECK_FALSE(std::filesystem::exists(file));
}

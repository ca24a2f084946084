// sekishoctl from outside: the real program against a real socket, with a node that only remembers behind it.
#include <catch2/catch.hpp>

#include "control/text_table.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/control/program_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

Ran ctl(const std::vector<std::string>& arguments) {
    return run(path_from("SEKISHOCTL"), arguments);
}
Ran ctl(const TestHub& hub, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", hub.socket()});
    return ctl(arguments);
}

}  // namespace

TEST_CASE("sekishoctl: a wrong command line is exit code 2, with words on standard error", "[control][sekishoctl]") {
    for (const std::vector<std::string>& arguments :
         std::vector<std::vector<std::string>>{{},
                                               {"shwo"},
                                               {"show"},
                                               {"show", "everything"},
                                               {"show", "ports", "--all"},
                                               {"apply"},
                                               {"explain", "--source", "10.0.0.1"},
                                               {"explain", "--attachment", "a", "--source", "b", "--destination", "c",
                                                "--protocol", "tcp", "--destination-port", "65536"},
                                               {"version", "--jsn"}}) {
        const Ran ran = ctl(arguments);
        for (const std::string& argument : arguments) UNSCOPED_INFO(argument);
        CHECK(ran.exit_code == 2);
        CHECK(ran.out.empty());
        CHECK_FALSE(ran.err.empty());
    }
}

TEST_CASE("sekishoctl: without a daemon it is exit code 3, and says which socket", "[control][sekishoctl]") {
    TemporaryDirectory directory;
    write_file(directory / "policy.json", a_document({"kita"}).dump());
    const std::string socket = directory / "none";
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"show", "drops"},
                                               {"diff", directory / "policy.json"},
                                               {"apply", directory / "policy.json"},
                                               {"wait-ready", "--timeout", "0.1"}}) {
        std::vector<std::string> arguments = {"--socket", socket};
        arguments.insert(arguments.end(), command.begin(), command.end());
        const Ran ran = ctl(arguments);
        CHECK(ran.exit_code == 3);
        CHECK(ran.err.find(socket) != std::string::npos);
    }
    const Ran ran = ctl({"--json", "--socket", socket, "show", "drops"});
    CHECK(ran.exit_code == 3);
    CHECK(json::parse(ran.err)["error"]["data"]["name"] == "unreachable");
    CHECK(ctl({"version", "--socket", socket}).exit_code == 0);
}

TEST_CASE("sekishoctl: check needs no daemon and names everything that is wrong", "[control][sekishoctl]") {
    TemporaryDirectory directory;
    const std::string file = directory / "policy.json";
    write_file(file, a_document({"kita"}).dump());
    const Ran good = ctl({"check", file});
    CHECK(good.exit_code == 0);
    CHECK(good.out.find("valid, 2 objects") != std::string::npos);
    CHECK(json::parse(ctl({"check", file, "--json"}).out)["valid"] == true);

    json bad = a_document({"kita"});
    bad["operators"][0]["name"] = 1;
    bad["operatorz"] = json::array();
    write_file(file, bad.dump());
    const Ran refused = ctl({"check", file});
    CHECK(refused.exit_code == 1);
    CHECK(refused.err.find("operatorz") != std::string::npos);
    CHECK(refused.err.find("kita") != std::string::npos);
    CHECK(json::parse(ctl({"--json", "check", file}).err)["error"]["data"]["errors"].size() == 2);

    write_file(file, "{\"hub\": ");
    CHECK(ctl({"check", file}).exit_code == 1);
    CHECK(ctl({"check", file}).err.find("line 1") != std::string::npos);
    CHECK(ctl({"check", directory / "nowhere.json"}).exit_code == 1);
}

TEST_CASE("sekishoctl: diff is exit code 4 when the file differs and 0 when it does not", "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    const std::string file = hub.directory / "policy.json";
    write_file(file, a_document({"kita"}).dump());
    const Ran same = ctl(hub, {"diff", file});
    CHECK(same.exit_code == 0);
    CHECK(same.out.find("no difference") != std::string::npos);
    write_file(file, a_document({"minami"}).dump());
    const Ran different = ctl(hub, {"diff", file});
    CHECK(different.exit_code == 4);
    CHECK(different.out.find("+ operators minami") != std::string::npos);
    CHECK(different.out.find("- operators kita") != std::string::npos);
    const Ran as_json = ctl(hub, {"diff", file, "--json"});
    CHECK(as_json.exit_code == 4);
    CHECK(json::parse(as_json.out)["changes"].size() == 2);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
}

TEST_CASE("sekishoctl: apply makes a generation, says which, and what is applied is what is shown",
          "[control][sekishoctl]") {
    TestHub hub;
    const std::string file = hub.directory / "policy.json";
    write_file(file, a_document({"kita", "minami"}).dump());
    const Ran dry = ctl(hub, {"apply", file, "--dry-run"});
    CHECK(dry.exit_code == 0);
    CHECK(dry.out == "dry run: would follow generation 0: hub +1 -0 ~0, operators +2 -0 ~0\n");
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{0});
    const Ran applied = ctl(hub, {"apply", file});
    CHECK(applied.exit_code == 0);
    CHECK(applied.out.find("generation 1 runs, after 0: hub +1 -0 ~0, operators +2 -0 ~0\n") != std::string::npos);
    CHECK(ctl(hub, {"apply", file}).out == "generation 1 stands: no difference\n");
    const Ran shown = ctl(hub, {"show", "policy"});
    CHECK(json::parse(shown.out) == a_document({"kita", "minami"}));
}

TEST_CASE("sekishoctl: an apply that the daemon refuses is exit code 1 and changes nothing", "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    const std::string file = hub.directory / "policy.json";
    write_file(file, a_document({"uncompilable"}).dump());
    const Ran ran = ctl(hub, {"apply", file});
    CHECK(ran.exit_code == 1);
    CHECK(ran.out.empty());
    CHECK(ran.err.find("cannot be compiled") != std::string::npos);
    const Ran as_json = ctl(hub, {"--json", "apply", file});
    CHECK(json::parse(as_json.err)["error"]["data"]["name"] == "unsupported");
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
    Asker asker(hub);
    CHECK(comes_true([&] { return asker.result("show.generation")["transactions"] == 0; }));
}

TEST_CASE("sekishoctl: a file that is no policy is refused with all that is wrong with it, and changes nothing",
          "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    const std::string file = hub.directory / "policy.json";
    json twice = a_document({"kita", "minami", "kita"});
    json unknown = a_document({"kita"});
    unknown["operatorz"] = json::array({an_operator("chuo")});
    json no_hub = a_document({"kita"});
    no_hub.erase("hub");
    json two_bad = a_document({"kita", "minami"});
    two_bad["operators"][0]["name"] = 1;
    two_bad["operators"][1]["colour"] = "red";
    const std::vector<std::pair<std::string, std::string>> files = {{twice.dump(), "kita"},
                                                                    {unknown.dump(), "operatorz"},
                                                                    {no_hub.dump(), "hub"},
                                                                    {two_bad.dump(), "minami"},
                                                                    {a_document({"kita"}).dump() + "}", "line 1"},
                                                                    {"[]", "object"},
                                                                    {"", "line 1"}};
    for (const auto& [content, words] : files) {
        write_file(file, content);
        for (const char* command : {"apply", "diff"}) {
            const Ran ran = ctl(hub, {command, file});
            INFO(content << "\n" << ran.err);
            CHECK(ran.exit_code == 1);
            CHECK(ran.out.empty());
            CHECK(ran.err.find(words) != std::string::npos);
            CHECK(json::parse(ctl(hub, {command, file, "--json"}).err).contains("error"));  // one line
        }
    }
    CHECK(ctl(hub, {"apply", hub.directory / "nowhere.json"}).exit_code == 1);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
}

TEST_CASE("sekishoctl: a policy of many batches and pages goes there and back whole", "[control][sekishoctl]") {
    std::vector<std::string> ids;
    for (int i = 0; i < 5000; ++i) ids.push_back("operator-" + std::to_string(10000 + i));
    const json document = a_document(ids);
    TestHub hub;
    const std::string file = hub.directory / "policy.json";
    write_file(file, document.dump());
    REQUIRE(document.dump().size() > 3 * (std::size_t{256} << 10));
    CHECK(ctl(hub, {"apply", file}).exit_code == 0);
    CHECK(json::parse(ctl(hub, {"show", "policy"}).out) == document);
    CHECK(json::parse(ctl(hub, {"show", "operators", "--json"}).out)["items"].size() == 5000);
    CHECK(ctl(hub, {"diff", file}).exit_code == 0);
    CHECK(json::parse(ctl(hub, {"show", "neighbours", "--json"}).out)["items"].size() == 2500);
}

TEST_CASE("sekishoctl: every show prints a table for people and JSON for programs", "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    for (const char* what :
         {"generation", "operators",  "allocations", "attachments", "tunnels",  "institutions", "translations",
          "agreements", "routes",     "gates",       "ports",       "counters", "drops",        "stages",
          "workers",    "neighbours", "tables",      "policy",      "sa",       "ledger",       "compliance"}) {
        INFO(what);
        const Ran table = ctl(hub, {"show", what});
        CHECK(table.exit_code == 0);
        CHECK(table.out.size() > 5);
        CHECK(table.err.empty());
        const Ran as_json = ctl(hub, {"show", what, "--json"});
        CHECK(as_json.exit_code == 0);
        CHECK(json::parse(as_json.out).is_object());
    }
}

TEST_CASE("sekishoctl: show drops prints reason, count, rule and sentence", "[control][sekishoctl]") {
    TestHub hub;
    const Ran ran = ctl(hub, {"show", "drops"});
    CHECK(
        ran.out ==
        "REASON        COUNT  RULE            SENTENCE\n"
        "no_agreement      3  1-2             no agreement lets this source reach this destination with this protocol "
        "and port\n"
        "ttl_expired       1  RFC 1812 5.3.1  the TTL or hop limit ran out here\n");
    CHECK(json::parse(ctl(hub, {"show", "drops", "--all", "--json"}).out)["items"].size() == kDropReasonCount);
}

TEST_CASE("sekishoctl: explain prints each decision, and what is wrong with the question", "[control][sekishoctl]") {
    TestHub hub;
    std::vector<std::string> packet = {"explain",  "--attachment",       "kita-1",     "--source",
                                       "10.0.0.1", "--destination",      "100.64.0.1", "--protocol",
                                       "tcp",      "--destination-port", "443"};
    const Ran passes = ctl(hub, packet);
    CHECK(passes.exit_code == 0);
    CHECK(passes.out ==
          "STAGE  DECISION\nparse  protocol 6\nleaves by kita-1: 10.0.0.1 -> 100.64.0.1, next hop 192.0.2.2\n");
    packet.back() = "80";
    CHECK(ctl(hub, packet).out.find("dropped: no_agreement: ") != std::string::npos);
    packet.push_back("--json");
    CHECK(json::parse(ctl(hub, packet).out)["drop"]["rule"] == "1-2");
    packet[2] = "kita-2";
    const Ran refused = ctl(hub, packet);
    CHECK(refused.exit_code == 1);
    CHECK(refused.err.find("kita-2") != std::string::npos);
}

TEST_CASE("sekishoctl: schema, version and wait-ready answer", "[control][sekishoctl]") {
    TestHub hub;
    CHECK(json::parse(ctl({"schema"}).out).contains("$schema"));
    const json version = json::parse(ctl(hub, {"version", "--json"}).out);
    CHECK(version["daemon"]["version"] == "test");
    CHECK(version.contains("sekishoctl"));
    CHECK(ctl(hub, {"wait-ready", "--timeout", "5"}).exit_code == 0);
}

TEST_CASE("text table: Japanese names take two columns a character", "[control][sekishoctl]") {
    CHECK(shown_width("関所") == 4);
    CHECK(shown_width("ｾｷｼｮ") == 4);
    CHECK(shown_width("é") == 1);
    CHECK(shown_width("\xff") == 1);  // no UTF-8, and no harm
    TextTable table({{"NAME"}, {"COUNT", TextTable::Align::right}});
    table.add({"関所", "7"});
    table.add({"gate", "10"});
    CHECK(table.text() == "NAME  COUNT\n関所      7\ngate     10\n");
}

// The methods of the control socket: what they answer, and what they refuse.
#include "control/service.hpp"

#include <set>

#include <catch2/catch.hpp>

#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

TEST_CASE("service: a method that does not exist is refused by name", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json error = asker.error("shwo.drops");
    CHECK(error["code"] == -32601);
    CHECK(error["message"] == "there is no method \"shwo.drops\"");
}

TEST_CASE("service: a parameter that no method knows is refused, so that a typing error commits nothing", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json transaction = asker.result("begin")["transaction"];
    asker.result("batch", {{"transaction", transaction}, {"put", a_document({"kita"})}});
    const json error = asker.error("commit", {{"transaction", transaction}, {"dry_rum", true}});
    CHECK(error["code"] == -32602);
    CHECK(error["message"].get<std::string>().find("dry_rum") != std::string::npos);
    CHECK(asker.result("version")["generation"] == 0);
}

TEST_CASE("service: missing and mistyped parameters are named", "[control]") {
    TestHub hub;
    Asker asker(hub);
    CHECK(asker.error("commit")["message"] == "parameter \"transaction\": is missing");
    CHECK(asker.error("commit", {{"transaction", "1"}})["message"] ==
          "parameter \"transaction\": a whole number is expected");
    CHECK(asker.error("begin", {{"replace", 1}})["message"] == "parameter \"replace\": true or false is expected");
    CHECK(asker.error("show.policy", {{"kind", "gatez"}})["message"] ==
          "parameter \"kind\": there is no kind \"gatez\"");
    CHECK(asker.error("show.routes", {{"limit", 0}})["code"] == -32602);
    CHECK(asker.error("show.routes", {{"limit", 1001}})["code"] == -32602);
}

TEST_CASE("service: bad lines are answered and the connection goes on", "[control]") {
    TestHub hub;
    Asker asker(hub);
    asker.client.write("nonsense\n[]\n" + std::string(kLongestMessage + 5, ' ') + "\n\xff\n");
    CHECK(asker.answer()["error"]["code"] == -32700);
    CHECK(asker.answer()["error"]["code"] == -32600);
    CHECK(asker.answer()["error"]["data"]["name"] == "limit");
    CHECK(asker.answer()["error"]["code"] == -32700);
    CHECK(asker.result("version")["version"] == "test");
}

TEST_CASE("service: a notification is carried out and not answered", "[control]") {
    TestHub hub;
    Asker asker(hub);
    asker.client.write(R"({"jsonrpc":"2.0","method":"begin"})"
                       "\n"
                       R"({"jsonrpc":"2.0","method":"nothing"})"
                       "\n");
    CHECK(asker.result("show.generation")["transactions"] == 1);
}

TEST_CASE("service: ids come back as they were sent, of requests in any number at once", "[control]") {
    TestHub hub;
    RawClient client(hub.socket());
    const std::vector<std::string> ids = {"1", "-7", "\"a\"", "\"\"", "null", "9007199254740993"};
    std::string lines;
    for (const std::string& id : ids) lines += R"({"jsonrpc":"2.0","method":"version","id":)" + id + "}\n";
    client.write(lines);
    for (const std::string& id : ids) {
        const auto line = client.read_line();
        REQUIRE(line);
        CHECK(json::parse(*line)["id"].dump() == id);
    }
}

TEST_CASE("service: drops are told by reason with sentence, rule and port; counters balance", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json drops = asker.result("show.drops")["items"];
    REQUIRE(drops.size() == 2);
    CHECK(drops[0]["reason"] == "no_agreement");
    CHECK(drops[0]["count"] == 3);
    CHECK(drops[0]["rule"] == "1-2");
    CHECK(drops[0]["ports"] == json({{"port0", 3}}));
    CHECK_FALSE(drops[0]["sentence"].get<std::string>().empty());
    CHECK(asker.result("show.drops", {{"all", true}})["items"].size() == kDropReasonCount);

    const json counters = asker.result("show.counters");
    CHECK(counters["ports"][0]["port"] == "port0");
    CHECK(counters["ports"][0]["dropped"] == json({{"no_agreement", 3}}));
    CHECK(counters["node"]["dropped_total"] == 4);
    CHECK(counters["node"]["received"] == 11);
    CHECK(counters["node"]["unaccounted"] == 0);
    CHECK(asker.result("show.stages")["items"][0]["packets_per_burst"] == 5.5);
    CHECK(asker.result("show.stages")["items"][1]["packets_per_burst"].is_null());
}

TEST_CASE("service: workers are shown while a worker that is stuck leaves no counters", "[control]") {
    TestHub hub;
    Asker asker(hub);
    hub.node.stuck = true;
    CHECK(asker.error("show.counters")["data"]["name"] == "unavailable");
    CHECK(asker.result("show.workers")["items"].size() == 2);
    CHECK(asker.result("show.workers")["items"].size() == 2);
}

TEST_CASE("service: a worker that does not answer makes counters unavailable, not the daemon", "[control]") {
    TestHub hub;
    hub.node.stuck = true;
    Asker asker(hub);
    for (const char* method : {"show.counters", "show.drops", "show.stages"})
        CHECK(asker.error(method)["data"]["name"] == "unavailable");
    CHECK(asker.result("version")["protocol"] == kProtocolVersion);
}

TEST_CASE("service: a worker that is stalled is shown so, with what it last counted", "[control]") {
    TestHub hub;
    hub.node.stuck = true;
    Asker asker(hub);
    const json workers = asker.result("show.workers")["items"];
    REQUIRE(workers.size() == 2);
    CHECK(workers[0]["worker"] == 0);
    CHECK(workers[0]["lcore"] == 1);
    CHECK(workers[0]["state"] == "running");
    CHECK(workers[0]["stalled_since"].is_null());
    CHECK(workers[0]["answered"] == true);
    CHECK(workers[0]["handed_over"] == 9);
    CHECK(workers[0]["handover_full"] == 4);
    CHECK(workers[1]["state"] == "stalled");
    CHECK(workers[1]["stalled_since"] == "2027-01-15T17:00:00+09:00");
    CHECK(workers[1]["answered"] == false);
}

TEST_CASE("service: kernel ports are shown, and why one is not there", "[control]") {
    TestHub hub;
    dataplane::TapInfo open;
    open.spec.tap = TapId(1);
    open.spec.network_namespace = "routing-kita";
    open.spec.interface = "hub0";
    open.open = true;
    open.to_kernel = 7;
    open.from_kernel = 5;
    dataplane::TapInfo waiting = open;
    waiting.open = false;
    waiting.words = "there is no network namespace routing-kita";
    waiting.not_taken = 3;
    hub.node.told_taps = {open, waiting};
    Asker asker(hub);
    const json items = asker.result("show.taps")["items"];
    REQUIRE(items.size() == 2);
    CHECK(items[0]["network_namespace"] == "routing-kita");
    CHECK(items[0]["interface"] == "hub0");
    CHECK(items[0]["state"] == "open");
    CHECK(items[0]["words"].is_null());
    CHECK(items[0]["to_kernel"] == 7);
    CHECK(items[0]["from_kernel"] == 5);
    CHECK(items[1]["state"] == "waiting");
    CHECK(items[1]["words"] == "there is no network namespace routing-kita");
    CHECK(items[1]["not_taken"] == 3);
}

TEST_CASE("service: lists come in pages that together hold everything once", "[control]") {
    std::vector<std::string> ids;
    for (int i = 0; i < 250; ++i) ids.push_back("operator-" + std::to_string(i));
    TestHub hub({}, as_document(a_document(ids)));
    Asker asker(hub);
    std::multiset<std::string> seen;
    json params = {{"limit", 100}};
    int pages = 0;
    for (;; ++pages) {
        const json page = asker.result("show.operators", params);
        for (const json& item : page["items"]) seen.insert(item["id"].get<std::string>());
        if (page["next"].is_null()) break;
        params["after"] = page["next"];
    }
    CHECK(pages == 2);
    CHECK(seen == std::multiset<std::string>(ids.begin(), ids.end()));
    CHECK(asker.result("show.policy", {{"kind", "hub"}})["objects"] == json::array({a_hub()}));

    const json neighbours = asker.result("show.neighbours", {{"after", 2000}});
    CHECK(neighbours["items"].size() == 500);
    CHECK(neighbours["next"].is_null());
    CHECK(asker.result("show.neighbours")["next"] == 1000);
}

TEST_CASE("service: explain reads its words and tells the decision", "[control]") {
    TestHub hub;
    Asker asker(hub);
    json packet = {{"attachment", "kita-1"}, {"source", "10.0.0.7"},    {"destination", "100.64.0.1"},
                   {"protocol", "tcp"},      {"destination_port", 443}, {"tcp_flags", "SA"}};
    const json passes = asker.result("explain", packet);
    CHECK(passes["passes"] == true);
    CHECK(passes["drop"].is_null());
    CHECK(passes["leaves"]["attachment"] == "kita-1");
    CHECK(passes["steps"][0] == json({{"stage", "parse"}, {"words", "protocol 6"}}));

    packet["destination_port"] = 80;
    const json drop = asker.result("explain", packet);
    CHECK(drop["passes"] == false);
    CHECK(drop["drop"]["reason"] == "no_agreement");
    CHECK(drop["error"] == "ICMP 3/13");

    packet["destination_port"] = 1;
    CHECK(asker.error("explain", packet)["data"]["name"] == "unavailable");
    const auto refuses = [&](const char* name, const json& value) {
        json changed = packet;
        changed[name] = value;
        const json error = asker.error("explain", changed);
        CHECK(error["code"] == -32602);
        CHECK(error["message"].get<std::string>().find(name) != std::string::npos);
    };
    refuses("attachment", "kita-9");
    refuses("source", "10.0.0");
    refuses("destination", "2001:db8::1");
    refuses("protocol", "sctpp");
    refuses("destination_port", 65536);
    refuses("tcp_flags", "SX");
    refuses("icmp_type", "echo");
    refuses("colour", "red");
}

TEST_CASE("service: with IPv6, icmp means ICMPv6", "[control]") {
    TestHub hub;
    Asker asker(hub);
    const json explained = asker.result(
        "explain",
        {{"attachment", "kita-1"}, {"source", "fd00::1"}, {"destination", "2001:db8::1"}, {"protocol", "icmp"}});
    CHECK(explained["steps"][0]["words"] == "protocol 58");
}

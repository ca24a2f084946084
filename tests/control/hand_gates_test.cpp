// Gates by hand: closed at once, also during a commit; durable; opened by nobody but by hand.
#include "control/hand_gates.hpp"

#include <catch2/catch.hpp>

#include "control/calendar.hpp"
#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

// Two operators with two institutions each; the institutions are numbered by name: k1, k2, m1, m2.
json policy_with_gates() {
    json document = a_document({"kita", "minami"});
    int vlan = 10;
    for (const auto& [op, letter, space] : {std::tuple("kita", "k", 64), std::tuple("minami", "m", 65)}) {
        const std::string attachment = std::string(op) + "-1";
        document["attachments"].push_back({{"id", attachment},
                                           {"operator", op},
                                           {"port", "p0"},
                                           {"vlan", ++vlan},
                                           {"method", "leased_line"},
                                           {"protection", "none"},
                                           {"session_management", "none"},
                                           {"family", "ipv4"},
                                           {"mac", "02:00:00:00:00:" + std::to_string(vlan)},
                                           {"ipv4", "192.0.2.1/30"},
                                           {"demarcation", "x"}});
        document["translations"].push_back({{"id", std::string(op) + "-map"},
                                            {"operator", op},
                                            {"kind", "prefix_map"},
                                            {"operator_prefix", "10.0.0.0/16"},
                                            {"hub_prefix", "100." + std::to_string(space) + ".0.0/16"}});
        document["routes"].push_back({{"operator", op},
                                      {"prefix", "10.0.0.0/16"},
                                      {"nexthops", {{{"attachment", attachment}, {"gateway", "192.0.2.2"}}}}});
        for (int i = 1; i <= 2; ++i)
            document["institutions"].push_back(
                {{"id", letter + std::to_string(i)},
                 {"operator", op},
                 {"kind", "pharmacy"},
                 {"certificate", "x"},
                 {"application", "x"},
                 {"prefixes", {"100." + std::to_string(space) + "." + std::to_string(i) + ".0/24"}},
                 {"links",
                  {{{"method", "ip_vpn"},
                    {"access_line_operator", "x"},
                    {"cpe", "x"},
                    {"demarcation", "x"},
                    {"attachments", {attachment}}}}}});
    }
    document["agreements"] = {{{"id", "web"},
                               {"protocol", "tcp"},
                               {"ports", {443}},
                               {"state", "stateless"},
                               {"clients", {{"institutions", {"k1"}}}},
                               {"services", {{"institutions", {"m1"}}}}}};
    return document;
}

std::unique_ptr<Compiler> a_compiler() {
    return std::make_unique<Compiler>(NodePorts{[](std::string_view name) -> std::optional<PortId> {
                                                    if (name == "p0") return PortId(0);
                                                    return std::nullopt;
                                                },
                                                1});
}

struct GatedHub : TestHub {
    explicit GatedHub(const std::string& state_in = {},
                      std::optional<Document> document = as_document(policy_with_gates()))
        : TestHub(state_in, std::move(document), false, {}, a_compiler()) {
        INFO((started ? "" : started.error().words));
        REQUIRE(started);
    }
    // The four institutions, closed as 1.
    std::string closed() {
        std::string bits;
        for (std::uint32_t i = 0; i < 4; ++i) bits += node.is_closed(i) ? '1' : '0';
        return bits;
    }
};

json a_gate(const std::string& id, const std::string& target, const std::string& target_id) {
    json gate = {{"id", id}, {"target", target}, {"reason", "emergency"}};
    if (!target_id.empty()) gate["target_id"] = target_id;
    return gate;
}

}  // namespace

TEST_CASE("gates by hand: what the document's rules refuse is refused, by field, and closes nothing", "[control]") {
    GatedHub hub;
    Asker asker(hub);
    const auto refuses = [&](json gate, const char* name, const std::string& words) {
        const json error = asker.error("gate.close", gate);
        INFO(error.dump());
        CHECK(error["data"]["name"] == name);
        CHECK(error["message"].get<std::string>().find(words) != std::string::npos);
    };
    refuses(a_gate("g", "institution", "nobody"), "not_found", "nobody");
    refuses(a_gate("g", "institution", ""), "invalid", "target_id");
    refuses(a_gate("g", "node", "kita"), "invalid", "target_id");
    refuses(a_gate("g", "everything", ""), "invalid", "everything");
    refuses({{"id", "g"}, {"target", "node"}}, "invalid", "reason");
    json maintenance = a_gate("g", "node", "");
    maintenance["reason"] = "maintenance";
    refuses(maintenance, "invalid", "notice");
    json backwards = a_gate("g", "node", "");
    backwards["from"] = "2027-01-02";
    backwards["until"] = "2027-01-01";
    refuses(backwards, "invalid", "until");
    CHECK(asker.error("gate.close", {{"gate", "g"}})["code"] == -32602);
    CHECK(asker.error("gate.open", {{"id", "g"}})["data"]["name"] == "not_found");
    CHECK(hub.closed() == "0000");
    CHECK_FALSE(std::filesystem::exists(hub.state->gates_file()));
}

TEST_CASE("gates by hand: each kind of target closes what it names and nothing else, and opens again", "[control]") {
    GatedHub hub;
    Asker asker(hub);
    const auto closes = [&](const std::string& target, const std::string& id, const std::string& bits, bool open) {
        const std::uint32_t before = hub.node.revision();
        CHECK(asker.result("gate.close", a_gate("g", target, id)) == json({{"closed", "g"}, {"durable", true}}));
        CHECK(hub.closed() == bits);
        CHECK(hub.node.is_open(0) == open);
        const std::uint32_t closed = hub.node.revision();
        CHECK(closed != before);
        CHECK(hub.node.is_open(1));
        CHECK(asker.error("gate.close", a_gate("g", target, id))["data"]["name"] == "exists");
        CHECK(asker.result("gate.open", {{"id", "g"}}) == json({{"opened", "g"}}));
        CHECK(hub.closed() == "0000");
        CHECK(hub.node.is_open(0));
        CHECK(hub.node.revision() != closed);
    };
    closes("node", "", "1111", true);
    closes("operator", "kita", "1100", true);
    closes("institution", "m1", "0010", true);
    closes("attachment", "kita-1", "0000", false);
    CHECK(hub.compiler.calls == 1);  // none of it compiled anything
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
}

TEST_CASE("gates by hand: two on one target close it until both are open, and the document's stay closed",
          "[control]") {
    json document = policy_with_gates();
    document["gates"] = json::array({a_gate("of-the-document", "institution", "k2")});
    GatedHub hub({}, as_document(document));
    Asker asker(hub);
    CHECK(hub.closed() == "0100");
    asker.result("gate.close", a_gate("a", "operator", "kita"));
    asker.result("gate.close", a_gate("b", "institution", "k1"));
    CHECK(hub.closed() == "1100");
    asker.result("gate.open", {{"id", "a"}});
    CHECK(hub.closed() == "1100");
    asker.result("gate.open", {{"id", "b"}});
    CHECK(hub.closed() == "0100");
    const json error = asker.error("gate.open", {{"id", "of-the-document"}});
    CHECK(error["data"]["name"] == "exists");
    CHECK(error["message"].get<std::string>().find("a commit opens it") != std::string::npos);
}

TEST_CASE("gates by hand: closed and opened while a commit compiles, and the commit does not open it", "[control]") {
    GatedHub hub;
    Asker committing(hub);
    Asker asker(hub);
    const json transaction = committing.result("begin")["transaction"];
    committing.result("batch", {{"transaction", transaction}, {"put", {{"operators", {an_operator("chuo")}}}}});
    hub.compiler.hold();
    const int id = committing.send("commit", {{"transaction", transaction}});
    REQUIRE(comes_true([&] { return hub.compiler.calls == 2; }));

    asker.result("gate.close", a_gate("now", "institution", "k1"));
    CHECK(hub.closed() == "1000");
    asker.result("gate.close", a_gate("other", "operator", "minami"));
    asker.result("gate.open", {{"id", "other"}});
    CHECK(hub.closed() == "1000");
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});

    hub.compiler.let_go();
    const json answer = committing.answer();
    CHECK(answer["id"] == id);
    CHECK(answer["result"]["generation"] == 2);
    CHECK(hub.closed() == "1000");
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("gates by hand: a commit that replaces everything opens none of them, nor one whose target is away",
          "[control]") {
    GatedHub hub;
    Asker asker(hub);
    asker.result("gate.close", a_gate("k1-out", "institution", "k1"));
    const auto commit = [&](const json& document) {
        const json transaction = asker.result("begin", {{"replace", true}})["transaction"];
        asker.result("batch", {{"transaction", transaction}, {"put", document}});
        asker.result("commit", {{"transaction", transaction}});
    };
    json without = policy_with_gates();
    without["institutions"].erase(0);
    without["agreements"] = json::array();
    commit(without);
    const json away = asker.result("show.gates")["by_hand"];
    REQUIRE(away.size() == 1);
    CHECK(away[0]["id"] == "k1-out");
    CHECK(away[0]["uid"] == ::getuid());
    commit(policy_with_gates());
    const json item = asker.result("show.institutions", {{"limit", 1}})["items"][0];
    CHECK(item["id"] == "k1");
    CHECK(item["state"] == "closed");
    CHECK(item["closed_by"] == json({"k1-out"}));
    // Its number stayed what it was, though it had left.
    CHECK(hub.closed() == "1000");
}

TEST_CASE("gates by hand: an agreement is closed when it is answered, compiled after what is compiling, and stays so",
          "[control]") {
    GatedHub hub;
    Asker committing(hub);
    Asker asker(hub);
    const json transaction = committing.result("begin")["transaction"];
    committing.result("batch", {{"transaction", transaction}, {"put", {{"operators", {an_operator("chuo")}}}}});
    hub.compiler.hold();
    committing.send("commit", {{"transaction", transaction}});
    REQUIRE(comes_true([&] { return hub.compiler.calls == 2; }));
    asker.send("gate.close", a_gate("no-web", "agreement", "web"));
    CHECK_FALSE(asker.client.read_line(std::chrono::milliseconds(200)));
    hub.compiler.let_go();
    CHECK(asker.answer()["result"]["closed"] == "no-web");
    CHECK(committing.answer()["result"]["generation"] == 2);
    CHECK(hub.compiler.last_closed_agreements() == NamesByHand{"web"});
    CHECK(asker.result("show.agreements")["items"][0]["state"] == "closed");
    {
        const std::lock_guard lock(hub.node.mutex);
        CHECK(hub.node.running->permissions.count() == 1);  // nothing passes by any cell
    }
    asker.result("gate.open", {{"id", "no-web"}});
    CHECK(hub.compiler.last_closed_agreements().empty());
    const std::lock_guard lock(hub.node.mutex);
    CHECK(hub.node.running->permissions.count() > 1);
}

TEST_CASE("gates by hand: a restart finds them closed, and the audit log has who closed and opened what", "[control]") {
    TemporaryDirectory directory;
    {
        GatedHub hub(directory / "state");
        Asker asker(hub);
        asker.result("gate.close", a_gate("a", "institution", "k1"));
        asker.result("gate.close", a_gate("b", "agreement", "web"));
        asker.result("gate.close", a_gate("c", "institution", "m2"));
        asker.result("gate.open", {{"id", "c"}});
        std::vector<std::string> lines;
        for (const json& line : hub.audit_lines())
            if (line.contains("gate"))
                lines.push_back(line["what"].get<std::string>() + " " + line["gate"]["id"].get<std::string>());
        CHECK(lines == std::vector<std::string>{"gate.close a", "gate.close b", "gate.close c", "gate.open c"});
    }
    GatedHub hub(directory / "state", {});
    CHECK(hub.closed() == "1000");
    CHECK(hub.compiler.last_closed_agreements() == NamesByHand{"web"});
    Asker asker(hub);
    CHECK(asker.result("show.gates")["by_hand"].size() == 2);
}

TEST_CASE("gates by hand: a damaged file of them is refused in words, never taken for none", "[control]") {
    TemporaryDirectory directory;
    {
        GatedHub hub(directory / "state");
        Asker asker(hub);
        asker.result("gate.close", a_gate("a", "institution", "k1"));
    }
    const std::string file = directory / "state/gates";
    std::string text;
    {
        std::ifstream stream(file);
        text.assign(std::istreambuf_iterator<char>(stream), {});
    }
    REQUIRE(text.find("emergency") != std::string::npos);
    text.replace(text.find("emergency"), 9, "emergencz");
    std::ofstream(file, std::ios::trunc) << text;
    TestHub hub(directory / "state", {}, false, {}, a_compiler());
    REQUIRE_FALSE(hub.started);
    CHECK(hub.started.error().words.find(file) != std::string::npos);
    CHECK(hub.started.error().words.find("checksum") != std::string::npos);
}

TEST_CASE("gates by hand: closing does not wait for a disk that fails, and says so; opening does not happen",
          "[control]") {
    GatedHub hub;
    Asker asker(hub);
    asker.result("gate.close", a_gate("before", "institution", "m1"));
    std::filesystem::create_directory(hub.state->gates_file() + ".new");  // where the new file would be written
    const json closed = asker.result("gate.close", a_gate("a", "institution", "k1"));
    CHECK(closed["durable"] == false);
    CHECK(closed["warning"].get<std::string>().find("gates.new") != std::string::npos);
    CHECK(hub.closed() == "1010");
    CHECK(asker.error("gate.open", {{"id", "before"}})["data"]["name"] == "unavailable");
    CHECK(hub.closed() == "1010");
    std::filesystem::remove(hub.state->gates_file() + ".new");
    asker.result("gate.open", {{"id", "before"}});
    CHECK(hub.closed() == "1000");
}

TEST_CASE("gates by hand: one with dates closes when its time comes and opens when it ends", "[control]") {
    GatedHub hub;
    Asker asker(hub);
    const auto now = std::chrono::system_clock::now();
    json gate = a_gate("soon", "institution", "k2");
    gate["from"] = time_text(now + std::chrono::seconds(2));
    gate["until"] = time_text(now + std::chrono::seconds(4));
    asker.result("gate.close", gate);
    CHECK(hub.closed() == "0000");
    CHECK(asker.result("show.gates")["by_hand"][0]["state"] == "to_come");
    CHECK(comes_true([&] { return hub.closed() == "0100"; }));
    CHECK(asker.result("show.gates")["by_hand"][0]["state"] == "in_force");
    CHECK(comes_true([&] { return hub.closed() == "0000"; }));
    CHECK(asker.result("show.gates")["by_hand"][0]["state"] == "ended");
}

TEST_CASE("gates by hand: a client that vanishes has closed its gate all the same", "[control]") {
    GatedHub hub;
    {
        Asker asker(hub);
        asker.send("gate.close", a_gate("a", "institution", "k1"));
        asker.client.vanish();
    }
    CHECK(comes_true([&] { return hub.closed() == "1000"; }));
    CHECK(comes_true([&] { return std::filesystem::exists(hub.state->gates_file()); }));
}

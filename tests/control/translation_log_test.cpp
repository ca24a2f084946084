// Who had which ports when: the log's lines, what is in force, and what `who` answers, over a real socket.
#include "control/translation_log.hpp"

#include <filesystem>

#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

// One operator; its hospital has hub numbers of its own, its pharmacy is behind two shared addresses, with a server.
json shared_policy(bool with_block = true, const std::string& per = "host") {
    json document = a_document({"kita"});
    document["attachments"] = {{{"id", "kita-1"},
                                {"operator", "kita"},
                                {"port", "p0"},
                                {"method", "leased_line"},
                                {"protection", "none"},
                                {"session_management", "none"},
                                {"family", "ipv4"},
                                {"mac", "02:00:00:00:00:01"},
                                {"ipv4", "192.0.2.1/30"},
                                {"demarcation", "x"}}};
    document["translations"] = {{{"id", "kita-map"},
                                 {"operator", "kita"},
                                 {"kind", "prefix_map"},
                                 {"operator_prefix", "10.0.0.0/24"},
                                 {"hub_prefix", "100.64.0.0/24"}}};
    const auto institution = [](const char* id, const char* field, const char* prefix) {
        return json{{"id", id},
                    {"operator", "kita"},
                    {"kind", "pharmacy"},
                    {"certificate", "x"},
                    {"application", "x"},
                    {field, {prefix}},
                    {"links",
                     {{{"method", "ip_vpn"},
                       {"access_line_operator", "x"},
                       {"cpe", "x"},
                       {"demarcation", "x"},
                       {"attachments", {"kita-1"}}}}}};
    };
    document["institutions"] = json::array({institution("sato-hospital", "prefixes", "100.64.0.0/24")});
    if (!with_block) return document;
    document["institutions"].push_back(institution("mori-pharmacy", "operator_prefixes", "10.2.0.0/24"));
    const json door = {{"protocol", "tcp"},
                       {"hub_address", "100.64.200.1"},
                       {"hub_port", 443},
                       {"operator_address", "10.2.0.9"},
                       {"operator_port", 8443}};
    const json block = {{"per", per}, {"subscribers", 10}, {"static_maps", json::array({door})}};
    document["translations"].push_back({{"id", "kita-shared"},
                                        {"operator", "kita"},
                                        {"kind", "port_block"},
                                        {"operator_prefix", "10.2.0.0/16"},
                                        {"hub_prefix", "100.64.200.0/31"},
                                        {"port_block", block}});
    return document;
}

struct LoggedHub : control::test::TestHub {
    explicit LoggedHub(const json& document = shared_policy(), const std::string& state_in = {})
        : TestHub(state_in, as_document(document), false, {},
                  std::make_unique<Compiler>(NodePorts{[](std::string_view) { return PortId(0); }, 1})) {
        INFO((started ? "" : started.error().words));
        REQUIRE(started);
    }
    // As a worker would; the outside endpoint.
    nat::PortPool::Lease lend(const char* host, std::uint16_t port, nat::Endpoint& outside) {
        return on_loop([&] {
            dataplane::PortPoolRow& row = node.running->port_pools[0];
            const auto inside = *Ipv4Address::parse(host);
            const lpm::Row who = node.running->ipv4.who.find(row.vrf.value(), inside);
            const InstitutionId institution = node.running->ipv4.who_rows[who].institution;
            nat::PortPool& share = row.shares->of(WorkerId(0));
            const std::uint32_t id = row.shares->by_institution() ? institution.value() : inside.value();
            const auto lease = share.lease({{id, 1}, institution, 1, 0}, {inside, port}, nat::PortProtocol::udp,
                                           node.running->static_maps);
            outside = share.outside(lease.mapping);
            return lease;
        });
    }
    void take_back(const nat::PortPool::Lease& lease) {
        on_loop([&] {
            node.running->port_pools[0].shares->of(WorkerId(0)).release(lease.mapping, 0);
            translations->look();
            return true;
        });
    }
    std::vector<json> lines() const {
        std::vector<json> all;
        std::ifstream stream(translations->file_of(std::chrono::system_clock::now()));
        for (std::string line; std::getline(stream, line);) all.push_back(json::parse(line));
        return all;
    }
};

}  // namespace

TEST_CASE("who: an address of an institution's own is told from the tables, with its link", "[control][who]") {
    LoggedHub hub;
    Asker asker(hub);
    const json items = asker.result("who", {{"address", "100.64.0.7"}})["items"];
    REQUIRE(items.size() == 1);
    CHECK(items[0]["by"] == "prefix_map");
    CHECK(items[0]["institution"] == "sato-hospital");
    CHECK(items[0]["host"] == "10.0.0.7");
    CHECK(items[0]["translation"] == "kita-map");
    CHECK(items[0]["links"] == json::array({{{"method", "ip_vpn"}, {"attachments", {"kita-1"}}}}));
    CHECK(asker.result("who", {{"address", "100.70.0.7"}})["items"].empty());
    CHECK(asker.result("who", {{"address", "2001:db8::7"}})["items"].empty());
    CHECK(asker.error("who", {{"address", "somebody"}})["code"] == -32602);
    CHECK(asker.error("who", {{"address", "100.64.0.7"}, {"at", "noon"}})["code"] == -32602);
    CHECK(asker.error("who", {{"address", "100.64.0.7"}, {"port", 70000}})["code"] == -32602);
}

TEST_CASE("who: a port of a block is told while it is lent, and afterwards by time, from the log", "[control][who]") {
    LoggedHub hub;
    Asker asker(hub);
    nat::Endpoint outside;
    const auto before = std::chrono::system_clock::now() - std::chrono::seconds(2);
    const auto lease = hub.lend("10.2.0.7", 4000, outside);
    const json question = {{"address", outside.address.text()}, {"port", outside.port}};
    const json items = asker.result("who", question)["items"];
    REQUIRE(items.size() == 1);
    CHECK(items[0]["by"] == "port_block");
    CHECK(items[0]["institution"] == "mori-pharmacy");
    CHECK(items[0]["host"] == "10.2.0.7");
    CHECK(items[0]["operator"] == "kita");
    CHECK(items[0]["translation"] == "kita-shared");
    CHECK(items[0]["first_port"] == outside.port / 256 * 256);
    CHECK(items[0]["last_port"] == outside.port / 256 * 256 + 255);
    CHECK(items[0]["generation"] == 1);
    CHECK(items[0]["links"].size() == 1);
    CHECK(asker.result("show.translations")["items"][1]["blocks"] == 1);
    const json blocks = asker.result("show.blocks");
    CHECK(blocks["items"].size() == 2);  // with the static map
    CHECK(blocks["next"].is_null());
    const json first = asker.result("show.blocks", {{"limit", 1}});
    CHECK(first["items"].size() == 1);
    CHECK(asker.result("show.blocks", {{"after", first["next"]}})["items"].size() == 1);

    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // times are whole seconds
    const std::string then = time_text(std::chrono::system_clock::now());
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    hub.take_back(lease);
    CHECK(asker.result("who", question)["items"].empty());
    CHECK(asker.result("show.translations")["items"][1]["blocks"] == 0);
    json past = question;
    past["at"] = then;
    const json were = asker.result("who", past)["items"];
    REQUIRE(were.size() == 1);
    CHECK(were[0]["host"] == "10.2.0.7");
    past["at"] = time_text(before);
    if (date_text(before) == date_text(std::chrono::system_clock::now()))
        CHECK(asker.result("who", past)["items"].empty());
    past["at"] = "2020-01-01";
    CHECK(asker.error("who", past)["code"] == 2);
}

TEST_CASE("who: static maps are told by their hub port, and logged when they come, change and go", "[control][who]") {
    LoggedHub hub;
    Asker asker(hub);
    const json question = {{"address", "100.64.200.1"}, {"port", 443}};
    const json items = asker.result("who", question)["items"];
    REQUIRE(items.size() == 1);
    CHECK(items[0]["by"] == "static_map");
    CHECK(items[0]["host"] == "10.2.0.9");
    CHECK(items[0]["host_port"] == 8443);
    CHECK(items[0]["protocol"] == "tcp");
    json changed = shared_policy();
    changed["translations"][1]["port_block"]["static_maps"][0]["operator_port"] = 9443;
    const auto commit = [&](const json& document) {
        const json begun = asker.result("begin", {{"replace", true}});
        asker.result("batch", {{"transaction", begun["transaction"]}, {"put", document}});
        asker.result("commit", {{"transaction", begun["transaction"]}});
    };
    commit(changed);
    CHECK(asker.result("who", question)["items"][0]["host_port"] == 9443);
    commit(shared_policy(false));
    CHECK(asker.result("who", question)["items"].empty());
    asker.ask("who", {{"address", "100.64.200.1"}, {"port", 443}, {"at", "2020-01-01"}});  // behind all that is written
    std::vector<std::string> whats;
    for (const json& line : hub.lines()) whats.push_back(line["what"]);
    CHECK(whats == std::vector<std::string>{"start", "static.open", "static.close", "static.open", "static.close"});
    CHECK(hub.lines()[2]["generation"] == 2);
}

TEST_CASE("who: blocks of an institution name no host, and a pool that goes closes what it lent", "[control][who]") {
    LoggedHub hub(shared_policy(true, "institution"));
    Asker asker(hub);
    nat::Endpoint outside;
    hub.lend("10.2.0.7", 4000, outside);
    const json question = {{"address", outside.address.text()}, {"port", outside.port}};
    CHECK(asker.result("who", question)["items"][0]["host"].is_null());
    const json begun = asker.result("begin", {{"replace", true}});
    asker.result("batch", {{"transaction", begun["transaction"]}, {"put", shared_policy(false)}});
    asker.result("commit", {{"transaction", begun["transaction"]}});
    hub.on_loop([&] {
        hub.translations->look();
        return true;
    });
    CHECK(asker.result("show.blocks")["items"].empty());
    asker.ask("who", {{"address", "100.64.200.1"}, {"at", "2020-01-01"}});
    CHECK(hub.lines().back()["what"] == "block.close");
}

TEST_CASE("translation log: a node without pools has none; a restart ends in it what was before", "[control][who]") {
    const TemporaryDirectory state;
    {
        const LoggedHub hub(shared_policy(false), state / "s");
        CHECK_FALSE(std::filesystem::exists(hub.translations->file_of(std::chrono::system_clock::now())));
    }
    nat::Endpoint outside;
    {
        LoggedHub hub(shared_policy(), state / "t");
        hub.lend("10.2.0.7", 4000, outside);
        hub.on_loop([&] {
            hub.translations->look();
            return true;
        });
        Asker(hub).ask("who", {{"address", "100.64.200.1"}, {"at", "2020-01-01"}});
        CHECK(hub.lines().back()["what"] == "block.open");
    }
    LoggedHub hub(shared_policy(), state / "t");
    Asker asker(hub);
    const json now = {{"address", outside.address.text()},
                      {"port", outside.port},
                      {"at", time_text(std::chrono::system_clock::now())}};
    CHECK(asker.result("who", now)["items"].empty());
}

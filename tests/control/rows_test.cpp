// The rows of the lookup tables over a real socket: page by page, by exact prefix, and always the running generation's.
#include <map>

#include "tests/control/hub_support.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

// Every port of the document is there, each under a number of its own.
NodePorts any_ports() {
    auto known = std::make_shared<std::map<std::string, PortId, std::less<>>>();
    return {[known](std::string_view name) {
                const auto next = PortId(static_cast<PortId::Value>(known->size()));
                return std::optional(known->try_emplace(std::string(name), next).first->second);
            },
            16};
}

struct RealHub : control::test::TestHub {
    explicit RealHub(const Draft& draft)
        : TestHub({}, draft.document(), false, {}, std::make_unique<Compiler>(any_ports())) {
        INFO((started ? "" : started.error().words));
        REQUIRE(started);
    }
};

// All of a table, two rows a page.
json all_rows(Asker& asker, json question) {
    question["limit"] = 2;
    json all = json::array();
    for (;;) {
        const json page = asker.result("show.rows", question);
        CHECK(page["items"].size() <= 2);
        for (const json& item : page["items"]) all.push_back(item);
        if (page["next"].is_null()) {
            CHECK(all.size() == page["size"]);
            return all;
        }
        question["after"] = page["next"];
    }
}

}  // namespace

TEST_CASE("rows: every table comes in pages, and each row by its prefix", "[control][rows]") {
    RealHub hub{Draft()};
    Asker asker(hub);
    std::size_t rows = 0;
    for (const char* table : {"who", "hub", "where"})
        for (const char* family : {"ipv4", "ipv6"}) {
            json question = {{"table", table}, {"family", family}};
            if (std::string(table) != "hub") question["operator"] = "kita";
            const json all = all_rows(asker, question);
            for (const json& row : all) {
                question["prefix"] = row["prefix"];
                const json one = asker.result("show.rows", question);
                REQUIRE(one["items"].size() == 1);
                CHECK(one["items"][0] == row);
                CHECK(one["generation"] == 1);
            }
            rows += all.size();
        }
    CHECK(rows > 12);
}

TEST_CASE("rows: they say whose a prefix is on both sides of the translation, and which way leads there",
          "[control][rows]") {
    RealHub hub{Draft()};
    Asker asker(hub);
    for (const json& row : all_rows(asker, {{"table", "who"}, {"operator", "kita"}})) {
        CHECK(row["way"].is_null());
        const json there = asker.result("show.rows", {{"table", "hub"}, {"prefix", row["other_side"]}})["items"][0];
        CHECK(there["institution"] == row["institution"]);
        CHECK(there["operator"] == "kita");
        CHECK(there["other_side"] == row["prefix"]);
        CHECK(there["way"] != nullptr);
    }
    RealHub shared{Draft("port-block.json")};
    Asker beside(shared);
    std::size_t pools = 0;
    for (const json& row : all_rows(beside, {{"table", "hub"}}))
        if (row["port_block"] == true) {
            ++pools;
            CHECK(row["institution"].is_null());
            CHECK(row["way"] == "resolve");
        }
    CHECK(pools > 0);
}

TEST_CASE("rows: what is asked wrongly is refused with what is wrong", "[control][rows]") {
    RealHub hub{Draft()};
    Asker asker(hub);
    const auto words = [&](const json& question) {
        return asker.error("show.rows", question)["message"].get<std::string>();
    };
    CHECK(words({{"table", "routes"}}).find("\"who\", \"hub\" or \"where\"") != std::string::npos);
    CHECK(words({{"table", "who"}}).find("whose table") != std::string::npos);
    CHECK(words({{"table", "hub"}, {"operator", "kita"}}).find("nobody's") != std::string::npos);
    CHECK(words({{"table", "who"}, {"operator", "nobody"}}).find("no operator \"nobody\"") != std::string::npos);
    CHECK(words({{"table", "hub"}, {"prefix", "203.0.113.0/24"}}).find("no row has just") != std::string::npos);
    CHECK(words({{"table", "hub"}, {"prefix", "x"}}).find("prefix") != std::string::npos);
    CHECK(words({{"table", "hub"}, {"family", "ipv4"}, {"after", "fd00::/8"}}).find("other family") !=
          std::string::npos);
    CHECK(words({{"table", "hub"}, {"limit", 0}}).find("at least 1") != std::string::npos);
}

TEST_CASE("rows: a trial changes nothing of what they say", "[control][rows]") {
    const Draft draft;
    RealHub hub{draft};
    Asker asker(hub);
    const auto rows_now = [&] {
        json rows = all_rows(asker, {{"table", "hub"}});
        for (json& row : rows) row.erase("row");  // their places may be others
        return rows;
    };
    const json before = rows_now();
    json fewer = draft.json();
    fewer["agreements"] = json::array();
    fewer["institutions"].erase(0);
    fewer["gates"] = json::array();
    const json transaction = asker.result("begin", {{"replace", true}})["transaction"];
    asker.result("batch", {{"transaction", transaction}, {"put", fewer}});
    CHECK(asker.result("commit", {{"transaction", transaction}, {"dry_run", true}})["generation"] == 2);
    CHECK(rows_now() == before);
    CHECK(asker.result("commit", {{"transaction", transaction}})["generation"] == 2);
    CHECK(rows_now().size() < before.size());
}

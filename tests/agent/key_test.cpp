// Keys of the store, and values that are what their keys say.
#include "agent/key.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/etcd_client.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using control::Kind;

namespace {

std::string why_not(const std::string& key) {
    const auto parsed = parse_key(key);
    REQUIRE_FALSE(parsed);
    return parsed.error().words;
}
std::string why_not(const std::string& key, const std::string& value) {
    const auto object = object_at(*parse_key(key), value);
    REQUIRE_FALSE(object);
    return object.error().words;
}
bool has(const std::string& words, const std::string& part) {
    INFO(words);
    return words.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("keys: what names no object is refused with the reason", "[agent]") {
    CHECK(has(why_not("castles/x"), "\"castles\" is not a kind"));
    CHECK(has(why_not(""), "is not a kind"));
    CHECK(has(why_not("hub/x"), "the hub is one object"));
    CHECK(has(why_not("institutions"), "name is missing"));
    CHECK(has(why_not("institutions/"), "name is missing"));
    CHECK(has(why_not("nodes/"), "name is missing"));
    CHECK(has(why_not("routes/kita"), "routes/OPERATOR/PREFIX"));
}

TEST_CASE("keys: every kind there and back, routes by operator and prefix", "[agent]") {
    for (const Kind kind : control::kKinds) {
        const std::string id = kind == Kind::hub ? "" : kind == Kind::routes ? "kita fd00:0:0:1::/64" : "sato.x-1";
        const auto parsed = parse_key(key_of(kind, id));
        REQUIRE(parsed);
        CHECK(parsed->of == PolicyKey::Of::object);
        CHECK(parsed->kind == kind);
        CHECK(parsed->id == id);
    }
    CHECK(key_of(Kind::routes, "kita 10.1.0.0/16") == "routes/kita/10.1.0.0/16");
    CHECK(parse_key("nodes/hub-1")->of == PolicyKey::Of::node);
    CHECK(parse_key("nodes/hub-1")->id == "hub-1");
    CHECK(parse_key("signatures/hub-1")->of == PolicyKey::Of::signature);
    CHECK(parse_key("signatures/hub-1")->id == "hub-1");
    CHECK(parse_key("hold")->of == PolicyKey::Of::hold);
}

TEST_CASE("values: half objects, wrong types and huge ones are refused with the field", "[agent]") {
    CHECK(has(why_not("operators/kita", ""), "line 1"));
    CHECK(has(why_not("operators/kita", R"({"id": "kita", "na)"), "line 1"));
    CHECK(has(why_not("operators/kita", "[]"), "object is expected"));
    CHECK(has(why_not("operators/kita", "{}"), ".id: is missing"));
    CHECK(has(why_not("operators/kita", R"({"id": 7})"), ".id: text is expected"));
    CHECK(has(why_not("operators/kita", R"({"id": "minami"})"), "\"minami\" is not what the key says, \"kita\""));
    CHECK(has(why_not("operators/kita", R"({"id": "kita", "id": "kita"})"), "twice"));
    CHECK(has(why_not("operators/kita", std::string("{\"id\": \"kita\", \"x\": \"\xff\"}")), ""));
    CHECK(has(why_not("routes/kita/10.0.0.0/8", R"({"operator": "kita", "prefix": "10.0.0.0/9"})"), ".prefix"));
    CHECK(has(why_not("routes/kita/FD00::/8", R"({"operator": "kita", "prefix": "FD00::/8"})"), "fd00::/8"));
    CHECK(has(why_not("routes/kita/x/8", R"({"operator": "kita", "prefix": "x/8"})"), "not a prefix"));
    const std::string huge = R"({"id": "kita", "name": ")" + std::string(1 << 20, 'x') + "\"}";
    CHECK(has(why_not("operators/kita", huge), "bytes; at most"));
    std::string deep = R"({"id": "kita", "x": )";
    for (int i = 0; i < 64; ++i) deep += "[";
    for (int i = 0; i < 64; ++i) deep += "]";
    CHECK(has(why_not("operators/kita", deep + "}"), "deep"));
}

TEST_CASE("values: an object that is what its key says is taken, whatever its layout", "[agent]") {
    const auto object = object_at(*parse_key("routes/kita/10.0.0.0/8"),
                                  "{\n \"prefix\": \"10.0.0.0/8\",\r\n\t\"operator\": \"kita\"}\n");
    REQUIRE(object);
    CHECK((*object)["operator"] == "kita");
    CHECK(object_at(*parse_key("hub"), R"({"rules_version": "2026-04", "pools": []})"));
}

TEST_CASE("etcd: the end of a prefix is the first key after all that have it", "[agent]") {
    CHECK(end_of_prefix("/a/") == "/a0");
    CHECK(end_of_prefix("a\xff\xff") == "b");
    CHECK(end_of_prefix("\xff") == std::string(1, '\0'));
    CHECK(end_of_prefix("") == std::string(1, '\0'));
}

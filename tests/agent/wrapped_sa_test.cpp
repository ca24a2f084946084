// Objects with wrapped keys: what is refused with which field, and that what comes out is what went in.
#include "agent/wrapped_sa.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/key_text.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using nlohmann::json;

namespace {

struct Maker {
    HpkeKey own = HpkeKey::generate().value(), node = HpkeKey::generate().value();
    UnwrapKeys keys{node, {HpkeKey::generate().value(), own}};  // two who may

    static json order() {
        return {{"tunnel", "kita-esp"},
                {"created", "2026-11-26T09:00:00+09:00"},
                {"inbound", {{"spi", 4096}, {"key", std::string(72, 'a')}}},
                {"outbound", {{"spi", 4097}, {"key", std::string(72, 'b')}}}};
    }
    Expected<StoreObject> make(const json& order) const {
        std::string line = order.dump();
        const auto secrets = control::take_keys(line);
        CHECK(line.find("aaaaaaaa") == std::string::npos);
        return wrap("hub-1", line, secrets, own, node);
    }
};

std::string refusal(const std::string& value, const std::string& name = "kita-esp/4096") {
    const auto read = read_wrapped("hub-1", name, 1, value);
    return read ? "" : read.error().words;
}

}  // namespace

TEST_CASE("wrapped SAs: what is wrapped for a node is what it installs", "[agent]") {
    const Maker maker;
    const auto made = maker.make(Maker::order());
    REQUIRE(made);
    CHECK(made->name == "kita-esp/4096");
    CHECK(made->value.find("aaaaaaaa") == std::string::npos);
    const auto sa = read_wrapped("hub-1", made->name, 7, made->value);
    REQUIRE(sa);
    CHECK(sa->inbound == 4096U);
    CHECK(sa->outbound == 4097U);
    CHECK(sa->label.starts_with("keys/kita-esp/4096#"));
    control::WipedText text;
    REQUIRE(unwrap(*sa, maker.keys, {}, text));
    json expected = Maker::order();
    expected["label"] = sa->label;
    CHECK(json::parse(text) == expected);
    SECTION("one half alone") {
        control::WipedText half;
        REQUIRE(unwrap(*sa, maker.keys, {false, true}, half));
        expected.erase("inbound");
        CHECK(json::parse(half) == expected);
    }
    SECTION("with all that an order may have") {
        json order = Maker::order();
        order.erase("inbound");
        order["outbound"]["key"] = std::string(40, 'c');
        order["lifetimes"] = {{"hard", {{"seconds", 600}}}};
        order["suite"] = "aes_gcm_128";
        order["from"] = "2026-11-27T09:00:00+09:00";
        const auto object = maker.make(order);
        REQUIRE(object);
        const auto read = read_wrapped("hub-1", object->name, 1, object->value);
        REQUIRE(read);
        CHECK(read->from > std::chrono::system_clock::time_point());
        control::WipedText out;
        REQUIRE(unwrap(*read, maker.keys, {}, out));
        order.erase("from");
        order["label"] = read->label;
        CHECK(json::parse(out) == order);
    }
}

TEST_CASE("wrapped SAs: for another node, by a stranger, or changed: not opened", "[agent]") {
    const Maker maker, stranger;
    const std::string value = maker.make(Maker::order())->value;
    const auto opens = [&](const std::string& text, const UnwrapKeys& keys) {
        const auto sa = read_wrapped("hub-1", "kita-esp/4096", 1, text);
        REQUIRE(sa);
        control::WipedText into;
        const auto done = unwrap(*sa, keys, {}, into);
        if (!done) CHECK(done.error().words.starts_with(".wrapped: "));
        CHECK(done.has_value() == !into.empty());
        return done.has_value();
    };
    CHECK(opens(value, maker.keys));
    CHECK_FALSE(opens(value, {stranger.node, maker.keys.from}));
    CHECK_FALSE(opens(value, {maker.node, stranger.keys.from}));
    for (const auto& [member, other] :
         std::vector<std::pair<const char*, json>>{{"created", "2026-11-26T09:00:01+09:00"},
                                                   {"inbound", {{"spi", 4098}}},
                                                   {"from", "2026-11-26T09:00:01+09:00"},
                                                   {"lifetimes", {{"hard", {{"seconds", 600}}}}}}) {
        json object = json::parse(value);
        object[member] = other;
        INFO(member);
        CHECK_FALSE(opens(object.dump(), maker.keys));
    }
}

TEST_CASE("wrapped SAs: what is not one is refused with its field", "[agent]") {
    const Maker maker;
    const json good = json::parse(maker.make(Maker::order())->value);
    const auto with = [&](const char* member, const json& value) {
        json object = good;
        if (value.is_null())
            object.erase(member);
        else
            object[member] = value;
        return refusal(object.dump());
    };
    CHECK(refusal(good.dump()).empty());
    CHECK(refusal(good.dump(), "kita-esp") == "keys are under keys/NODE/TUNNEL/NAME");
    CHECK(refusal(good.dump(), "osaka/1") == ".tunnel: \"kita-esp\" is not what the key says, \"osaka\"");
    CHECK(refusal(good.dump().substr(0, 60)).starts_with("line 1"));  // half an object
    CHECK(refusal("[]") == "a JSON object is expected");
    CHECK(with("node", "hub-2") == ".node: \"hub-2\" is not what the key says, \"hub-1\"");
    CHECK(with("node", nullptr) == ".node: is missing");
    CHECK(with("created", nullptr) == ".created: is missing");
    CHECK(with("created", "yesterday").starts_with(".created: "));
    CHECK(with("from", 7) == ".from: text is expected");
    CHECK(with("colour", "red") == ".colour: is not a field of SAs");
    CHECK(with("inbound", {{"spi", 255}}) == ".inbound.spi: 256 to 4294967295 is expected");
    CHECK(with("outbound", json::object()) == ".outbound.spi: is missing");
    CHECK(with("outbound", {{"spi", 4097}, {"key", "00"}}) == ".outbound: \"key\" is not a field here");
    CHECK(with("wrapped", nullptr) == ".wrapped: is missing");
    CHECK(with("wrapped", "AAAA") == ".wrapped: is not two keys wrapped, in base64");
    CHECK(with("wrapped", "?") == ".wrapped: is not two keys wrapped, in base64");
    CHECK(with("inbound", nullptr) == ".wrapped: is not a key wrapped, in base64");
    CHECK(refusal(std::string(9000, ' ')).starts_with("has 9000 bytes"));
}

TEST_CASE("wrapped SAs: what no node would take is not wrapped", "[agent]") {
    const Maker maker;
    json order = Maker::order();
    order["inbound"]["key"] = std::string(40, 'a');
    CHECK(maker.make(order).error().words.starts_with(".outbound.key: 20 or 36 bytes"));
    order = Maker::order();
    order["inbound"].erase("key");
    CHECK(maker.make(order).error().words.starts_with(".inbound.key: 20 or 36 bytes"));
    order = Maker::order();
    order["outbound"]["spi"] = 7;
    CHECK(maker.make(order).error().words.starts_with(".outbound.spi: "));
    order = Maker::order();
    order.erase("tunnel");
    CHECK(maker.make(order).error().words == ".tunnel: is missing");
}

// JSON-RPC 2.0 as the control socket speaks it: what is refused, in which words, and what comes back.
#include "control/json_rpc.hpp"

#include <random>
#include <string>

#include <catch2/catch.hpp>

#include "control/line_cutter.hpp"

using namespace sekisho;
using namespace sekisho::control;
using nlohmann::json;

namespace {

Refusal refusal_of(const std::string& line) {
    auto parsed = parse_request(line);
    REQUIRE(std::holds_alternative<Refusal>(parsed));
    return std::get<Refusal>(parsed);
}

Request request_of(const std::string& line) {
    auto parsed = parse_request(line);
    REQUIRE(std::holds_alternative<Request>(parsed));
    return std::get<Request>(parsed);
}

}  // namespace

TEST_CASE("json-rpc: a line that is not JSON is a parse error with a null id", "[control]") {
    for (const std::string line : {"", "{", "hello", "{\"jsonrpc\":\"2.0\",\"id\":1", "{} {}", "\"\xff\xfe\"", "\x01",
                                   "{\"id\":1e99999}", "nul", R"({"id":1,"id":2,"jsonrpc":"2.0","method":"m"})"}) {
        INFO(line);
        const Refusal refusal = refusal_of(line);
        CHECK(refusal.error.code == RpcErrorCode::parse_error);
        CHECK(refusal.id.is_null());
        CHECK(refusal.error.message.starts_with("not JSON: "));
    }
}

TEST_CASE("json-rpc: a byte that is no UTF-8 inside a string is refused", "[control]") {
    const Refusal refusal = refusal_of("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\x28\"}");
    CHECK(refusal.error.code == RpcErrorCode::parse_error);
    CHECK(refusal.error.message.find("UTF-8") != std::string::npos);
}

TEST_CASE("json-rpc: nesting deeper than the limit is refused, whatever the length", "[control]") {
    const Refusal refusal = refusal_of(std::string(1'000'000, '['));
    CHECK(refusal.error.code == RpcErrorCode::parse_error);
    CHECK(refusal.error.message.size() < 1000);
    const std::string brackets_in_a_string = "{\"jsonrpc\":\"2.0\",\"method\":\"" + std::string(100, '[') + "\\\"[\"}";
    CHECK(request_of(brackets_in_a_string).method.size() == 102);
}

TEST_CASE("json-rpc: a batch is refused as an invalid request, in words", "[control]") {
    const Refusal refusal = refusal_of(R"([{"jsonrpc":"2.0","id":1,"method":"version"}])");
    CHECK(refusal.error.code == RpcErrorCode::invalid_request);
    CHECK(refusal.error.message.find("batch") != std::string::npos);
}

TEST_CASE("json-rpc: JSON that is no request is an invalid request, and its id comes back when it has a good one",
          "[control]") {
    CHECK(refusal_of("3").error.code == RpcErrorCode::invalid_request);
    CHECK(refusal_of("null").error.code == RpcErrorCode::invalid_request);
    CHECK(refusal_of(R"({"id":7,"method":"version"})").id == 7);
    CHECK(refusal_of(R"({"jsonrpc":"1.0","id":"a","method":"version"})").id == "a");
    CHECK(refusal_of(R"({"jsonrpc":"2.0","id":7,"method":3})").error.code == RpcErrorCode::invalid_request);
    CHECK(refusal_of(R"({"jsonrpc":"2.0","id":7})").error.code == RpcErrorCode::invalid_request);
    CHECK(refusal_of(R"({"jsonrpc":"2.0","id":7,"method":"version","parms":{}})").error.message.find("parms") !=
          std::string::npos);
}

TEST_CASE("json-rpc: an id that is neither string, whole number nor null is refused", "[control]") {
    for (const std::string id : {"1.5", "[1]", "{}", "true"}) {
        const Refusal refusal = refusal_of("{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":" + id + "}");
        CHECK(refusal.error.code == RpcErrorCode::invalid_request);
        CHECK(refusal.id.is_null());
    }
}

TEST_CASE("json-rpc: parameters by position are refused, with the request's id", "[control]") {
    const Refusal refusal = refusal_of(R"({"jsonrpc":"2.0","id":9,"method":"begin","params":[true]})");
    CHECK(refusal.error.code == RpcErrorCode::invalid_params);
    CHECK(refusal.id == 9);
}

TEST_CASE("json-rpc: a request's id is kept as it was, and a request without one is a notification", "[control]") {
    CHECK(*request_of(R"({"jsonrpc":"2.0","id":-3,"method":"m"})").id == -3);
    CHECK(*request_of(R"({"jsonrpc":"2.0","id":"x\u00e9","method":"m"})").id == "x\u00e9");
    CHECK(request_of(R"({"jsonrpc":"2.0","id":null,"method":"m"})").id->is_null());
    CHECK_FALSE(request_of(R"({"jsonrpc":"2.0","method":"m"})").id.has_value());
    CHECK(request_of(R"({"jsonrpc":"2.0","method":"m"})").params == json::object());
}

TEST_CASE("json-rpc: an error carries its number, its words and its name", "[control]") {
    const json line = json::parse(error_line(4, {RpcErrorCode::conflict, "words", {{"base", 3}}}));
    CHECK(line == json::parse(R"({"jsonrpc":"2.0","id":4,
        "error":{"code":8,"message":"words","data":{"name":"conflict","base":3}}})"));
}

TEST_CASE("json-rpc: words with bytes that are no UTF-8 still make a line that parses", "[control]") {
    const std::string line = error_line(nullptr, {RpcErrorCode::invalid, "file \xff\xfe\n is odd"});
    CHECK(line.find('\n') == line.size() - 1);
    CHECK(json::parse(line)["error"]["code"] == 1);
}

TEST_CASE("json-rpc: every error code of the net's errors has one of its own", "[control]") {
    CHECK(rpc_error({ErrorCode::unsupported, "w"}).code == RpcErrorCode::unsupported);
    CHECK(name_of(code_of(ErrorCode::unavailable)) == "unavailable");
    CHECK(name_of(static_cast<RpcErrorCode>(99)) == "unknown");
}

TEST_CASE("line cutter: a line longer than the limit is reported once, and the next one is read", "[control]") {
    LineCutter cutter(10);
    cutter.feed("12345678901");
    auto line = cutter.next();
    REQUIRE(line);
    CHECK(line->oversize);
    for (int i = 0; i < 100; ++i) {
        cutter.feed(std::string(1000, 'x'));
        CHECK_FALSE(cutter.next());
    }
    CHECK(cutter.is_inside_line());
    cutter.feed("xx\nnext\n");
    line = cutter.next();
    REQUIRE(line);
    CHECK_FALSE(line->oversize);
    CHECK(line->text == "next");
    CHECK_FALSE(cutter.next());
    CHECK_FALSE(cutter.is_inside_line());
}

TEST_CASE("line cutter: a line of exactly the limit passes, one byte more does not, also when whole at once",
          "[control]") {
    LineCutter cutter(4);
    cutter.feed("1234\n12345\n\n");
    CHECK(cutter.next()->text == "1234");
    CHECK(cutter.next()->oversize);
    CHECK(cutter.next()->text.empty());
    CHECK_FALSE(cutter.next());
}

TEST_CASE("line cutter: however the bytes come, the lines are the same", "[control]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    std::string stream;
    std::vector<std::string> expected;  // "!" for an oversize one
    for (int i = 0; i < 200; ++i) {
        const std::string text(random() % 40, static_cast<char>('a' + i % 26));
        expected.push_back(text.size() > 30 ? "!" : text);
        stream += text + "\n";
    }
    LineCutter cutter(30);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < stream.size();) {
        const std::size_t step = std::min<std::size_t>(1 + random() % 50, stream.size() - at);
        cutter.feed(std::string_view(stream).substr(at, step));
        at += step;
        while (auto line = cutter.next()) lines.push_back(line->oversize ? "!" : std::string(line->text));
    }
    CHECK(lines == expected);
    CHECK_FALSE(cutter.is_inside_line());
}

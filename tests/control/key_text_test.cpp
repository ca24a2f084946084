// Keys out of lines: what is found, what stays, and that nothing of a key is left behind.
#include "control/key_text.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/line_cutter.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::control;

namespace {

const std::string kKey = "00112233445566778899aabbccddeeffDEADBEEF";

std::string bytes_of(const Secret& secret) {
    return {secret.reveal().begin(), secret.reveal().end()};
}

struct Taken {
    std::string line;
    std::vector<Secret> keys;
};
Taken take(std::string line) {
    Taken taken;
    taken.keys = take_keys(line);
    taken.line = std::move(line);
    return taken;
}

}  // namespace

TEST_CASE("key text: a key becomes a Secret, and its digits are gone from the line", "[control]") {
    const Taken taken = take(R"({"a": {"key" : ")" + kKey + R"(", "spi": 7}, "b": {"key":")" + kKey + R"("}})");
    REQUIRE(taken.keys.size() == 2);
    CHECK(bytes_of(taken.keys[0]) ==
          std::string("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16) + "\xde\xad\xbe\xef");
    CHECK(taken.line.find("2233") == std::string::npos);
    const auto read = nlohmann::json::parse(taken.line);
    CHECK(read["a"]["spi"] == 7);
    CHECK(key_of(read["a"]["key"].get<std::string>(), taken.keys) == &taken.keys[0]);
    CHECK(key_of(read["b"]["key"].get<std::string>(), taken.keys) == &taken.keys[1]);
}

TEST_CASE("key text: what is no row of hexadecimal pairs is an empty Secret, and gone all the same", "[control]") {
    for (const std::string& text : {std::string("not-a-key-at-all-0011223344"), kKey.substr(1), kKey + "g0",
                                    std::string(130, 'a'), std::string(R"(0011\u00301122334455667788)"),
                                    std::string(R"(quoted\"0011223344)"), std::string("00112233 ")}) {
        INFO(text);
        const Taken taken = take(R"({"key":")" + text + R"(","spi":7})");
        REQUIRE(taken.keys.size() == 1);
        CHECK(taken.keys[0].size() == 0);
        CHECK(taken.line.find("1122") == std::string::npos);
        const auto read = nlohmann::json::parse(taken.line);
        CHECK(read["spi"] == 7);
        CHECK(key_of(read["key"].get<std::string>(), taken.keys) == &taken.keys[0]);
    }
    const Taken little = take(R"({"key":"0011"})");  // too short for a mark
    CHECK(nlohmann::json::parse(little.line)["key"] == "----");
    CHECK(key_of("----", little.keys) == nullptr);
    CHECK(take(R"({"key":""})").line == R"({"key":""})");
}

TEST_CASE("key text: what is not a member key stays as it is", "[control]") {
    for (const char* const line :
         {R"({"note":"key","x":"00112233445566778899"})", R"({"keys":"00112233445566778899","key":7})",
          R"({"key":["00112233445566778899"],"a":"\"key\":"})", R"("key")", R"({"key")", R"({"key":)", R"({"key": )",
          "", R"({"a":"\\","key" "00112233445566778899"})"})
        CHECK(take(line).line == line);
}

TEST_CASE("key text: a key in a line that ends too soon, or is no JSON, is taken too", "[control]") {
    for (const std::string& line :
         {R"({"key":")" + kKey, R"({"key":")" + kKey + "\\", R"(}}]"key": ")" + kKey + R"("{{)"}) {
        const Taken taken = take(line);
        CHECK(taken.keys.size() == 1);
        CHECK(taken.line.find("2233") == std::string::npos);
        CHECK(taken.line.size() == line.size());
    }
}

TEST_CASE("key text: only its own marks stand for a key", "[control]") {
    const Taken taken = take(R"({"key":")" + kKey + R"("})");
    for (const char* const mark :
         {"", "#", "#0", "#0      x", "#1        ", "#-1       ", "#99999999999999999999999 ", "0         "}) {
        INFO(mark);
        const Secret* const key = key_of(mark, taken.keys);
        CHECK((key == nullptr || std::string_view(mark).starts_with("#0 ")));
    }
    CHECK(key_of("#0        ", taken.keys) == &taken.keys[0]);
}

TEST_CASE("key text: random lines keep their length and everything but the keys", "[control]") {
    sekisho::test::Random random("key text");
    for (int round = 0; round < 3000; ++round) {
        std::string line;
        for (std::uint64_t pieces = random.below(12); pieces > 0; --pieces) {
            static const char* const kPieces[] = {"\"key\"",          ":",  " ", "\"", "\\", "{", "}",
                                                  "abcdef0123456789", "#0", ","};
            line += kPieces[random.below(10)];
        }
        const Taken taken = take(line);
        REQUIRE(taken.line.size() == line.size());
        if (taken.keys.empty()) REQUIRE(taken.line == line);
    }
}

TEST_CASE("line cutter: a line that was taken is not left in its memory, nor is what moved", "[control]") {
    LineCutter cutter;
    const std::string secret = "0123456789abcdef0123456789abcdef01234567";
    cutter.feed("first " + secret + "\nsecond " + secret);
    auto line = cutter.next();
    REQUIRE(line);
    CHECK(std::string_view(line->text) == "first " + secret);
    const char* const memory = line->text.data();
    const std::size_t length = line->text.size();
    CHECK(std::string_view(memory, length).find(secret) != std::string_view::npos);
    CHECK_FALSE(cutter.next());
    CHECK(cutter.is_inside_line());
    cutter.feed("\n");
    line = cutter.next();
    REQUIRE(line);
    CHECK(std::string_view(line->text) == "second " + secret);
    CHECK_FALSE(cutter.next());
    // The cutter's object and what it points to hold neither.
    const auto* words = reinterpret_cast<const char*>(&cutter);
    CHECK(std::string_view(words, sizeof cutter).find(secret) == std::string_view::npos);
}

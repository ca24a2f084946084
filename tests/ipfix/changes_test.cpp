// What is an event, and what a new file of the log only repeats.
#include "ipfix/changes.hpp"

#include <catch2/catch.hpp>

using namespace sekisho;
using namespace sekisho::ipfix;

namespace {

struct Log {
    // The events of a line, as "+port" and "-port".
    std::string take(const std::string& line) {
        std::vector<Event> events;
        readable = changes.take(line, events);
        return words(events);
    }
    std::string settle() {
        std::vector<Event> events;
        changes.settle(events);
        return words(events);
    }
    std::string words(const std::vector<Event>& events) {
        std::string text;
        for (const Event& event : events) text += (event.opened ? " +" : " -") + std::to_string(event.first_port);
        if (!events.empty()) last = events.back();
        return text;
    }
    Changes changes;
    Event last;
    bool readable = true;
};

std::string time_of(unsigned second) {
    return "\"2026-04-01T09:00:" + std::to_string(10 + second) + "+09:00\"";
}
std::string start(unsigned second) {
    return R"({"time":)" + time_of(second) + R"(,"what":"start","generation":1})";
}
std::string block(const char* what, unsigned second, unsigned opened, unsigned port,
                  const char* host = "\"10.2.1.7\"") {
    return R"({"time":)" + time_of(second) + R"(,"what":"block.)" + what +
           R"(","address":"100.64.200.1","first_port":)" + std::to_string(port) + R"(,"generation":1,"host":)" + host +
           R"(,"institution":"mori","last_port":)" + std::to_string(port + 255) + R"(,"opened":)" + time_of(opened) +
           R"(,"operator":"kita","translation":"shared"})";
}
std::string server(const char* what, unsigned second, const char* host = "\"10.2.1.9\"") {
    return R"({"time":)" + time_of(second) + R"(,"what":"static.)" + what +
           R"(","address":"100.64.200.1","first_port":8443,"last_port":8443,"host":)" + host +
           R"(,"host_port":443,"protocol":"tcp","institution":"mori","operator":"kita","translation":"shared","opened":)" +
           time_of(second) + "}";
}
constexpr std::int64_t kBegin = 1'775'001'610'000;  // second 0

}  // namespace

TEST_CASE("ipfix: a line of the log is an event, with all that it says", "[ipfix]") {
    Log log;
    CHECK(log.take(start(0)) == "");
    CHECK(log.take(block("open", 1, 1, 1024)) == " +1024");
    CHECK(log.last == Event{true, false, kBegin + 1000, "kita", "mori", "shared", Ipv4Address::parse("10.2.1.7"),
                            *Ipv4Address::parse("100.64.200.1"), 1024, 1279, 0, 0});
    CHECK(log.take(block("open", 1, 1, 2048, "null")) == " +2048");
    CHECK_FALSE(log.last.host);
    CHECK(log.take(server("open", 1)) == " +8443");
    CHECK(log.last == Event{true, true, kBegin + 1000, "kita", "mori", "shared", Ipv4Address::parse("10.2.1.9"),
                            *Ipv4Address::parse("100.64.200.1"), 8443, 8443, 443, 6});
    CHECK(log.take(block("close", 9, 1, 1024)) == " -1024");
    CHECK(log.last.time == kBegin + 9000);
    CHECK(log.take(server("close", 9)) == " -8443");
    CHECK(log.readable);
}

TEST_CASE("ipfix: what a new day repeats is no event, and what it leaves out has ended", "[ipfix]") {
    Log log;
    log.take(start(0));
    for (const unsigned port : {1024U, 2048U, 3072U}) log.take(block("open", 1, 1, port));
    CHECK(log.take(start(5)) == "");
    CHECK(log.take(block("open", 5, 1, 1024)) == "");
    CHECK(log.take(block("open", 5, 1, 2048)) == "");
    SECTION("told by the next that is opened") {
        CHECK(log.take(block("open", 6, 6, 4096)) == " -3072 +4096");
    }
    SECTION("or by silence") {
        CHECK(log.settle() == " -3072");
        CHECK(log.last.time == kBegin + 5000);
    }
    SECTION("or by another start") {
        CHECK(log.take(start(7)) == " -3072");
    }
    CHECK(log.settle().find("3072") == std::string::npos);
    CHECK(log.readable);
}

TEST_CASE("ipfix: after a restart the same ports may be another's", "[ipfix]") {
    Log log;
    log.take(start(0));
    log.take(block("open", 1, 1, 1024));
    log.take(server("open", 1));
    log.take(start(5));
    CHECK(log.take(block("open", 5, 5, 1024, "\"10.2.1.8\"")) == " -1024 +1024");
    CHECK(log.take(server("open", 5, "\"10.2.1.9\"")) == " -8443 +8443");
    CHECK(log.settle() == "");
}

TEST_CASE("ipfix: what is no line is said, and changes nothing", "[ipfix]") {
    Log log;
    log.take(start(0));
    log.take(block("open", 1, 1, 1024));
    for (const char* line : {"", "{", "7", "{}", R"({"what":"start"})", R"({"what":"block.open"})", R"({"what":7})",
                             R"({"time":"2026-04-01","what":"block.move","address":"100.64.200.1"})",
                             R"({"time":7,"what":"block.close","address":"100.64.200.1"})"}) {
        CHECK(log.take(line) == "");
        CHECK_FALSE(log.readable);
    }
    CHECK(log.take(block("close", 2, 1, 2048)) == "");  // of what was never opened
    CHECK(log.take(block("close", 2, 1, 1024)) == " -1024");
}

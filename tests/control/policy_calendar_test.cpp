// Japan time: what is refused first, then known instants (date -d, GNU coreutils) and a walk over every day.
#include <catch2/catch.hpp>

#include "control/calendar.hpp"

using namespace sekisho::control;
using std::chrono::system_clock;

namespace {

long long seconds_of(system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

TEST_CASE("calendar: a day that the calendar does not have is refused", "[control]") {
    for (const char* text : {"2026-02-29", "2100-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00",
                             "2026-02-30T00:00:00+09:00"}) {
        const auto time = parse_time(text);
        REQUIRE_FALSE(time);
        CHECK(time.error().words == std::string("\"") + text + "\" is a day that the calendar does not have");
    }
}

TEST_CASE("calendar: what is not a date or a time is refused with what was expected", "[control]") {
    for (const char* text : {"", "2026", "2026-4-1", "2026/04/01", "01-04-2026", "2026-04-01 ", " 2026-04-01",
                             "2026-04-01T", "2026-04-01T09:00", "2026-04-01T09:00:00", "2026-04-01 09:00:00+09:00",
                             "2026-04-01T09:00:00.5+09:00", "2026-04-01t09:00:00+09:00", "tomorrow"}) {
        INFO(text);
        const auto time = parse_time(text);
        REQUIRE_FALSE(time);
        CHECK(time.error().words.find("neither a date like 2026-04-01 nor a time") != std::string::npos);
    }
}

TEST_CASE("calendar: another offset than Japan's is refused by name", "[control]") {
    for (const char* text : {"2026-04-01T09:00:00Z", "2026-04-01T09:00:00+00:00", "2026-04-01T09:00:00-09:00",
                             "2026-04-01T09:00:00+09:30"}) {
        INFO(text);
        const auto time = parse_time(text);
        REQUIRE_FALSE(time);
        CHECK(time.error().words.find("not in Japan time: the offset must be +09:00") != std::string::npos);
    }
}

TEST_CASE("calendar: hour 24, minute 60 and a leap second are refused", "[control]") {
    for (const char* text : {"2026-04-01T24:00:00+09:00", "2026-04-01T09:60:00+09:00", "2026-04-01T08:59:60+09:00"}) {
        const auto time = parse_time(text);
        REQUIRE_FALSE(time);
        CHECK(time.error().words.find("the clock does not have") != std::string::npos);
    }
}

TEST_CASE("calendar: a year that the clock's range may not hold is refused", "[control]") {
    CHECK_FALSE(parse_time("1969-12-31"));
    CHECK_FALSE(parse_time("2200-01-01"));
    CHECK_FALSE(parse_time("0000-01-01"));
    CHECK(parse_time("1970-01-01"));
    CHECK(parse_time("2199-12-31T23:59:59+09:00"));
}

TEST_CASE("calendar: a date field takes no time of day", "[control]") {
    const auto time = parse_date("2026-04-01T09:00:00+09:00");
    REQUIRE_FALSE(time);
    CHECK(time.error().words.find("is not a date like 2026-04-01") != std::string::npos);
}

TEST_CASE("calendar: control characters of a wrong time do not reach the words of its error", "[control]") {
    const auto time = parse_time("\x1b[2J2026");
    REQUIRE_FALSE(time);
    CHECK(time.error().words.find('\x1b') == std::string::npos);
}

TEST_CASE("calendar: a date is its midnight in Japan", "[control]") {
    CHECK(seconds_of(*parse_time("2026-04-01")) == 1774969200);  // TZ=Asia/Tokyo date -d 2026-04-01 +%s
    CHECK(seconds_of(*parse_time("2026-04-01T09:00:00+09:00")) == 1775001600);
    CHECK(seconds_of(*parse_time("1970-01-01")) == -9 * 3600);
    CHECK(seconds_of(*parse_time("2028-02-29T23:59:59+09:00")) == 1835449199);
}

TEST_CASE("calendar: every day of two centuries is read and written alike, one after the other", "[control]") {
    auto time = *parse_date("1970-01-01");
    const auto end = *parse_date("2199-12-31");
    int days = 0;
    while (time < end) {
        const std::string text = date_text(time);
        const auto again = parse_date(text);
        REQUIRE(again);
        REQUIRE(*again == time);
        REQUIRE(time_text(time) == text + "T00:00:00+09:00");
        time += std::chrono::hours(24);
        ++days;
    }
    CHECK(days == 84005);  // Python: date(2199, 12, 31) - date(1970, 1, 1)
}

TEST_CASE("calendar: the evening in London is the next day in Japan", "[control]") {
    const auto evening = system_clock::time_point(std::chrono::sys_days(std::chrono::year(2026) / 3 / 31)) +
                         std::chrono::hours(15) + std::chrono::milliseconds(999);
    CHECK(time_text(evening) == "2026-04-01T00:00:00+09:00");
    CHECK(date_text(evening) == "2026-04-01");
}

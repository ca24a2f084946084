// Japan time from text and to text, by the proleptic Gregorian calendar of <chrono>. Control plane only.
#include "control/calendar.hpp"

#include <array>
#include <cstdio>
#include <optional>

namespace sekisho::control {

namespace {

using std::chrono::system_clock;
constexpr std::chrono::hours kJapan{9};
constexpr std::string_view kDateForm = "0000-00-00";
constexpr std::string_view kTimeForm = "0000-00-00T00:00:00+09:00";

Error wrong(std::string_view text, const std::string& what) {
    constexpr std::size_t kShown = 40;
    std::string shown(text.substr(0, kShown));
    for (char& letter : shown)
        if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = '?';
    if (text.size() > kShown) shown += "...";
    return {ErrorCode::invalid, "\"" + shown + "\" " + what};
}

// Whether `text` has a digit wherever `form` has a 0, and the form's own letter elsewhere. "+09:00" is taken for digits
// here and looked at later, so that another offset gets an error of its own.
bool has_form(std::string_view text, std::string_view form) {
    if (text.size() != form.size()) return false;
    for (std::size_t i = 0; i < form.size(); ++i) {
        const bool digit = form[i] >= '0' && form[i] <= '9';
        if (digit ? (text[i] < '0' || text[i] > '9') : (text[i] != form[i])) return false;
    }
    return true;
}

int digits(std::string_view text, std::size_t from, std::size_t count) {
    int value = 0;
    for (const char letter : text.substr(from, count)) value = value * 10 + (letter - '0');
    return value;
}

// The day that the first ten letters name, or nullopt when the calendar has none.
std::optional<std::chrono::sys_days> day_of(std::string_view text) {
    const std::chrono::year_month_day day{std::chrono::year(digits(text, 0, 4)),
                                          std::chrono::month(static_cast<unsigned>(digits(text, 5, 2))),
                                          std::chrono::day(static_cast<unsigned>(digits(text, 8, 2)))};
    if (!day.ok()) return std::nullopt;
    return std::chrono::sys_days(day);
}

Expected<system_clock::time_point> midnight(std::string_view text) {
    const auto day = day_of(text);
    if (!day) return wrong(text, "is a day that the calendar does not have");
    const int year = digits(text, 0, 4);
    if (year < 1970 || year > 2199) return wrong(text, "is outside the years 1970 to 2199");
    return system_clock::time_point(*day) - kJapan;
}

}  // namespace

Expected<system_clock::time_point> parse_date(std::string_view text) {
    if (!has_form(text, kDateForm)) return wrong(text, "is not a date like 2026-04-01");
    return midnight(text);
}

Expected<system_clock::time_point> parse_time(std::string_view text) {
    if (has_form(text, kDateForm)) return midnight(text);
    const bool utc = text.size() == 20 && text.back() == 'Z';
    const bool western = text.size() == kTimeForm.size() && text[19] == '-';
    if (!has_form(text, kTimeForm) && !utc && !western)
        return wrong(text, "is neither a date like 2026-04-01 nor a time like 2026-04-01T09:00:00+09:00");
    if (utc || western || text.substr(19) != "+09:00")
        return wrong(text, "is not in Japan time: the offset must be +09:00");
    const int hour = digits(text, 11, 2);
    const int minute = digits(text, 14, 2);
    const int second = digits(text, 17, 2);
    if (hour > 23 || minute > 59 || second > 59) return wrong(text, "is a time that the clock does not have");
    auto day = midnight(text);
    if (!day) return day.error();
    return *day + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
}

std::string time_text(system_clock::time_point time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time + kJapan);
    const auto day = std::chrono::floor<std::chrono::days>(seconds);
    const std::chrono::hh_mm_ss clock{seconds - day};
    std::array<char, 24> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "T%02d:%02d:%02d+09:00", static_cast<int>(clock.hours().count()),
                  static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
    return date_text(time) + buffer.data();
}

std::string date_text(system_clock::time_point time) {
    const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(time + kJapan)};
    std::array<char, 16> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02u", static_cast<int>(day.year()),
                  static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
    return buffer.data();
}

}  // namespace sekisho::control

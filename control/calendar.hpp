// Dates and times of the policy: Japan time in, Japan time out.
//
// The connection rules are dated in Japan time (JST, UTC+9, no summer time since 1951), and so are the document, the
// CLI and every export. Nothing here reads a clock or the time zone of the machine. Pure functions; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "net/expected.hpp"

namespace sekisho::control {

// "2026-04-01" (its midnight, 00:00 JST) or "2026-04-01T09:00:00+09:00". Only days that the calendar has, years 1970 to
// 2199; no other offset, no fraction, no leap second. Error invalid, with what was given and what was expected.
Expected<std::chrono::system_clock::time_point> parse_time(std::string_view text);

// A date alone: "2026-04-01", its midnight in Japan.
Expected<std::chrono::system_clock::time_point> parse_date(std::string_view text);

// "2026-04-01T09:00:00+09:00"; seconds, the fraction cut off.
std::string time_text(std::chrono::system_clock::time_point time);

// "2026-04-01": the day that it is in Japan at that time.
std::string date_text(std::chrono::system_clock::time_point time);

}  // namespace sekisho::control

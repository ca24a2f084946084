// The daemon's own log: lines of `level message` on standard error, for journald or a file.
//
// Cold code only; workers never log. Safe from any thread: a line is one write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sekisho::control {

enum class LogLevel : std::uint8_t { error, warning, info, debug };

std::string_view name_of(LogLevel level) noexcept;
std::optional<LogLevel> log_level_named(std::string_view name) noexcept;

void set_log_level(LogLevel most_talkative) noexcept;  // info until it is set
void log(LogLevel level, const std::string& message);  // newlines in it become spaces

}  // namespace sekisho::control

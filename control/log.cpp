#include "control/log.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <unistd.h>

namespace sekisho::control {

namespace {

constexpr std::array<std::string_view, 4> kNames = {"error", "warning", "info", "debug"};
std::atomic<LogLevel> most_talkative_level{LogLevel::info};

}  // namespace

std::string_view name_of(LogLevel level) noexcept {
    return kNames[static_cast<std::size_t>(level)];
}

std::optional<LogLevel> log_level_named(std::string_view name) noexcept {
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) return std::nullopt;
    return static_cast<LogLevel>(found - kNames.begin());
}

void set_log_level(LogLevel most_talkative) noexcept {
    most_talkative_level = most_talkative;
}

void log(LogLevel level, const std::string& message) {
    if (level > most_talkative_level.load()) return;
    std::string line = std::string(name_of(level)) + " " + message;
    std::replace(line.begin(), line.end(), '\n', ' ');
    line += '\n';
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace sekisho::control

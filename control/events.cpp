#include "control/events.hpp"

#include <chrono>

#include "control/calendar.hpp"

namespace sekisho::control {

std::optional<EventKind> event_kind_named(std::string_view name) noexcept {
    for (std::size_t i = 0; i < kEventKinds.size(); ++i)
        if (kEventKinds[i].name == name) return static_cast<EventKind>(i);
    return std::nullopt;
}

void Events::post(EventKind kind, nlohmann::json details) {
    ++posted_;
    if (listener_) listener_({posted_, kind, time_text(std::chrono::system_clock::now()), std::move(details)});
}

}  // namespace sekisho::control

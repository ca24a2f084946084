// What a service manager is told: that the daemon is ready, that it stops (sd_notify(3)'s datagrams).
#pragma once

#include <string_view>

namespace sekisho::control {

// "READY=1", "STOPPING=1". To the socket that NOTIFY_SOCKET names; without one, and whatever fails, nothing happens: a
// manager that heard nothing knows what to do.
void notify(std::string_view state) noexcept;

}  // namespace sekisho::control

// clear session; show sessions is a table like any other (control/sekishoctl_show.cpp).
#include <fmt/format.h>

#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

int clear_sessions(const Options& options, const nlohmann::json& filter) {
    Daemon daemon(options);
    const auto result = daemon.call("session.clear", filter);
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("{} sessions ended\n", result->value("cleared", std::uint64_t{0}));
    return kOk;
}

}  // namespace sekisho::control::cli

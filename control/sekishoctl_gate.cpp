// gate close and gate open: what an engineer does at three in the morning.
#include <fmt/format.h>

#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

int close_gate(const Options& options, json gate) {
    if (!gate.contains("id"))
        gate["id"] = gate.value("target", "") + (gate.contains("target_id") ? "-" + gate.value("target_id", "") : "");
    Daemon daemon(options);
    const auto result = daemon.call("gate.close", gate);
    if (!result) return daemon.exit_code();
    const bool durable = result->value("durable", true);
    if (options.json)
        print(*result);
    else
        fmt::print("gate {} is closed\n", result->value("closed", ""));
    if (!durable)
        return fail(options,
                    Error{ErrorCode::unavailable, "closed, but not recorded, so that a restart would open it: " +
                                                      result->value("warning", "")});
    return kOk;
}

int open_gate(const Options& options, const std::string& id) {
    Daemon daemon(options);
    const auto result = daemon.call("gate.open", {{"id", id}});
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("gate {} is open\n", result->value("opened", ""));
    return kOk;
}

}  // namespace sekisho::control::cli

// events: what happens on the node, a line each, until it is interrupted or the daemon goes. And who one is.
#include <cstdio>

#include <fmt/format.h>

#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

// "2026-11-22T21:00:00+09:00 link port=p0 state=down"
std::string line_of(const json& event) {
    std::string line = fmt::format("{} {}", event.value("time", ""), event.value("kind", ""));
    for (const auto& [name, value] : event.items())
        if (name != "time" && name != "kind" && name != "sequence" && name != "lost")
            line += fmt::format(" {}={}", name, value.is_string() ? value.get<std::string>() : value.dump());
    return line;
}

}  // namespace

int follow_events(const Options& options, const std::vector<std::string>& kinds, std::size_t count) {
    Daemon daemon(options);
    json params = json::object();
    if (!kinds.empty()) params["kinds"] = kinds;
    if (!daemon.call("events", params)) return daemon.exit_code();
    for (std::size_t told = 0; count == 0 || told < count; ++told) {
        const auto event = daemon.next_notification();
        if (!event) return daemon.exit_code();
        if (const auto lost = event->value("lost", std::uint64_t{0}); lost != 0 && !options.json)
            fmt::print("... {} events were lost\n", lost);
        if (options.json)
            fmt::print("{}\n", event->dump(-1, ' ', false, json::error_handler_t::replace));
        else
            fmt::print("{}\n", line_of(*event));
        std::fflush(stdout);  // whoever reads a pipe reads it as it happens
    }
    return kOk;
}

int whoami(const Options& options) {
    Daemon daemon(options);
    const auto result = daemon.call("whoami");
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("{}, uid {}, gid {}\n", result->value("role", ""), result->value("uid", 0U),
                   result->value("gid", 0U));
    return kOk;
}

}  // namespace sekisho::control::cli

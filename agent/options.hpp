// sekisho-agent's command line and configuration file.
//
// Every flag may stand in the configuration file, under its name; the command line wins.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/etcd_client.hpp"
#include "agent/follower.hpp"
#include "control/log.hpp"

namespace sekisho::agent {

struct AgentOptions {
    enum class Command : std::uint8_t { run, fleet, import };
    Command command = Command::run;
    FollowerOptions follower;
    std::string file;  // the policy's source; "": etcd is
    EtcdOptions etcd;
    std::string cluster = "hub";
    std::chrono::seconds watch_life{60};
    std::chrono::seconds lease{15};
    control::LogLevel log_level = control::LogLevel::info;
    bool json = false;        // fleet
    std::string import_file;  // import
};

struct ParsedAgentOptions {
    std::optional<AgentOptions> options;  // nullopt: help was printed, or an error
    int exit_code = 0;
};
ParsedAgentOptions parse_agent_options(int argc, const char* const* argv);

}  // namespace sekisho::agent

// sekisho-agent's command line and configuration file.
//
// Every flag may stand in the configuration file, under its name; the command line wins.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/etcd_client.hpp"
#include "agent/follower.hpp"
#include "control/log.hpp"

namespace sekisho::agent {

struct AgentOptions {
    enum class Command : std::uint8_t { run, fleet, import, wrap };
    Command command = Command::run;
    FollowerOptions follower;
    std::string file;  // the policy's source; "": etcd is
    EtcdOptions etcd;
    std::string cluster = "hub";
    std::chrono::seconds watch_life{60};
    std::chrono::seconds lease{15};
    control::LogLevel log_level = control::LogLevel::info;
    bool json = false;                        // fleet
    std::string import_file;                  // import
    std::string node_key;                     // run: the node's private key; "": keys in the store are none of ours
    std::vector<std::string> keys_from;       // run: public keys of who may give it SAs
    std::string wrap_file, wrap_to, wrap_by;  // wrap: SAs, the node's public key, our private one
    bool put = false;                         // wrap: into the store
};

struct ParsedAgentOptions {
    std::optional<AgentOptions> options;  // nullopt: help was printed, or an error
    int exit_code = 0;
};
ParsedAgentOptions parse_agent_options(int argc, const char* const* argv);

}  // namespace sekisho::agent

// What sekishod is told: the command line and its configuration file, one set of names for both.
//
// A flag wins over the file. Errors name the flag, or the file's line; nothing is opened or started here.
#pragma once

#include <optional>
#include <string>

#include "control/ledger_thread.hpp"
#include "control/log.hpp"
#include "control/roles.hpp"
#include "control/signature.hpp"
#include "control/state_store.hpp"
#include "dataplane/engine.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct DaemonOptions {
    dataplane::EngineConfig engine;
    std::string socket = "/run/sekisho/control.sock";
    std::optional<gid_t> socket_group;  // the daemon's own when there is none
    Roles roles;
    std::string state_directory = "/var/lib/sekisho";
    std::string policy;                    // the initial document; "" for none
    std::string policy_signature;          // the file with its signature; "" for none
    bool policy_replace = false;           // it takes the place of what the state directory holds
    SigningKeys signing_keys;              // whose signatures a document needs
    std::size_t keep = StateStore::kKeep;  // generations before the running one
    ManualKeys manual_keys = ManualKeys::refuse;
    bool check = false;       // only say what is missing
    bool confinement = true;  // control/confinement.hpp
    LogLevel log_level = LogLevel::info;
};

struct ParsedOptions {
    std::optional<DaemonOptions> options;
    int exit_code = 0;  // when there are none: help was printed (0), or an error was (2)
};

ParsedOptions parse_options(int argc, const char* const* argv);

// "kita0=net_tap0,iface=sk-kita": a name as attachments use it, and DPDK's device arguments.
Expected<dataplane::PortSpec> parse_port(const std::string& text, std::uint16_t mtu);
// "kita0=icmp,tcp/22": what the AF_XDP port of that name, one of `ports`, leaves the kernel.
Expected<void> set_kernel_services(std::vector<dataplane::PortSpec>& ports, const std::string& text);

}  // namespace sekisho::control

#include "control/daemon_options.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/build_version.hpp"
#include "control/place.hpp"
#include "crypto/aead.hpp"
#include "dataplane/xdp_steering.hpp"

namespace sekisho::control {

namespace {

bool is_name(const std::string& text) {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
    }) && std::isalnum(static_cast<unsigned char>(text.front())) != 0;
}

// The line of the configuration file that an error is about, when it names a key that stands there: "FILE line 3: ".
std::string place_in_file(const std::string& file, const std::string& words) {
    std::ifstream stream(file);
    std::string line;
    for (int number = 1; std::getline(stream, line); ++number) {
        std::string key = line.substr(0, line.find('='));
        key.erase(std::remove_if(key.begin(), key.end(), [](unsigned char c) { return std::isspace(c) != 0; }),
                  key.end());
        if (key.empty() || key[0] == '#' || key == line) continue;
        const std::size_t at = words.find(key);
        if (at == std::string::npos) continue;
        const std::size_t end = at + key.size();
        const bool is_whole =
            end == words.size() || (std::isalnum(static_cast<unsigned char>(words[end])) == 0 && words[end] != '-');
        if (is_whole) return fmt::format("{} line {}: ", file, number);
    }
    return {};
}

}  // namespace

Expected<dataplane::PortSpec> parse_port(const std::string& text, std::uint16_t mtu) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals + 1 == text.size())
        return Error{ErrorCode::invalid, in_quotes(text) + ": NAME=DEVARGS is expected, kita0=net_tap0,iface=sk-kita"};
    dataplane::PortSpec port;
    port.name = text.substr(0, equals);
    port.devargs = text.substr(equals + 1);
    port.mtu = mtu;
    if (!is_name(port.name))
        return Error{ErrorCode::invalid, in_quotes(port.name) +
                                             ": a port's name is 1 to 64 letters, digits, '.', '_' "
                                             "and '-', beginning with a letter or digit"};
    return port;
}

Expected<void> set_kernel_services(std::vector<dataplane::PortSpec>& ports, const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
        return Error{ErrorCode::invalid, in_quotes(text) + ": PORT=SERVICES is expected, kita0=icmp,tcp/22"};
    const std::string name = text.substr(0, equals);
    const auto port = std::find_if(ports.begin(), ports.end(), [&](const auto& each) { return each.name == name; });
    if (port == ports.end()) return Error{ErrorCode::not_found, "there is no --port " + in_quotes(name)};
    if (!dataplane::XdpSteering::wanted_by(port->devargs))
        return Error{ErrorCode::invalid,
                     "port " + in_quotes(name) + " is not of net_af_xdp with sekisho's own program"};
    auto services = dataplane::parse_kernel_services(text.substr(equals + 1));
    if (!services) return Error{services.error().code, in_quotes(text) + ": " + services.error().words};
    port->kernel_services = std::move(*services);
    return {};
}

ParsedOptions parse_options(int argc, const char* const* argv) {
    DaemonOptions options;
    CLI::App app{"sekishod: the hub's dataplane and its control socket"};
    app.set_version_flag("--version", std::string("sekishod ") + build_version());
    app.set_config("--config", "", "configuration file (TOML or INI) with the names of these flags")
        ->check(CLI::ExistingFile);
    app.allow_config_extras(CLI::config_extras_mode::error);

    std::vector<std::string> ports;
    std::uint16_t mtu = 1500;
    app.add_option("--port", ports, "a port: NAME=DEVARGS, as in kita0=net_tap0,iface=sk-kita; again for each")
        ->delimiter('\0')
        ->take_all();
    app.add_option("--mtu", mtu, "largest IP packet of the ports, in bytes")
        ->check(CLI::Range(1280, 9000))
        ->capture_default_str();
    std::vector<std::string> kernel;
    app.add_option("--kernel", kernel,
                   "what an AF_XDP port leaves the kernel, for the interface's own addresses: PORT=SERVICES, as in "
                   "kita0=icmp,tcp/22,udp/500, or PORT=none; again for each. Otherwise ICMP, SSH, BGP, IKE and BFD")
        ->delimiter('\0')
        ->take_all();
    std::uint16_t queues = 0;
    app.add_option("--queues", queues, "queues of a port, at most; otherwise one a worker where the device has them")
        ->check(CLI::Range(1, 64));
    app.add_option("--socket", options.socket, "the control socket")->capture_default_str();
    std::string group;
    app.add_option("--socket-group", group,
                   "the group that may connect, by name or number; the daemon's own by default");
    std::vector<std::string> roles;
    app.add_option(
           "--role", roles,
           "who may do what: ROLE=WHOM, as in operator=@noc; again for each. ROLE: viewer, operator, admin. WHOM: "
           "a user, @group, or *. Without any, who may connect is a viewer; root and the daemon's user are admins")
        ->take_all();
    app.add_option("--state-dir", options.state_directory, "keeps the last good generation and the audit log")
        ->capture_default_str();
    app.add_option("--policy", options.policy, "the policy to begin with, when the state directory holds none")
        ->check(CLI::ExistingFile);
    auto* replace = app.add_flag("--policy-replace", options.policy_replace,
                                 "begin with --policy whatever the state directory holds");
    replace->needs(app.get_option("--policy"));
    app.add_option("--policy-signature", options.policy_signature, "the file with its signature")
        ->check(CLI::ExistingFile)
        ->needs(app.get_option("--policy"));
    std::vector<std::string> signing_keys;
    app.add_option("--signing-key", signing_keys,
                   "a public key, Ed25519, PEM; again for each. Only documents that one of them signed are taken")
        ->take_all();
    app.add_option("--keep", options.keep, "how many generations before the running one are kept for rollback")
        ->check(CLI::Range(1U, 1000U))
        ->capture_default_str();
    app.add_option("--workers", options.engine.workers, "workers; otherwise as many as --lcores names, or one")
        ->check(CLI::Range(1U, 64U));
    app.add_option("--lcores", options.engine.lcores,
                   "lcores and their processors: the first is control's, the others the workers', as in 0@0,1@1,2@2");
    bool no_huge = false;
    app.add_flag("--no-huge", no_huge, "use no hugepages, also if there are enough: slower");
    app.add_option("--memory", options.engine.memory_megabytes, "DPDK's memory, in MB")
        ->check(CLI::Range(64U, 1048576U))
        ->capture_default_str();
    app.add_option("--buffers", options.engine.buffers, "packet buffers in all")
        ->check(CLI::Range(1024U, 16777216U))
        ->capture_default_str();
    app.add_option("--sessions", options.engine.sessions.ipv4,
                   "IPv4 sessions of tracked agreements that a worker may keep, and a quarter as many of IPv6")
        ->check(CLI::Range(1024U, 16777216U))
        ->capture_default_str();
    app.add_option("--file-prefix", options.engine.file_prefix, "DPDK's run-time directory: one for each daemon")
        ->capture_default_str();
    std::string idle = "sleep";
    app.add_option("--idle", idle, "an idle worker polls on, or sleeps a little")
        ->check(CLI::IsMember({"poll", "sleep"}))
        ->capture_default_str();
    std::string engine = "fastest";
    std::vector<std::string> engines(crypto::kEngineNames.begin(), crypto::kEngineNames.end());
    engines.push_back(engine);
    app.add_option("--esp-engine", engine,
                   "what seals and opens ESP: vaes, our own, for processors with VAES; ipsec-mb; openssl, anywhere; or "
                   "the fastest that runs here")
        ->check(CLI::IsMember(engines))
        ->capture_default_str();
    std::string level = "info";
    app.add_option("--log-level", level, "how much the log says")
        ->check(CLI::IsMember({"error", "warning", "info", "debug"}))
        ->capture_default_str();
    std::string manual = std::string(name_of(options.manual_keys));
    app.add_option(
           "--manual-keys", manual,
           "whether SAs may have keys that no IKE daemon made: refuse; witness: when somebody outside this node "
           "remembers its nonce ledger; local_ledger: on this node's word alone, which does not notice when the whole "
           "machine is put back to an earlier day")
        ->check(CLI::IsMember({"refuse", "local_ledger", "witness"}))
        ->capture_default_str();
    bool unconfined = false;
    app.add_flag("--no-confinement", unconfined,
                 "keep all capabilities and system calls: to look for a fault, not to run a hub");
    app.add_flag("--check", options.check, "only say in words what is missing; exit code 1 if something is");

    try {
        app.parse(argc, argv);
        for (const std::string& text : ports) {
            auto port = parse_port(text, mtu);
            if (!port) throw CLI::ValidationError("--port", port.error().words);
            port->queues = queues;
            options.engine.ports.push_back(std::move(*port));
        }
        for (const std::string& text : kernel)
            if (auto set = set_kernel_services(options.engine.ports, text); !set)
                throw CLI::ValidationError("--kernel", set.error().words);
        for (const std::string& rule : roles)
            if (auto added = options.roles.add(rule); !added) throw CLI::ValidationError("--role", added.error().words);
        for (const std::string& file : signing_keys)
            if (auto added = options.signing_keys.add(file); !added)
                throw CLI::ValidationError("--signing-key", added.error().words);
        if (!group.empty()) {
            const auto found = group_named(group);
            if (!found) throw CLI::ValidationError("--socket-group", found.error().words);
            options.socket_group = *found;
        }
    } catch (const CLI::Success& help) {  // --help, --version
        return {std::nullopt, app.exit(help)};
    } catch (const CLI::ParseError& error) {
        const auto* config = app.get_config_ptr();
        const std::string place = config->count() == 0 ? "" : place_in_file(config->as<std::string>(), error.what());
        fmt::print(stderr, "sekishod: {}{}\nRun with --help for more information.\n", place, error.what());
        return {std::nullopt, 2};
    }
    for (std::size_t i = 0; i < kManualKeys.size(); ++i)
        if (kManualKeys[i] == manual) options.manual_keys = static_cast<ManualKeys>(i);
    options.confinement = !unconfined;
    if (no_huge) options.engine.hugepages = false;
    for (const crypto::EngineKind kind : crypto::kEngineKinds)
        if (name_of(kind) == engine) options.engine.esp_engine = kind;
    options.engine.idle = idle == "poll" ? dataplane::Idle::poll : dataplane::Idle::sleep;
    options.engine.sessions.ipv6 = options.engine.sessions.ipv4 / 4;
    options.log_level = log_level_named(level).value_or(LogLevel::info);
    return {std::move(options), 0};
}

}  // namespace sekisho::control

#include "agent/options.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/build_version.hpp"

namespace sekisho::agent {

namespace {

constexpr const char* kConfiguration = "/etc/sekisho/agent.toml";

// A name that is part of a key.
const CLI::Validator kName(
    [](std::string& text) -> std::string {
        const bool good =
            !text.empty() && text.size() <= 64 && std::isalnum(static_cast<unsigned char>(text.front())) != 0 &&
            std::all_of(text.begin(), text.end(),
                        [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; });
        if (good) return {};
        return "a name is 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit";
    },
    "NAME");

const CLI::Validator kEndpoint(
    [](std::string& text) -> std::string {
        const std::size_t scheme = text.rfind("https://", 0) == 0 ? 8 : text.rfind("http://", 0) == 0 ? 7 : 0;
        if (scheme != 0 && text.find(':', scheme) != std::string::npos && text.find('/', scheme) == std::string::npos)
            return {};
        return "an endpoint is https://HOST:PORT or http://HOST:PORT";
    },
    "URL");

}  // namespace

ParsedAgentOptions parse_agent_options(int argc, const char* const* argv) {
    AgentOptions options;
    CLI::App app{
        "sekisho-agent: follows a policy store, pushes what it says to this node's sekishod, and tells the store how "
        "the "
        "node is"};
    app.set_version_flag("--version", std::string("sekisho-agent ") + control::build_version());
    std::error_code none;
    app.set_config("--config", std::filesystem::exists(kConfiguration, none) ? kConfiguration : "",
                   fmt::format("configuration file (TOML or INI) with the names of these flags; {} if it is there",
                               kConfiguration))
        ->check(CLI::ExistingFile);
    app.allow_config_extras(CLI::config_extras_mode::error);
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(
        "Exit codes: 0 done, or stopped as asked; 1 refused, or something is wrong with the policy; 2 the command line "
        "is "
        "wrong; 3 the store does not answer.\n"
        "The store's keys, and what the states say: docs/store.md.");

    auto* file = app.add_option("--file", options.file, "the policy is in this file, which is watched; no store")
                     ->group("Where the policy is");
    auto* etcd = app.add_option("--etcd", options.etcd.endpoints,
                                "a member of the etcd cluster that has it: https://HOST:PORT; again for each")
                     ->check(kEndpoint)
                     ->take_all()
                     ->group("Where the policy is");
    file->excludes(etcd);
    const auto store = [&](const char* flag, std::string& into, const char* help) {
        return app.add_option(flag, into, help)->group("Where the policy is");
    };
    store("--cluster", options.cluster, "whose policy: keys are below /sekisho/CLUSTER/")
        ->check(kName)
        ->capture_default_str();
    store("--ca", options.etcd.ca_file,
          "the certificates (PEM) that the members' are signed by; otherwise the system's");
    auto* certificate =
        store("--cert", options.etcd.certificate_file, "our certificate (PEM); its common name is our user in etcd");
    auto* key = store("--key", options.etcd.key_file, "its private key (PEM)");
    certificate->needs(key);
    key->needs(certificate);

    app.add_option("--node", options.follower.node, "which node this is")->check(kName)->envname("SEKISHO_NODE");
    options.follower.socket = "/run/sekisho/control.sock";
    app.add_option("--socket", options.follower.socket, "sekishod's control socket; we need the role admin there")
        ->envname("SEKISHO_SOCKET")
        ->capture_default_str();
    auto* node_key = app.add_option("--node-key", options.node_key,
                                    "this node's private key (X25519, PEM), by which keys of SAs in the store are "
                                    "unwrapped; without it they are left alone")
                         ->group("Keys of SAs");
    auto* keys_from = app.add_option("--keys-from", options.keys_from,
                                     "public key (X25519, PEM) of who may wrap keys for this node; again for each")
                          ->take_all()
                          ->group("Keys of SAs");
    node_key->needs(keys_from);
    keys_from->needs(node_key);
    std::string drift = "report";
    app.add_option("--drift", drift,
                   "what to do when the node's policy was changed by somebody else: report it, and replace it with the "
                   "store's next change; or restore the store's at once")
        ->check(CLI::IsMember({"report", "restore"}))
        ->capture_default_str();
    long gather = options.follower.gather.count(), watch = options.watch_life.count(), lease = options.lease.count();
    app.add_option("--gather", gather, "milliseconds; changes that come within this after one go over with it")
        ->check(CLI::Range(0L, 60'000L))
        ->capture_default_str();
    app.add_option(
           "--watch-life", watch,
           "seconds after which a watch begins anew, on a new connection: so long at most do revoked credentials "
           "go on seeing changes")
        ->check(CLI::Range(1L, 86'400L))
        ->capture_default_str();
    app.add_option("--lease", lease, "seconds after which the state of a node that is gone is gone")
        ->check(CLI::Range(2L, 3600L))
        ->capture_default_str();
    std::string level = "info";
    app.add_option("--log-level", level, "how much the log says")
        ->check(CLI::IsMember({"error", "warning", "info", "debug"}))
        ->capture_default_str();

    const auto needs_store = [&] {
        if (options.etcd.endpoints.empty()) throw CLI::RequiredError("--etcd");
        const auto is_plain = [](const std::string& endpoint) { return endpoint.rfind("http://", 0) == 0; };
        if (!options.etcd.certificate_file.empty() &&
            std::any_of(options.etcd.endpoints.begin(), options.etcd.endpoints.end(), is_plain))
            throw CLI::ValidationError("--etcd", "goes by http:// and has no use for --cert: say https://");
    };
    app.add_subcommand("run", "follow the store until stopped")->final_callback([&] {
        options.command = AgentOptions::Command::run;
        if (options.file.empty() && options.etcd.endpoints.empty()) throw CLI::RequiredError("--etcd or --file");
        if (options.file.empty()) needs_store();
        if (options.follower.node.empty()) {
            if (options.file.empty()) throw CLI::RequiredError("--node");
            options.follower.node = "this-node";
        }
    });
    auto* fleet = app.add_subcommand("fleet", "every node, as the store knows it");
    fleet->add_flag("--json", options.json, "as JSON");
    fleet->final_callback([&] {
        options.command = AgentOptions::Command::fleet;
        needs_store();
    });
    auto* wrap = app.add_subcommand("wrap", "wrap keys of SAs for a node, as objects of the store");
    wrap->add_option("sas", options.wrap_file,
                     "the file, {\"sas\": [...]} as sekishoctl sa install takes it; - is standard input")
        ->required();
    wrap->add_option("--to", options.wrap_to, "the node's public key (X25519, PEM)")->required();
    wrap->add_option("--by", options.wrap_by,
                     "our private key (X25519, PEM), whose public half the node has as "
                     "--keys-from")
        ->required();
    wrap->add_flag("--put", options.put,
                   "write them into the store; otherwise each is printed, a line of JSON with "
                   "key and value");
    wrap->footer("--node says which node they are for. The file is as secret as its keys; what is made of it is not.");
    wrap->final_callback([&] {
        options.command = AgentOptions::Command::wrap;
        if (options.follower.node.empty()) throw CLI::RequiredError("--node");
        if (options.put) needs_store();
    });
    auto* import = app.add_subcommand("import", "make a policy file the store's policy");
    import->add_option("policy", options.import_file, "the file")->required()->check(CLI::ExistingFile);
    import->footer(
        "Objects that differ are written, those that are not in the file deleted; nodes stay as they are, and a node "
        "that "
        "has everything is made of --node if there is none. What does not fit in one transaction of etcd is written "
        "under "
        "a hold, so that no node takes half of it; after an interruption, import again.");
    import->final_callback([&] {
        options.command = AgentOptions::Command::import;
    needs_store();
});

try {
    app.parse(argc, argv);
} catch (const CLI::Success& help) {
    return {std::nullopt, app.exit(help)};
} catch (const CLI::ParseError& error) {
    fmt::print(stderr, "sekisho-agent: {}\nRun with --help for more information.\n", error.what());
    return {std::nullopt, 2};
}
options.follower.shared = options.file.empty();
options.follower.restore_drift = drift == "restore";
options.follower.gather = std::chrono::milliseconds(gather);
options.watch_life = std::chrono::seconds(watch);
options.lease = std::chrono::seconds(lease);
options.log_level = control::log_level_named(level).value_or(control::LogLevel::info);
return {std::move(options), 0};
}  // namespace sekisho::agent

}  // namespace sekisho::agent

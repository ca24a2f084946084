// sekisho-agent: the process between the policy store and this node's sekishod.
//
// Its threads: the follower, which brings the policy to the node; the keeper, which brings it the SAs whose keys the
// store has; the witness, which asks the store what it remembers of the node's nonce ledger; the reporter, which tells
// the store how the node is. The main thread waits for a signal. Killed at any moment, it leaves nothing half done:
// what it had sent is a transaction, which sekishod carries out or forgets. Exit codes as --help says.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <sys/prctl.h>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/etcd_source.hpp"
#include "agent/file_source.hpp"
#include "agent/fleet.hpp"
#include "agent/follower.hpp"
#include "agent/import.hpp"
#include "agent/key.hpp"
#include "agent/ledger_witness.hpp"
#include "agent/options.hpp"
#include "agent/reporter.hpp"
#include "agent/sa_keeper.hpp"
#include "agent/wrap.hpp"

namespace sekisho::agent {

namespace {

constexpr int kDone = 0, kRefused = 1, kUnreachable = 3;

int fail(const Error& error) {
    fmt::print(stderr, "sekisho-agent: {}\n", error.words);
    return error.code == ErrorCode::unavailable ? kUnreachable : kRefused;
}

// Of the node, from files; nullopt when it has none.
Expected<std::optional<UnwrapKeys>> unwrap_keys(const AgentOptions& options) {
    if (options.node_key.empty()) return std::optional<UnwrapKeys>();
    auto own = HpkeKey::read(options.node_key, HpkeKey::Half::secret);
    if (!own) return own.error();
    UnwrapKeys keys{std::move(*own), {}};
    for (const std::string& file : options.keys_from) {
        auto from = HpkeKey::read(file, HpkeKey::Half::open);
        if (!from) return from.error();
        keys.from.push_back(std::move(*from));
    }
    return std::optional(std::move(keys));
}

// In a thread of its own, for as long as the process lives.
void keep_sas(const AgentOptions& options, UnwrapKeys keys, StandingBoard& board) {
    std::thread([&options, &board, keys = std::move(keys)] {
        EtcdSource source({options.etcd, keys_prefix(options.cluster, options.follower.node), options.watch_life,
                           std::chrono::milliseconds(5000)});
        SaKeeper keeper({options.follower.node, options.follower.socket, keys}, source, board);
        for (;;) keeper.round(std::chrono::seconds(1));
    }).detach();
}

// Likewise.
void answer_ledger(const AgentOptions& options, StandingBoard& board) {
    std::thread([&options, &board] {
        LedgerWitness witness({options.etcd, options.cluster, options.follower.node, options.follower.socket}, board);
        for (;;) witness.round(std::chrono::seconds(1));
    }).detach();
}

int run(const AgentOptions& options) {
    auto keys = unwrap_keys(options);
    if (!keys) return fail(keys.error());
    if (*keys) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // no key in a core dump
    // Blocked before any thread is made, so that this one takes them.
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);

    StandingBoard board;
    std::unique_ptr<Source> source;
    std::unique_ptr<Reporter> reporter;
    if (options.file.empty()) {
        source = std::make_unique<EtcdSource>(EtcdSource::Options{options.etcd, policy_prefix(options.cluster),
                                                                  options.watch_life, std::chrono::milliseconds(5000)});
        reporter = std::make_unique<Reporter>(
            Reporter::Options{options.etcd, state_prefix(options.cluster) + options.follower.node,
                              options.follower.node, options.follower.socket, options.lease,
                              std::chrono::milliseconds(5000)},
            board);
        answer_ledger(options, board);
        if (*keys) keep_sas(options, std::move(**keys), board);
    } else {
        source = std::make_unique<FileSource>(options.file);
    }
    std::thread([&] {
        Follower follower(options.follower, *source, board);
        for (;;) follower.round(std::chrono::seconds(1));
    }).detach();
    int signal = 0;
    ::sigwait(&signals, &signal);
    control::log(control::LogLevel::info, fmt::format("signal {}: stopping", signal));
    reporter.reset();
    // The follower may wait for the daemon's answer to a commit, which is carried out all the same.
    std::_Exit(kDone);
}

int fleet(const AgentOptions& options) {
    const auto nodes = fleet_of(options.etcd, options.cluster);
    if (!nodes) return fail(nodes.error());
    if (options.json)
        fmt::print("{}\n", nodes->dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    else
        fmt::print("{}", fleet_text(*nodes));
    return kDone;
}

int wrap(const AgentOptions& options) {
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const auto own = HpkeKey::read(options.wrap_by, HpkeKey::Half::secret);
    if (!own) return fail(own.error());
    const auto to = HpkeKey::read(options.wrap_to, HpkeKey::Half::open);
    if (!to) return fail(to.error());
    const auto objects = wrap_file(options.wrap_file, options.follower.node, *own, *to);
    if (!objects) return fail(objects.error());
    const std::string prefix = keys_prefix(options.cluster, options.follower.node);
    if (options.put) {
        const auto revision = put_objects(*objects, options.etcd, prefix);
        if (!revision) return fail(revision.error());
        fmt::print("{} objects written; revision {}\n", objects->size(), *revision);
        return kDone;
    }
    for (const StoreObject& object : *objects)
        fmt::print("{}\n", nlohmann::json{{"key", prefix + object.name}, {"value", object.value}}.dump());
    return kDone;
}

int import(const AgentOptions& options) {
    const auto imported = import_policy(options.import_file, options.etcd, options.cluster, options.follower.node);
    if (!imported) return fail(imported.error());
    fmt::print("{}: {} objects written, {} deleted, {} the same; revision {}\n", options.import_file, imported->written,
               imported->deleted, imported->same, imported->revision);
    return kDone;
}

}  // namespace

}  // namespace sekisho::agent

int main(int argc, char** argv) {
    using namespace sekisho::agent;
    const ParsedAgentOptions parsed = parse_agent_options(argc, argv);
    if (!parsed.options) return parsed.exit_code;
    sekisho::control::set_log_level(parsed.options->log_level);
    switch (parsed.options->command) {
        case AgentOptions::Command::run: return run(*parsed.options);
        case AgentOptions::Command::fleet: return fleet(*parsed.options);
        case AgentOptions::Command::import: return import(*parsed.options);
        case AgentOptions::Command::wrap: return wrap(*parsed.options);
    }
    return 2;
}

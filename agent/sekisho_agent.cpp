// sekisho-agent: the process between the policy store and this node's sekishod.
//
// Two threads: the follower, which brings the policy to the node, and the reporter, which tells the store how the node
// is. The main thread waits for a signal. Killed at any moment, it leaves nothing half done: what it had sent is a
// transaction, which sekishod carries out or forgets. Exit codes as --help says.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/etcd_source.hpp"
#include "agent/file_source.hpp"
#include "agent/fleet.hpp"
#include "agent/follower.hpp"
#include "agent/import.hpp"
#include "agent/key.hpp"
#include "agent/options.hpp"
#include "agent/reporter.hpp"

namespace sekisho::agent {

namespace {

constexpr int kDone = 0, kRefused = 1, kUnreachable = 3;

int fail(const Error& error) {
    fmt::print(stderr, "sekisho-agent: {}\n", error.words);
    return error.code == ErrorCode::unavailable ? kUnreachable : kRefused;
}

int run(const AgentOptions& options) {
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
    }
    return 2;
}

// sekishod: the hub's daemon. Starts the dataplane, then the control side on it, and stops both in order.
//
// The main thread is the control thread. Signals come by a descriptor of the loop; standard output has the one line
// that says when it is ready, standard error the log. Exit codes: 0 stopped as asked, 1 could not start (or --check
// found something missing), 2 usage.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "control/build_version.hpp"
#include "control/confinement.hpp"
#include "control/daemon_options.hpp"
#include "control/engine_node.hpp"
#include "control/notify.hpp"
#include "control/service.hpp"

namespace sekisho::control {

namespace {

// What start() would meet: the engine's part and ours.
std::vector<std::string> missing(const DaemonOptions& options) {
    std::vector<std::string> found = dataplane::missing(options.engine);
    const auto must_be_writable = [&found](const std::filesystem::path& directory, const char* what) {
        std::error_code none;
        if (!std::filesystem::is_directory(directory, none))
            found.push_back(fmt::format("{}: there is no directory {}", what, directory.string()));
        else if (::access(directory.c_str(), W_OK | X_OK) != 0)
            found.push_back(fmt::format("{}: {} cannot be written to", what, directory.string()));
    };
    const auto parent = [](const std::string& path) {
        const auto directory = std::filesystem::path(path).parent_path();
        return directory.empty() ? std::filesystem::path(".") : directory;
    };
    must_be_writable(parent(options.socket), "socket");
    std::error_code none;
    if (std::filesystem::exists(options.state_directory, none))
        must_be_writable(options.state_directory, "state");
    else
        must_be_writable(parent(options.state_directory), "state");
    return found;
}

int check(const DaemonOptions& options) {
    const auto found = missing(options);
    for (const std::string& words : found) fmt::print("missing: {}\n", words);
    if (found.empty()) fmt::print("nothing is missing\n");
    return found.empty() ? 0 : 1;
}

Expected<std::optional<Document>> initial_document(const DaemonOptions& options) {
    if (options.policy.empty()) return std::optional<Document>();
    std::ifstream stream(options.policy, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    if (!stream) return Error{ErrorCode::unavailable, fmt::format("--policy {}: cannot be read", options.policy)};
    auto document = Document::parse(text);
    if (!document) return document.error().at("--policy " + options.policy);
    return std::optional<Document>(std::move(*document));
}

Expected<std::string> initial_signature(const DaemonOptions& options) {
    if (options.policy_signature.empty()) return std::string();
    std::ifstream stream(options.policy_signature, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    if (!stream)
        return Error{ErrorCode::unavailable,
                     fmt::format("--policy-signature {}: cannot be read", options.policy_signature)};
    return text.substr(0, text.find_last_not_of(" \r\n") + 1);
}

NodePorts names_of(const std::vector<dataplane::PortSpec>& ports) {
    return {[&ports](std::string_view name) -> std::optional<PortId> {
                for (std::size_t i = 0; i < ports.size(); ++i)
                    if (ports[i].name == name) return PortId(static_cast<std::uint16_t>(i));
                return std::nullopt;
            },
            ports.size(), [&ports](PortId port) { return ports[port.index()].mtu; }};
}

void log_final(const dataplane::Counters& counters) {
    const dataplane::PortCounters node = counters.node();
    log(LogLevel::info,
        fmt::format("stopped: received {} made {} sent {} dropped {} punted {} consumed {} held {}", node.received,
                    node.made, node.sent, node.total_dropped(), node.punted, node.consumed, node.held));
    if (node.unaccounted() != 0)
        log(LogLevel::error, fmt::format("{} packets are unaccounted for", node.unaccounted()));
}

void tell_of_ledger(Events& events, const LedgerState& now) {
    const auto words = [](const Expected<void>& outcome) {
        return outcome ? nlohmann::json() : nlohmann::json(outcome.error().words);
    };
    if (now.standing)
        log(LogLevel::info, fmt::format("manual keys are taken: ledger {}, epoch {}", now.id.text(), now.epoch));
    else
        log(LogLevel::info, "manual keys are refused: " + now.standing.error().words);
    if (!now.renewal) log(LogLevel::error, "reserves of numbers are not extended: " + now.renewal.error().words);
    events.post(EventKind::ledger, {{"stands", static_cast<bool>(now.standing)},
                                    {"refused", words(now.standing)},
                                    {"not_extended", words(now.renewal)}});
}

// Everything that lives while the daemon runs, in the order in which it is made.
Expected<void> serve(const DaemonOptions& options, const sigset_t& signals) {
    auto document = initial_document(options);
    if (!document) return document.error();
    auto signature = initial_signature(options);
    if (!signature) return signature.error();
    auto state = StateStore::open(options.state_directory, options.keep);
    if (!state) return state.error();
    auto audit = AuditLog::open(options.state_directory + "/audit.jsonl");
    if (!audit) return audit.error();
    auto loop = EventLoop::make();
    if (!loop) return loop.error();
    Events events;

    // Keys lie in locked memory, of which a confined daemon has no more than this lets it.
    const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_MEMLOCK, &all) != 0)
        log(LogLevel::warning, "memory for keys is limited: RLIMIT_MEMLOCK cannot be raised");
    auto engine = dataplane::Engine::start(options.engine);
    if (!engine) return engine.error();
    log(LogLevel::info,
        fmt::format("dataplane started, {}, ESP by {}", (*engine)->uses_hugepages() ? "hugepages" : "no hugepages",
                    (*engine)->associations().engine()));
    NodePorts ports = names_of(options.engine.ports);
    ports.workers = (*engine)->worker_count();
    Compiler compiler(std::move(ports));
    auto node = EngineNode::make(**loop, **engine, compiler, events);
    if (!node) return node.error();
    auto translations = TranslationLog::make(**loop, **node, options.state_directory);
    if (!translations) return translations.error();
    SocketWitness witness(**loop);
    LedgerThread ledger(**loop, options.manual_keys, options.state_directory + "/nonce-ledger",
                        options.manual_keys == ManualKeys::witness ? &witness : nullptr,
                        [&events](const LedgerState& now) { tell_of_ledger(events, now); });
    std::unique_ptr<Sas> sas;
    auto generations = Generations::make(
        {**loop,
         [&compiler](const Policy& policy, std::uint64_t number, WallTime now, const NamesByHand& closed_agreements) {
             return compiler.compile(policy, number, now, closed_agreements);
         },
         [&node, &translations](std::unique_ptr<dataplane::Tables> tables) {
             (*translations)->publish(*tables);
             (*node)->publish(std::move(tables));
         },
         **state,
         **audit,
         events,
         options.signing_keys,
         {},
         [&sas](const Generation& generation, const dataplane::Tables& tables) { sas->settle(generation, tables); },
         [&compiler](const Policy& policy, std::uint64_t number, WallTime now, const NamesByHand& closed_agreements,
                     const RowQuestion& question) {
             return compiler.rows(policy, number, now, closed_agreements, question);
         }});
    if (!generations) return generations.error();
    auto made = Sas::make({**loop, (*engine)->associations(), ledger, (*generations)->recorder(), events});
    if (!made) return made.error();
    sas = std::move(*made);
    if (auto started = (*generations)->start(std::move(*document), options.policy_replace, *signature); !started)
        return started;
    auto service = Service::start(**loop, {options.socket, options.socket_group, options.roles, {}}, **generations,
                                  **node, events, build_version(), {*sas, ledger, witness, **translations});
    if (!service) return service.error();

    const FileDescriptor asked(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    auto watched = (*loop)->watch(asked.number(), EPOLLIN, [&loop, &asked](std::uint32_t) {
        signalfd_siginfo information{};
        if (::read(asked.number(), &information, sizeof information) <= 0) return;
        log(LogLevel::info, fmt::format("signal {} from pid {}: stopping", information.ssi_signo, information.ssi_pid));
        (*loop)->stop();
    });
    if (!watched) return watched;
    if (options.confinement) {
        std::vector<std::string> devargs;
        for (const dataplane::PortSpec& port : options.engine.ports) devargs.push_back(port.devargs);
        if (auto confined = confine(confinement_for(devargs)); !confined)
            return confined.error().at("confinement (--no-confinement does without)");
    } else {
        log(LogLevel::warning, "not confined: all capabilities and system calls are kept");
    }
    fmt::print("ready: generation {}, {} ports\n", (*generations)->running()->number, options.engine.ports.size());
    std::fflush(stdout);
    notify("READY=1");
    (*loop)->run();
    notify("STOPPING=1");

    (*loop)->forget(asked.number());
    service->reset();  // nobody is told anything of a hub that stops
    witness.stop();    // nor waited for
    log_final((*engine)->stop());
    return {};
}

int run(int argc, char** argv) {
    const ParsedOptions parsed = parse_options(argc, argv);
    if (!parsed.options) return parsed.exit_code;
    if (parsed.options->check) return check(*parsed.options);
    set_log_level(parsed.options->log_level);

    // Blocked before any thread is made, so that all threads leave them to the descriptor.
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    if (auto served = serve(*parsed.options, signals); !served) {
        log(LogLevel::error, served.error().words);
        return 1;
    }
    return 0;
}

}  // namespace

}  // namespace sekisho::control

int main(int argc, char** argv) {
    return sekisho::control::run(argc, argv);
}

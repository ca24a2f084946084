// sekishoctl: the command line of the hub.
//
// Reads arguments, calls one command, returns its exit code: 0 done, 1 refused or invalid, 2 usage, 3 no daemon,
// 4 (diff, drift) different. What it can do is what docs/control-socket.md lists; it has no other way into the daemon.
#include "control/sekishoctl.hpp"

#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <set>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/build_version.hpp"
#include "control/command_line_generations.hpp"
#include "control/completion.hpp"
#include "control/events.hpp"
#include "control/schema.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

int print_schema() {
    fmt::print("{}", schema_text());
    return kOk;
}

int print_version(const Options& options) {
    auto client = Client::connect(options.socket);
    json daemon;  // null: not there, which is no error for this question
    if (client)
        if (auto answer = client->call("version"); std::holds_alternative<json>(answer))
            daemon = std::get<json>(answer);
    if (options.json) {
        print({{"sekishoctl", build_version()}, {"daemon", daemon}});
        return kOk;
    }
    fmt::print("sekishoctl {}\n", build_version());
    if (daemon.is_object())
        fmt::print("sekishod {}, pid {}, generation {}\n", daemon.value("version", ""), daemon.value("pid", 0),
                   daemon.value("generation", std::uint64_t{0}));
    else
        fmt::print("sekishod: none answers at {}\n", options.socket);
    return kOk;
}

int wait_ready(const Options& options, double seconds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    for (;;) {
        std::string words;
        auto client = Client::connect(options.socket);
        if (client) {
            const auto answer = client->call("version");
            if (const auto* result = std::get_if<json>(&answer)) {
                if (options.json) print(*result);
                return kOk;
            }
            words = "the daemon did not answer";
        } else {
            words = client.error().words;
        }
        if (std::chrono::steady_clock::now() >= until)
            return fail(options, Client::Lost{fmt::format("not ready after {} s: {}", seconds, words)});
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

namespace {

// The options of `explain`, sent on by the names of the method's parameters.
void add_explain(CLI::App& command, json& packet) {
    const auto text = [&](const char* flag, const char* name, const char* help) {
        return command.add_option_function<std::string>(
            flag, [&packet, name](const std::string& value) { packet[name] = value; }, help);
    };
    const auto number = [&](const char* flag, const char* name, const char* help, unsigned most) {
        command
            .add_option_function<unsigned>(
                flag, [&packet, name](const unsigned& value) { packet[name] = value; }, help)
            ->check(CLI::Range(0U, most));
    };
    text("--attachment", "attachment", "the attachment that the packet comes by")->required();
    text("--source", "source", "its source, in the operator's space")->required();
    text("--destination", "destination", "its destination, in hub space")->required();
    text("--protocol", "protocol", "tcp, udp, icmp, or a protocol number")->required();
    number("--source-port", "source_port", "40000 by default", 65535);
    number("--destination-port", "destination_port", "0 by default", 65535);
    text("--tcp-flags", "tcp_flags", "letters of FSRPAUEC; S by default");
    text("--icmp-type", "icmp_type", "echo-request (default), echo-reply, or a number");
    number("--ttl", "ttl", "TTL or hop limit; 64 by default", 255);
    number("--length", "length", "bytes of the IP packet; as short as it can be by default", 65535);
    command.add_flag_callback(
        "--fragmentable", [&packet] { packet["fragmentable"] = true; }, "without IPv4's don't-fragment bit");
}

// The options of `gate close`, sent on likewise.
void add_close(CLI::App& command, json& gate) {
    const auto text = [&](const char* flag, const char* name, const char* help) {
        return command.add_option_function<std::string>(
            flag, [&gate, name](const std::string& value) { gate[name] = value; }, help);
    };
    text("target", "target", "what kind of thing it closes")
        ->required()
        ->check(CLI::IsMember({"node", "operator", "attachment", "institution", "agreement"}));
    text("name", "target_id", "which one; nothing for the node");
    text("--reason", "reason", "why")
        ->required()
        ->check(CLI::IsMember({"maintenance", "emergency", "arrears", "violation", "expiry", "revocation"}));
    text("--id", "id", "the gate's name; target and name by default");
    text("--clause", "clause", "the clause that it rests on; a violation needs it");
    text("--notice", "notice", "the notice given before; maintenance needs it");
    text("--from", "from", "when it closes; now by default");
    text("--until", "until", "when it opens by itself; when it is opened by default");
}

// The filters of sessions, sent on likewise.
void add_session_filter(CLI::App& command, json& filter, const std::string& of) {
    const auto text = [&](const char* flag, const char* name, const std::string& help) {
        command.add_option_function<std::string>(
            flag, [&filter, name](const std::string& value) { filter[name] = value; }, of + help);
    };
    text("--operator", "operator", "one end is of this operator");
    text("--attachment", "attachment", "one end's institution may use this attachment");
    text("--address", "address", "one end has this address, in hub space or its operator's");
    text("--protocol", "protocol", "tcp, udp, icmp, icmpv6, or a protocol number");
    text("--state", "state", "of TCP: opening, answered, established, closed and so on");
    command
        .add_option_function<unsigned>(
            "--port", [&filter](const unsigned& value) { filter["port"] = value; }, of + "one end has this port")
        ->check(CLI::Range(0U, 65535U));
}

void add_rows(CLI::App& command, json& page, const std::function<void()>& chosen) {
    const auto text = [&](const char* flag, const char* name, const char* help) {
        return command.add_option_function<std::string>(
            flag, [&page, name](const std::string& value) { page[name] = value; }, help);
    };
    text("table", "table", "who (whose a source is), hub (whose a destination is) or where (ways)")
        ->required()
        ->check(CLI::IsMember({"who", "hub", "where"}));
    text("operator", "operator", "whose table; of who and where");
    text("--prefix", "prefix", "the row of just this prefix");
    text("--family", "family", "ipv4, which it is unless a prefix says otherwise, or ipv6")
        ->check(CLI::IsMember({"ipv4", "ipv6"}));
    text("--after", "after", "the rows behind this prefix");
    command
        .add_option_function<unsigned>(
            "--limit", [&page](const unsigned& value) { page["limit"] = value; }, "so many at most; 1000")
        ->check(CLI::Range(1U, 1000U));
    command.callback(chosen);
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app{"sekishoctl: look at and change the hub, by its control socket"};
    app.require_subcommand(1);
    app.fallthrough();  // --json and --socket may stand before or after the command
    app.footer("Exit codes: 0 done, 1 refused or invalid, 2 usage, 3 no daemon answers, 4 (diff, drift) different.");
    app.add_option("--socket", options.socket, "the daemon's control socket")
        ->envname("SEKISHO_SOCKET")
        ->capture_default_str();
    app.add_flag("--json", options.json, "results and errors as JSON");

    std::function<int()> command;
    std::string file, what, tunnel;
    bool all = false;
    double seconds = 30;
    json packet = json::object();

    auto* checks = app.add_subcommand("check", "whether a policy file is valid; needs no daemon");
    checks->add_option("file", file, "the policy file, - for standard input")->required();
    checks->callback([&] { command = [&] { return check(options, file); }; });

    auto* diffs = app.add_subcommand("diff", "what a policy file would change in the running policy");
    diffs->add_option("file", file, "the policy file, - for standard input")->required();
    diffs->callback([&] { command = [&] { return diff(options, file); }; });

    auto* applies = app.add_subcommand("apply", "make a policy file the running policy, all of it or nothing");
    applies->add_option("file", file, "the policy file, - for standard input")->required();
    ApplyOptions how;
    applies->add_flag("--dry-run", how.dry_run, "validate, compile and compare, but change nothing");
    auto* within = applies
                       ->add_option("--confirm", how.confirm,
                                    "roll it back by itself after so many seconds, unless it is confirmed")
                       ->check(CLI::Range(1U, 86400U));
    applies->add_option("--at", how.at, "when it comes into force, Japan time: 2026-04-01 or 2026-04-01T09:00:00+09:00")
        ->excludes(within);
    applies->add_option("--signature", how.signature, "the file with the document's signature, as sign prints it");
    applies->callback([&] { command = [&] { return apply(options, file, how); }; });

    auto* shows = app.add_subcommand("show", "the running generation, the policy's objects, what the node counts");
    shows->add_option("what", what, "what to show")
        ->required()
        ->check(CLI::IsMember(
            {"generation", "operators",   "allocations", "attachments", "tunnels",  "institutions", "translations",
             "agreements", "routes",      "gates",       "ports",       "counters", "drops",        "stages",
             "workers",    "neighbours",  "taps",        "tables",      "policy",   "sa",           "ledger",
             "compliance", "generations", "schedule",    "sessions",    "blocks"}));
    json filter = json::object();
    auto* all_flag = shows->add_flag("--all", all, "drops: the reasons that never happened, too");
    shows->add_option("--tunnel", tunnel, "sa: those of this tunnel only");
    add_session_filter(*shows, filter, "sessions: ");
    shows
        ->add_option_function<unsigned>(
            "--limit", [&](const unsigned& value) { filter["limit"] = value; }, "sessions: so many at most; 100")
        ->check(CLI::Range(1U, 1000U));
    shows->callback([&, all_flag] {
        if (all_flag->count() != 0 && what != "drops") throw CLI::ValidationError("--all", "goes with drops only");
        if (!tunnel.empty() && what != "sa") throw CLI::ValidationError("--tunnel", "goes with sa only");
        if (!filter.empty() && what != "sessions")
            throw CLI::ValidationError("--" + filter.begin().key(), "goes with sessions only");
        json params = filter;
        if (all) params["all"] = true;
        if (!tunnel.empty()) params["tunnel"] = tunnel;
        command = [&, params] { return show(options, what, params); };
    });

    json question = json::object();
    auto* asks = app.add_subcommand("who", "which institution an address and port in hub space are, or were");
    asks->add_option_function<std::string>(
            "address", [&question](const std::string& value) { question["address"] = value; }, "in hub space")
        ->required();
    asks->add_option_function<unsigned>(
            "port", [&question](const unsigned& value) { question["port"] = value; },
            "its port, or an echo's identifier; of an address that one institution has it does not matter")
        ->check(CLI::Range(0U, 65535U));
    asks->add_option_function<std::string>(
        "--at", [&question](const std::string& value) { question["at"] = value; },
        "when, Japan time: 2026-04-01T09:00:00+09:00; now by default");
    asks->callback([&] { command = [&] { return who(options, question); }; });

    json page = json::object();
    add_rows(*app.add_subcommand("rows", "rows of the lookup tables: one, or a page of them"), page,
             [&] { command = [&] { return rows(options, page); }; });

    auto* clears = app.add_subcommand("clear", "end what the node remembers");
    clears->require_subcommand(1);
    auto* session = clears->add_subcommand("session", "end the sessions that match all that is said");
    add_session_filter(*session, filter, "");
    session->add_flag_callback(
        "--all", [&filter] { filter["all"] = true; }, "every session");
    session->callback([&] {
        if (filter.empty()) throw CLI::ValidationError("clear session", "says which sessions, or --all");
        command = [&] { return clear_sessions(options, filter); };
    });

    GenerationArguments given;
    add_generation_commands(app, options, given, command);

    auto* explains = app.add_subcommand("explain", "what would become of a packet, decision by decision");
    add_explain(*explains, packet);
    explains->callback([&] { command = [&] { return explain(options, packet); }; });

    json gate = json::object();
    std::string id;
    auto* gates = app.add_subcommand("gate", "close and open gates by hand, at once, beside the policy");
    gates->require_subcommand(1);
    auto* closes =
        gates->add_subcommand("close", "close a gate now; it stands until it is opened, whatever is applied");
    add_close(*closes, gate);
    closes->callback([&] { command = [&] { return close_gate(options, gate); }; });
    auto* opens = gates->add_subcommand("open", "open a gate that was closed by hand");
    opens->add_option("id", id, "the gate, as show gates names it")->required();
    opens->callback([&] { command = [&] { return open_gate(options, id); }; });

    auto* sas = app.add_subcommand("sa", "install and remove the SAs of tunnels; show sa shows them");
    sas->require_subcommand(1);
    std::uint32_t inbound = 0, outbound = 0;
    for (const auto& [name, help] :
         {std::pair("install", "install the SAs of a file, all of them or none, and seal with them"),
          std::pair("rekey", "install the SAs of a file beside those in use; sa switch seals with them")}) {
        auto* installs = sas->add_subcommand(name, help);
        installs->add_option("file", file, "the file with SAs and keys, - for standard input")->required();
        installs->callback([&, method = std::string("sa.") + name] {
            command = [&, method] { return install_sas(options, file, method); };
        });
    }
    for (const auto& [name, help] : {std::pair("switch", "seal with the outbound SA that a rekey brought"),
                                     std::pair("remove", "remove an SA of a tunnel, or all of them")}) {
        auto* names = sas->add_subcommand(name, help);
        names->add_option("tunnel", tunnel, "whose SA it is")->required();
        if (std::string_view(name) == "remove")
            names->add_option("--inbound", inbound, "the inbound SA with this SPI only");
        names->add_option("--outbound", outbound, "the outbound SA with this SPI only");
        names->callback([&, method = std::string("sa.") + name] {
            command = [&, method] {
                json one = {{"tunnel", tunnel}};
                if (inbound != 0) one["inbound"] = inbound;
                if (outbound != 0) one["outbound"] = outbound;
                return name_sas(options, method, json::array({one}));
            };
        });
    }
    auto* ledgers = app.add_subcommand("ledger", "the nonce ledger, on which manual keys rest");
    ledgers->require_subcommand(1);
    ledgers->add_subcommand("new", "make a new one in place of one that does not stand: all manual keys start anew")
        ->callback([&] { command = [&] { return new_ledger(options); }; });
    ledgers->add_subcommand("show", "whether manual keys are taken, and why not")->callback([&] {
        command = [&] { return show(options, "ledger", json::object()); };
    });

    std::vector<std::string> kinds;
    std::size_t count = 0;
    std::set<std::string> kind_names;
    for (const EventText& kind : kEventKinds) kind_names.emplace(kind.name);
    auto* follows = app.add_subcommand("events", "follow what happens on the node; with --json an object a line");
    follows->add_option("--kind", kinds, "only events of this kind; again for each")->check(CLI::IsMember(kind_names));
    follows->add_option("--count", count, "end after so many; 0: never")->capture_default_str();
    follows->callback([&] { command = [&] { return follow_events(options, kinds, count); }; });
    app.add_subcommand("whoami", "which role the daemon gives to you")->callback([&] {
        command = [&] { return whoami(options); };
    });

    std::string config;
    auto* fleets = app.add_subcommand("fleet", "every node of the cluster, as the policy store knows it");
    fleets->add_option("--config", config, "sekisho-agent's configuration: how to reach the store");
    fleets->callback([&] { command = [&] { return fleet(options, config); }; });

    std::string shell;
    auto* completes = app.add_subcommand("completion", "a script that completes this command line in a shell");
    completes->add_option("shell", shell, "the shell")->required()->check(CLI::IsMember({"bash"}));
    completes->callback([&] {
        command = [&] {
            fmt::print("{}", bash_completion(app));
            return kOk;
        };
    });

    app.add_subcommand("schema", "the JSON Schema of policy files; needs no daemon")->callback([&] {
        command = [] { return print_schema(); };
    });
    auto* waits = app.add_subcommand("wait-ready", "wait until the daemon answers");
    waits->add_option("--timeout", seconds, "how long at most, in seconds")
        ->check(CLI::Range(0.0, 86400.0))
        ->capture_default_str();
    waits->callback([&] { command = [&] { return wait_ready(options, seconds); }; });
    app.add_subcommand("version", "of this program, and of the daemon if one answers")->callback([&] {
        command = [&] { return print_version(options); };
    });

    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        app.exit(error);  // prints it
        return kUsage;
    }
    return command();
}

}  // namespace

}  // namespace sekisho::control::cli

int main(int argc, char** argv) {
    try {
        return sekisho::control::cli::run(argc, argv);
    } catch (const std::exception& fault) {
        fmt::print(stderr, "sekishoctl: {}\n", fault.what());
        return sekisho::control::cli::kRefused;
    }
}

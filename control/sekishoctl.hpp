// What the commands of sekishoctl share: options, exit codes, and the one way to ask the daemon.
//
// Each command is a function that returns an exit code; sekishoctl.cpp has the command line. Results go to standard
// output, errors to standard error.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/client.hpp"

namespace sekisho::control::cli {

enum Exit : int {
    kOk = 0,
    kRefused = 1,      // what was given is invalid, or the daemon refused it
    kUsage = 2,        // the command line is wrong
    kUnreachable = 3,  // no daemon answers
    kDifferent = 4,    // diff: the file and the running policy differ
};

struct Options {
    std::string socket = "/run/sekisho/control.sock";
    bool json = false;
};

// Prints the error (with --json as {"error": {...}}, one line) and returns its exit code.
int fail(const Options& options, const RpcError& error);
int fail(const Options& options, const Client::Lost& lost);
int fail(const Options& options, const Error& error);
int print_errors(const Options& options, const std::string& file, const std::vector<Error>& errors);  // all of a file's
void print(const nlohmann::json& result);  // for --json: two spaces a level

// A connection that remembers how it failed: result() is empty then, and exit_code() says why it is.
class Daemon {
  public:
    explicit Daemon(const Options& options) : options_(options) {}

    // The result, or nullopt after the error was printed.
    std::optional<nlohmann::json> call(const std::string& method,
                                       const nlohmann::json& params = nlohmann::json::object());
    // The connection that call() has made; nothing is printed.
    Client& client() { return *client_; }
    std::optional<nlohmann::json> next_notification();
    // All pages of a list, their `items_name` arrays joined. If the generation changes on the way, it starts again.
    std::optional<nlohmann::json> call_pages(const std::string& method, nlohmann::json params,
                                             const std::string& items_name);
    int exit_code() const noexcept { return exit_code_; }

  private:
    const Options& options_;
    std::optional<Client> client_;
    int exit_code_ = kOk;
};

// The commands.
int check(const Options& options, const std::string& file);
int diff(const Options& options, const std::string& file);
int apply(const Options& options, const std::string& file, bool dry_run);
int show(const Options& options, const std::string& what, bool all);
int explain(const Options& options, const nlohmann::json& packet);
int close_gate(const Options& options, nlohmann::json gate);
int open_gate(const Options& options, const std::string& id);
int follow_events(const Options& options, const std::vector<std::string>& kinds, std::size_t count);
int whoami(const Options& options);
int fleet(const Options& options, const std::string& config);
int print_schema();
int print_version(const Options& options);
int wait_ready(const Options& options, double seconds);

}  // namespace sekisho::control::cli

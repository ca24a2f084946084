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
// The text of a file with a signature; nullopt after the error was printed.
std::optional<std::string> read_signature(const Options& options, const std::string& file);
std::string counts_text(const nlohmann::json& counts);  // "institutions +1 -0 ~2", or "no difference"
// What became of a commit: `counts` is counts_text's, `at` the time that it was scheduled for.
void print_outcome(const nlohmann::json& result, const std::string& counts, const std::string& at);
void print(const nlohmann::json& result);  // for --json: two spaces a level
// A member for a table: text as it is, "-" for null or none.
std::string word(const nlohmann::json& item, const char* name);

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
struct ApplyOptions {
    bool dry_run = false;
    unsigned confirm = 0;   // seconds; 0: it needs no confirmation
    std::string at;         // when it comes into force; "": now
    std::string signature;  // the file with it; "": none
};
int apply(const Options& options, const std::string& file, const ApplyOptions& how);
int confirm(const Options& options, std::uint64_t generation);  // 0: whichever runs
int rollback(const Options& options, std::uint64_t generation, const nlohmann::json& params);
int cancel(const Options& options, std::uint64_t scheduled);
int drift(const Options& options, const std::string& file, const std::string& hash);
int show(const Options& options, const std::string& what, const nlohmann::json& params);
int who(const Options& options, const nlohmann::json& question);
int rows(const Options& options, const nlohmann::json& question);  // the parameters of show.rows
int clear_sessions(const Options& options, const nlohmann::json& filter);
int explain(const Options& options, const nlohmann::json& packet);
int close_gate(const Options& options, nlohmann::json gate);
int open_gate(const Options& options, const std::string& id);
int install_sas(const Options& options, const std::string& file, const std::string& method);  // sa.install, sa.rekey
int name_sas(const Options& options, const std::string& method, const nlohmann::json& sas);   // sa.switch, sa.remove
int new_ledger(const Options& options);
int follow_events(const Options& options, const std::vector<std::string>& kinds, std::size_t count);
int whoami(const Options& options);
int fleet(const Options& options, const std::string& config);
int print_schema();
// Without a daemon: documents' hashes and signatures, audit logs.
int print_hash(const Options& options, const std::string& file, bool statement, bool canonical);
int sign_file(const Options& options, const std::string& file, const std::string& key);
int verify_file(const Options& options, const std::string& file, const std::string& key, const std::string& signature);
int verify_audit(const Options& options, const std::string& file, const std::string& head);
struct AuditFilter {
    std::string from, until, what;
};
int export_audit(const Options& options, const std::string& file, const AuditFilter& filter);
int print_version(const Options& options);
int wait_ready(const Options& options, double seconds);

}  // namespace sekisho::control::cli

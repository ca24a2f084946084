// The part of sekishoctl's command line that is about generations, signatures and the audit log.
#include "control/command_line_generations.hpp"

namespace sekisho::control::cli {

namespace {

constexpr const char* kAuditLog = "/var/lib/sekisho/audit.jsonl";

}  // namespace

void add_generation_commands(CLI::App& app, const Options& options, GenerationArguments& given, Command& command) {
    auto* confirms = app.add_subcommand("confirm", "the running generation is good: do not roll it back");
    confirms->add_option("generation", given.generation, "its number, to be sure");
    confirms->callback([&] { command = [&] { return confirm(options, given.generation); }; });

    auto* rollbacks = app.add_subcommand("rollback", "make an old generation's document the running one");
    rollbacks->add_option(
        "generation", given.generation,
        "its number, of show generations; without it, what ran before the one that waits to be confirmed");
    auto* dry = rollbacks->add_flag("--dry-run", given.dry_run, "validate, compile and compare, but change nothing");
    auto* seconds = rollbacks
                        ->add_option("--confirm", given.confirm,
                                     "roll it back by itself after so many seconds, unless it is confirmed")
                        ->check(CLI::Range(1U, 86400U));
    rollbacks->callback([&, dry, seconds] {
        nlohmann::json params = nlohmann::json::object();
        if (dry->count() != 0) params["dry_run"] = true;
        if (seconds->count() != 0) params["confirm"] = given.confirm;
        command = [&, params] { return rollback(options, given.generation, params); };
    });

    auto* schedules = app.add_subcommand("schedule", "changes that wait for their time (apply --at)");
    schedules->require_subcommand(1);
    auto* cancels = schedules->add_subcommand("cancel", "take one back");
    cancels->add_option("change", given.generation, "its number, of show schedule")->required();
    cancels->callback([&] { command = [&] { return cancel(options, given.generation); }; });

    auto* drifts = app.add_subcommand("drift", "whether what runs is what is stored, and what it should be");
    auto* file = drifts->add_option("file", given.file, "the policy file that it should be");
    drifts->add_option("--hash", given.hash, "the hash that it should have")->excludes(file);
    drifts->callback([&] { command = [&] { return drift(options, given.file, given.hash); }; });

    auto* hashes = app.add_subcommand("hash", "the hash of a policy file's document; needs no daemon");
    hashes->add_option("file", given.file, "the policy file, - for standard input")->required();
    auto* statement = hashes->add_flag("--statement", given.statement, "the text that is signed of it, for openssl");
    hashes->add_flag("--canonical", given.canonical, "the text that is hashed")->excludes(statement);
    hashes->callback(
        [&] { command = [&] { return print_hash(options, given.file, given.statement, given.canonical); }; });

    auto* signs = app.add_subcommand("sign", "sign a policy file's document; needs no daemon");
    signs->add_option("file", given.file, "the policy file, - for standard input")->required();
    signs->add_option("--key", given.key, "the private key, Ed25519, PEM")->required();
    signs->callback([&] { command = [&] { return sign_file(options, given.file, given.key); }; });

    auto* verifies = app.add_subcommand("verify", "whether a policy file's document is signed; needs no daemon");
    verifies->add_option("file", given.file, "the policy file, - for standard input")->required();
    verifies->add_option("--key", given.key, "the public key, Ed25519, PEM")->required();
    verifies->add_option("--signature", given.signature, "the file with the signature, as sign prints it")->required();
    verifies->callback([&] { command = [&] { return verify_file(options, given.file, given.key, given.signature); }; });

    auto* audits = app.add_subcommand("audit", "read an audit log; needs no daemon");
    audits->require_subcommand(1);
    auto* chains = audits->add_subcommand("verify", "whether no line was changed, left out or put in");
    chains->add_option("file", given.log, "the log")->default_str(kAuditLog);
    chains->add_option("--head", given.hash,
                       "the hash of a line that somebody remembers: nothing up to it may be gone");
    chains->callback([&] {
        command = [&] { return verify_audit(options, given.log.empty() ? kAuditLog : given.log, given.hash); };
    });
    auto* exports = audits->add_subcommand("export", "its lines as CSV; with --json as they are");
    exports->add_option("file", given.log, "the log")->default_str(kAuditLog);
    exports->add_option("--from", given.filter.from, "only from this day or time on, Japan time");
    exports->add_option("--until", given.filter.until, "only before this day or time");
    exports->add_option("--what", given.filter.what, "only lines of this kind: commit, gate.close, ...");
    exports->callback([&] {
        command = [&] { return export_audit(options, given.log.empty() ? kAuditLog : given.log, given.filter); };
    });
}

}  // namespace sekisho::control::cli

// sa install, rekey, switch and remove, and ledger new: what touches keys, or what keys rest on.
//
// The file of an install has keys: this process leaves no core dump, and says of the file's text only where it is
// wrong.
#include <sys/prctl.h>

#include <fmt/format.h>

#include "control/json.hpp"
#include "control/sekishoctl.hpp"
#include "control/sekishoctl_stage.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

int install_sas(const Options& options, const std::string& file, const std::string& method) {
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const auto text = read_file(file);
    if (!text) return fail(options, text.error());
    const json params = json::parse(*text, nullptr, false);
    if (params.is_discarded() || !params.is_object())
        return fail(options, Error{ErrorCode::invalid, file + R"(: a JSON object is expected, {"sas": [...]})"});
    Daemon daemon(options);
    const auto result = daemon.call(method, params);
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("{} inbound and {} outbound SAs are {}\n", result->value("inbound", 0), result->value("outbound", 0),
                   method == "sa.install" ? "in use" : "there; the outbound ones wait for sa switch");
    return kOk;
}

int name_sas(const Options& options, const std::string& method, const json& sas) {
    Daemon daemon(options);
    const auto result = daemon.call(method, {{"sas", sas}});
    if (!result) return daemon.exit_code();
    const bool durable = result->value("durable", true);
    if (options.json)
        print(*result);
    else if (method == "sa.switch")
        fmt::print("{} tunnels have another outbound SA\n", result->value("switched", 0));
    else
        fmt::print("{} SAs are removed\n", result->value("removed", 0));
    if (!durable)
        return fail(options,
                    Error{ErrorCode::unavailable, "removed, but not recorded: " + result->value("warning", "")});
    return kOk;
}

int new_ledger(const Options& options) {
    Daemon daemon(options);
    const auto result = daemon.call("ledger.new");
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("ledger {} is there: manual keys made after {} are taken\n", result->value("ledger", ""),
                   result->value("born", ""));
    return kOk;
}

}  // namespace sekisho::control::cli

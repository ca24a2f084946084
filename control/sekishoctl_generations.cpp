// confirm, rollback, schedule, drift: generations after their commit. Signing and hashing:
// control/sekishoctl_proof.cpp.
#include <fmt/format.h>

#include "control/document_hash.hpp"
#include "control/sekishoctl.hpp"
#include "control/sekishoctl_stage.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

void print_outcome(const json& result, const std::string& counts, const std::string& at) {
    const auto base = result.value("base", std::uint64_t{0});
    const auto generation = result.value("generation", std::uint64_t{0});
    const json scheduled = result.value("scheduled", json());
    const json confirm_by = result.value("confirm_by", json());
    if (result.value("dry_run", false))
        fmt::print("dry run: would follow generation {}: {}\n", base, counts);
    else if (!scheduled.is_null())
        fmt::print("change {} is scheduled for {}: {}\n", scheduled.get<std::uint64_t>(), at, counts);
    else if (generation == base)
        fmt::print("generation {} stands: {}\n", generation, counts);
    else
        fmt::print("generation {} runs, after {}: {}\n", generation, base, counts);
    if (confirm_by.is_string())
        fmt::print("it is rolled back at {}, unless sekishoctl confirm comes before\n",
                   confirm_by.get_ref<const std::string&>());
}

int confirm(const Options& options, std::uint64_t generation) {
    Daemon daemon(options);
    json params = json::object();
    if (generation != 0) params["generation"] = generation;
    const auto result = daemon.call("confirm", params);
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("generation {} is confirmed\n", result->value("confirmed", std::uint64_t{0}));
    return kOk;
}

int rollback(const Options& options, std::uint64_t generation, const json& params) {
    Daemon daemon(options);
    json all = params;
    if (generation != 0) all["generation"] = generation;
    const auto result = daemon.call("rollback", all);
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        print_outcome(*result, counts_text(result->value("counts", json::object())), "");
    return kOk;
}

int cancel(const Options& options, std::uint64_t scheduled) {
    Daemon daemon(options);
    const auto result = daemon.call("schedule.cancel", {{"id", scheduled}});
    if (!result) return daemon.exit_code();
    if (options.json)
        print(*result);
    else
        fmt::print("change {} is cancelled\n", result->value("cancelled", std::uint64_t{0}));
    return kOk;
}

int drift(const Options& options, const std::string& file, const std::string& hash) {
    json params = json::object();
    if (!hash.empty()) params["desired"] = hash;
    if (!file.empty()) {
        const auto text = read_file(file);
        if (!text) return fail(options, text.error());
        const auto document = parse_document(options, file, *text);
        if (!document) return kRefused;
        params["desired"] = hash_of(*document).text;
    }
    Daemon daemon(options);
    const auto result = daemon.call("show.drift", params);
    if (!result) return daemon.exit_code();
    const bool drifts = result->value("drift", true);
    if (options.json) {
        print(*result);
    } else {
        const json running = result->value("running", json::object());
        fmt::print("generation {} runs, {}\n", running.value("generation", std::uint64_t{0}),
                   running.value("hash", ""));
        for (const json& words : result->value("differences", json::array()))
            if (words.is_string()) fmt::print("drift: {}\n", words.get_ref<const std::string&>());
        if (!drifts) fmt::print("no drift\n");
    }
    return drifts ? kDifferent : kOk;
}

}  // namespace sekisho::control::cli

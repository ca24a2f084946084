// The commands that take a policy file: check, diff, apply.
#include <chrono>
#include <cstdio>
#include <map>

#include <fmt/format.h>

#include "control/diff.hpp"
#include "control/sekishoctl.hpp"
#include "control/sekishoctl_stage.hpp"
#include "control/validate.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

void print_changes(const json& change) {
    static const std::map<std::string, char> kSigns = {{"added", '+'}, {"removed", '-'}, {"changed", '~'}};
    const auto sign = kSigns.find(change.value("change", ""));
    fmt::print("{} {} {}\n", sign == kSigns.end() ? '?' : sign->second, change.value("kind", ""),
               change.value("id", ""));
    for (const json& field : change.value("fields", json::array()))
        fmt::print("    {}: {} -> {}\n", field.value("field", ""), field.value("before", json()).dump(),
                   field.value("after", json()).dump());
}

void print_words(const json& result, const char* name, const char* title) {
    for (const json& words : result.value(name, json::array()))
        if (words.is_string()) fmt::print("{}: {}\n", title, words.get_ref<const std::string&>());
}

json words_of(const std::vector<Error>& errors) {
    json words = json::array();
    for (const Error& error : errors) words.push_back(error.words);
    return words;
}

}  // namespace

std::string counts_text(const json& counts) {
    std::string text;
    for (const std::string_view kind : kKindNames) {
        const json count = counts.value(std::string(kind), json::object());
        const int added = count.value("added", 0), removed = count.value("removed", 0),
                  changed = count.value("changed", 0);
        if (added + removed + changed == 0) continue;
        text += fmt::format("{}{} +{} -{} ~{}", text.empty() ? "" : ", ", kind, added, removed, changed);
    }
    return text.empty() ? "no difference" : text;
}

int print_errors(const Options& options, const std::string& file, const std::vector<Error>& errors) {
    RpcError error{RpcErrorCode::invalid,
                   fmt::format("{}: {} error{}", file, errors.size(), errors.size() == 1 ? "" : "s")};
    error.data["errors"] = words_of(errors);
    return fail(options, error);
}

int check(const Options& options, const std::string& file) {
    const auto text = read_file(file);
    if (!text) return fail(options, text.error());
    const auto document = parse_document(options, file, *text);
    if (!document) return kRefused;
    const Policy policy = policy_of(*document);
    const std::vector<Error> errors = validate(policy);
    if (!errors.empty()) return print_errors(options, file, errors);
    const std::vector<std::string> doubts = warnings(policy, std::chrono::system_clock::now());
    if (options.json) {
        print({{"valid", true}, {"objects", document->size()}, {"warnings", doubts}});
        return kOk;
    }
    for (const std::string& doubt : doubts) fmt::print("warning: {}\n", doubt);
    fmt::print("{}: valid, {} objects\n", file, document->size());
    return kOk;
}

int diff(const Options& options, const std::string& file) {
    Daemon daemon(options);
    const auto [transaction, exit_code] = stage(options, daemon, file);
    if (!transaction) return exit_code;
    const auto result = daemon.call("diff", {{"transaction", *transaction}});
    if (!result || !daemon.call("abort", {{"transaction", *transaction}})) return daemon.exit_code();

    const std::string counts = counts_text(result->value("counts", json::object()));
    const bool differs = counts != "no difference";
    if (options.json) {
        print(*result);
    } else {
        for (const json& change : (*result)["changes"]) print_changes(change);
        if (const int omitted = result->value("omitted", 0); omitted != 0) fmt::print("... and {} more\n", omitted);
        print_words(*result, "notes", "note");
        fmt::print("{} against generation {}: {}\n", file, result->value("running", 0), counts);
    }
    return differs ? kDifferent : kOk;
}

int apply(const Options& options, const std::string& file, const ApplyOptions& how) {
    json params = {{"dry_run", how.dry_run}};
    if (how.confirm != 0) params["confirm"] = how.confirm;
    if (!how.at.empty()) params["effective_at"] = how.at;
    if (!how.signature.empty()) {
        const auto signature = read_signature(options, how.signature);
        if (!signature) return kRefused;
        params["signature"] = *signature;
    }
    Daemon daemon(options);
    const auto [transaction, exit_code] = stage(options, daemon, file);
    if (!transaction) return exit_code;
    params["transaction"] = *transaction;
    const auto result = daemon.call("commit", params);
    if (!result) return daemon.exit_code();
    if (options.json) {
        print(*result);
        return kOk;
    }
    print_words(*result, "notes", "note");
    print_words(*result, "warnings", "warning");
    print_outcome(*result, counts_text(result->value("counts", json::object())), how.at);
    return kOk;
}

}  // namespace sekisho::control::cli

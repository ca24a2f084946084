// What can be proved without a daemon: a document's hash and its signature, and that an audit log is whole.
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "control/audit_chain.hpp"
#include "control/calendar.hpp"
#include "control/document_hash.hpp"
#include "control/sekishoctl.hpp"
#include "control/sekishoctl_stage.hpp"
#include "control/signature.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

// The hash of a policy file's document; nullopt after the errors were printed.
std::optional<std::string> hash_of_file(const Options& options, const std::string& file) {
    const auto text = read_file(file);
    if (!text) {
        fail(options, text.error());
        return std::nullopt;
    }
    const auto document = parse_document(options, file, *text);
    if (!document) return std::nullopt;
    return hash_of(*document).text;
}

// A field of a CSV file (RFC 4180).
std::string csv(const json& value) {
    std::string text = value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
    return "\"" + text + "\"";
}

}  // namespace

int print_hash(const Options& options, const std::string& file, bool statement, bool canonical) {
    if (canonical) {
        const auto text = read_file(file);
        if (!text) return fail(options, text.error());
        const auto document = parse_document(options, file, *text);
        if (!document) return kRefused;
        fmt::print("{}", document->text());
        return kOk;
    }
    const auto hash = hash_of_file(options, file);
    if (!hash) return kRefused;
    if (statement)
        fmt::print("{}", statement_of(*hash));
    else if (options.json)
        print({{"hash", *hash}});
    else
        fmt::print("{}\n", *hash);
    return kOk;
}

int sign_file(const Options& options, const std::string& file, const std::string& key) {
    const auto hash = hash_of_file(options, file);
    if (!hash) return kRefused;
    const auto signature = sign(key, *hash);
    if (!signature) return fail(options, signature.error());
    if (options.json)
        print({{"hash", *hash}, {"signature", *signature}});
    else
        fmt::print("{}\n", *signature);
    return kOk;
}

int verify_file(const Options& options, const std::string& file, const std::string& key, const std::string& signature) {
    SigningKeys keys;
    if (auto added = keys.add(key); !added) return fail(options, added.error());
    const auto signed_by = read_signature(options, signature);
    const auto hash = signed_by ? hash_of_file(options, file) : std::nullopt;
    if (!hash) return kRefused;
    if (auto good = keys.check(*hash, *signed_by); !good) return fail(options, good.error().at(file));
    if (options.json)
        print({{"hash", *hash}, {"valid", true}});
    else
        fmt::print("{}: signed, hash {}\n", file, *hash);
    return kOk;
}

std::optional<std::string> read_signature(const Options& options, const std::string& file) {
    auto text = read_file(file);
    if (!text) {
        fail(options, text.error());
        return std::nullopt;
    }
    while (!text->empty() && (text->back() == '\n' || text->back() == '\r' || text->back() == ' ')) text->pop_back();
    return *text;
}

int verify_audit(const Options& options, const std::string& file, const std::string& head) {
    std::ifstream log(file, std::ios::binary);
    if (!log) return fail(options, Error{ErrorCode::unavailable, fmt::format("{}: {}", file, std::strerror(errno))});
    std::uint64_t head_line = 0;
    const ChainVerdict verdict = verify_chain(log, head.empty() ? std::nullopt : std::optional(head), &head_line);
    if (options.json) {
        print({{"valid", verdict.good()},
               {"lines", verdict.lines},
               {"before", verdict.before},
               {"cut", verdict.cut},
               {"head", verdict.head},
               {"head_line", head_line == 0 ? json() : json(head_line)},
               {"errors", verdict.errors},
               {"more_errors", verdict.more_errors}});
        return verdict.good() ? kOk : kRefused;
    }
    for (const std::string& words : verdict.errors) fmt::print(stderr, "sekishoctl: {}: {}\n", file, words);
    if (verdict.more_errors != 0) fmt::print(stderr, "sekishoctl: {}: and {} more\n", file, verdict.more_errors);
    for (const std::uint64_t line : verdict.cut)
        fmt::print("line {}: cut off by a crash, and covered by the next\n", line);
    if (verdict.before != 0)
        fmt::print("{} lines at the beginning are of a version that made no chain\n", verdict.before);
    if (head_line != 0)
        fmt::print("line {} is the one that was remembered; {} followed\n", head_line, verdict.lines - head_line);
    fmt::print("{}: {} lines, {}, head {}\n", file, verdict.lines, verdict.good() ? "the chain is whole" : "BROKEN",
               verdict.head);
    return verdict.good() ? kOk : kRefused;
}

int export_audit(const Options& options, const std::string& file, const AuditFilter& filter) {
    std::ifstream log(file, std::ios::binary);
    if (!log) return fail(options, Error{ErrorCode::unavailable, fmt::format("{}: {}", file, std::strerror(errno))});
    // A log that is not whole is exported all the same, and said to be broken: it is evidence too.
    const ChainVerdict verdict = verify_chain(log);
    log.clear();
    log.seekg(0);
    std::array<std::optional<std::chrono::system_clock::time_point>, 2> bounds;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
        const std::string& text = i == 0 ? filter.from : filter.until;
        if (text.empty()) continue;
        const auto time = parse_time(text);
        if (!time) return fail(options, time.error().at(i == 0 ? "--from" : "--until"));
        bounds[i] = *time;
    }
    if (!options.json) fmt::print("line,time,what,uid,gid,pid,generation,more\n");
    std::uint64_t number = 0;
    for (std::string line; std::getline(log, line);) {
        ++number;
        json object = json::parse(line, nullptr, false);
        if (!object.is_object()) continue;
        const auto time = parse_time(object.value("time", ""));
        if (bounds[0] && (!time || *time < *bounds[0])) continue;
        if (bounds[1] && (!time || *time >= *bounds[1])) continue;
        if (!filter.what.empty() && object.value("what", "") != filter.what) continue;
        if (options.json) {
            fmt::print("{}\n", line);  // the bytes that were hashed
            continue;
        }
        std::string row = std::to_string(number);
        for (const char* name : {"time", "what", "uid", "gid", "pid", "generation"}) {
            row += "," + csv(object.value(name, json()));
            object.erase(name);
        }
        object.erase("previous");
        fmt::print("{},{}\n", row, csv(object.empty() ? json() : object));
    }
    if (verdict.good()) return kOk;
    return fail(options, Error{ErrorCode::invalid, fmt::format("{}: {}", file, verdict.errors.front())});
}

}  // namespace sekisho::control::cli

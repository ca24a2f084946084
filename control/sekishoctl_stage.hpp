// Staging a policy file in a transaction: read piece by piece, sent batch by batch, while the daemon applies.
//
// The daemon judges the objects. Only when something is wrong does the CLI read the file as a document itself, because
// it knows lines and can name everything at once; so what comes from a pipe, which cannot be read twice, is kept. Of a
// file no more is in memory than a few batches. Used by diff and apply.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "control/document.hpp"
#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

// The whole file ("-": standard input).
Expected<std::string> read_file(const std::string& file);

// The text as a document; on errors all of them are printed, under the file's name, and nullopt is returned.
std::optional<Document> parse_document(const Options& options, const std::string& file, const std::string& text);

struct StagedFile {
    std::optional<nlohmann::json> transaction;  // nullopt: the error was printed
    int exit_code = kOk;
};
// Begins a transaction that replaces everything and stages the file in it.
StagedFile stage(const Options& options, Daemon& daemon, const std::string& file);

}  // namespace sekisho::control::cli

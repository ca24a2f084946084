// The part of sekishoctl's command line that is about generations, signatures and the audit log.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

using Command = std::function<int()>;

// What was given to these commands; outlives the parsing.
struct GenerationArguments {
    std::uint64_t generation = 0;
    unsigned confirm = 0;
    bool dry_run = false, statement = false, canonical = false;
    std::string file, hash, key, signature, log;
    AuditFilter filter;
};

// Adds the commands; the one that is given is put into `command`. All of it outlives the parsing.
void add_generation_commands(CLI::App& app, const Options& options, GenerationArguments& given, Command& command);

}  // namespace sekisho::control::cli

// bash completion for sekishoctl, written from the command line that the program itself parses: never a list beside it.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace sekisho::control::cli {

// A script for bash that completes commands, options, and values that are one of a few.
std::string bash_completion(const CLI::App& app);

}  // namespace sekisho::control::cli

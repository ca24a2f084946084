// The command line of sekisho-ipfix.
#pragma once

#include <optional>

#include "ipfix/exporter.hpp"

namespace sekisho::ipfix {

struct ParsedOptions {
    std::optional<int> exit;  // with this code, instead of running: help, version, or a wrong command line
    ExporterOptions options;
};
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace sekisho::ipfix

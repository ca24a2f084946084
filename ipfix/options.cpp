#include "ipfix/options.hpp"

#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/build_version.hpp"

namespace sekisho::ipfix {

namespace {
constexpr const char* kConfiguration = "/etc/sekisho/ipfix.toml";
}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
    ParsedOptions parsed;
    ExporterOptions& options = parsed.options;
    options.log_directory = "/var/lib/sekisho";
    options.cursor = "/var/lib/sekisho-ipfix/cursor";
    CLI::App app{
        "sekisho-ipfix: tells an IPFIX collector who had which ports of shared addresses when (RFC 8158), from the "
        "translation log that sekishod writes"};
    app.set_version_flag("--version", std::string("sekisho-ipfix ") + control::build_version());
    std::error_code none;
    app.set_config("--config", std::filesystem::exists(kConfiguration, none) ? kConfiguration : "",
                   fmt::format("configuration file (TOML or INI) with the names of these flags; {} if it is there",
                               kConfiguration))
        ->check(CLI::ExistingFile);
    app.allow_config_extras(CLI::config_extras_mode::error);
    app.footer("Exit codes: 0 stopped as asked; 1 the cursor cannot be written; 2 the command line is wrong.");
    std::string collector;
    app.add_option("--collector", collector, "the collector: tcp:HOST:PORT or udp:HOST:PORT, port 4739 unless given")
        ->required();
    app.add_option("--state-dir", options.log_directory,
                   "sekishod's state directory, where translations-DATE.jsonl are")
        ->capture_default_str();
    app.add_option("--cursor", options.cursor, "the file that says how far it is")->capture_default_str();
    app.add_option("--domain", options.domain, "observation domain, by which the collector tells nodes apart")
        ->capture_default_str();
    unsigned seconds = 600;
    app.add_option("--templates-every", seconds, "seconds after which templates are sent again by UDP (RFC 7011 8.4)")
        ->check(CLI::Range(1, 86'400))
        ->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        parsed.exit = app.exit(error) == 0 ? 0 : 2;
        return parsed;
    }
    options.templates_every = std::chrono::seconds(seconds);
    auto read = Collector::parse(collector);
    if (!read) {
        fmt::print(stderr, "--collector: {}\n", read.error().words);
        parsed.exit = 2;
        return parsed;
    }
    options.collector = std::move(*read);
    return parsed;
}

}  // namespace sekisho::ipfix

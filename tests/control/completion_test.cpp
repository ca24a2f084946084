// bash completion, as bash runs it: the words before the cursor in, the words offered out.
#include <sstream>

#include <catch2/catch.hpp>

#include "tests/control/program_support.hpp"

using namespace sekisho::control::test;

namespace {

// What bash offers after `words`, the last of which is being typed.
std::vector<std::string> offered(const std::vector<std::string>& words) {
    std::string script =
        "source <(\"$0\" completion bash); COMP_WORDS=(sekishoctl \"$@\"); COMP_CWORD=$#; _sekishoctl; "
        "printf '%s\\n' \"${COMPREPLY[@]}\"";
    std::vector<std::string> arguments = {"-c", script, path_from("SEKISHOCTL")};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const Ran ran = run("/bin/bash", arguments);
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
    CHECK(ran.err.empty());
    std::vector<std::string> found;
    std::istringstream stream(ran.out);
    for (std::string word; stream >> word;) found.push_back(word);
    std::sort(found.begin(), found.end());
    return found;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("completion: nothing is offered for what is no command, and no command twice", "[control][sekishoctl]") {
    CHECK(offered({"xyz"}).empty());
    CHECK(offered({"show", "xyz"}).empty());
    CHECK(offered({"explain", "--source", ""}).empty());
    CHECK(offered({"version", "version", ""}).empty());
}

TEST_CASE("completion: commands, what can be shown, and options are those of the program", "[control][sekishoctl]") {
    CHECK(offered({"ex"}) == Words{"explain"});
    CHECK(offered({"show", "n"}) == Words{"neighbours"});
    CHECK(offered({"--json", "show", "g"}) == Words{"gates", "generation", "generations"});
    CHECK(offered({"--socket", "show", "gat"}) == Words{"gate"});  // "show" is the socket's name here
    CHECK(offered({"apply", "--d"}) == Words{"--dry-run"});
    CHECK(offered({"explain", "--ic"}) == Words{"--icmp-type"});
    CHECK(offered({"gate", ""}) == Words{"close", "open"});
    CHECK(offered({"gate", "close", "inst"}) == Words{"institution"});
    CHECK(offered({"gate", "close", "node", "--reason", "e"}) == Words{"emergency", "expiry"});
    CHECK(offered({"events", "--kind", "l"}) == Words{"link"});
    CHECK(offered({"version", "--js"}) == Words{"--json"});
    // Whatever --help lists as a command is offered.
    const Ran help = run(path_from("SEKISHOCTL"), {"--help"});
    const std::string list = help.out.substr(help.out.find("Subcommands:"));
    const Words all = offered({""});
    std::istringstream stream(list);
    std::size_t commands = 0;
    for (std::string line; std::getline(stream, line);) {
        if (line.size() < 3 || line[0] != ' ' || line[1] != ' ' || line[2] == ' ') continue;
        const std::string command = line.substr(2, line.find(' ', 2) - 2);
        INFO(command);
        CHECK(std::find(all.begin(), all.end(), command) != all.end());
        ++commands;
    }
    CHECK(commands == all.size());
}

TEST_CASE("completion: a policy file is completed as a file", "[control][sekishoctl]") {
    TemporaryDirectory directory;
    write_file(directory / "policy.json", "{}");
    CHECK(offered({"apply", directory / "pol"}) == Words{directory / "policy.json"});
    CHECK(offered({"diff", directory / "no"}).empty());
}

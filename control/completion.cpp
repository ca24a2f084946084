#include "control/completion.hpp"

#include <fmt/format.h>

namespace sekisho::control::cli {

namespace {

// The choices of an option whose value is one of a few: its validator describes them as {a,b,c}.
std::string choices_of(CLI::Option& option) {
    std::string words;
    try {
        words = option.get_validator(0)->get_description();
    } catch (const CLI::OptionNotFound&) {  // it has none
    }
    const std::size_t open = words.find('{');
    const std::size_t close = words.find('}');
    if (open == std::string::npos || close == std::string::npos) return {};
    std::string choices = words.substr(open + 1, close - open - 1);
    for (char& letter : choices)
        if (letter == ',') letter = ' ';
    return choices;
}

// The command's names for options, the choices of its arguments, and whether an argument is a file.
struct Words {
    std::string options, arguments, commands;
    bool takes_file = false;
    std::string values;  // cases of "--option) ...;;"
};

Words words_of(CLI::App& command) {
    Words words;
    for (CLI::Option* option : command.get_options()) {
        if (option->get_positional()) {
            const std::string choices = choices_of(*option);
            words.arguments += choices.empty() ? "" : " " + choices;
            words.takes_file = words.takes_file || option->get_name() == "file";
            continue;
        }
        std::string names;
        for (const std::string& name : option->get_lnames()) names += (names.empty() ? "--" : " --") + name;
        words.options += (words.options.empty() ? "" : " ") + names;
        if (option->get_expected_min() == 0) continue;  // a flag
        const std::string choices = choices_of(*option);
        words.values +=
            fmt::format("        {}) values={} ;;\n", names, choices.empty() ? "none" : "'" + choices + "'");
    }
    for (CLI::App* each : command.get_subcommands({}))
        if (!each->get_name().empty()) words.commands += (words.commands.empty() ? "" : " ") + each->get_name();
    return words;
}

// `inherited`: options that may stand after any command.
void add_command(CLI::App& command, const std::string& path, const std::string& inherited, std::string& cases) {
    const Words words = words_of(command);
    cases += fmt::format(
        "    '{}')\n        options='{}{}' words='{}{}' file={}\n        case $previous in\n{}        esac ;;\n", path,
        words.options, path.empty() ? "" : inherited, words.commands, words.arguments, words.takes_file ? "yes" : "no",
        words.values.empty() ? "        --) ;;\n" : words.values);
    for (CLI::App* each : command.get_subcommands({}))
        add_command(*each, path + (path.empty() ? "" : " ") + each->get_name(), inherited, cases);
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
    auto& root = const_cast<CLI::App&>(app);  // its lists are to be had from a mutable one only
    const Words global = words_of(root);
    std::string cases;
    constexpr std::string_view kHelp = "--help";  // each command has its own
    add_command(root, "", global.options.substr(global.options.find(kHelp) == 0 ? kHelp.size() : 0), cases);
    std::string names;
    std::string all = global.commands;
    for (CLI::App* each : root.get_subcommands({}))
        if (const Words words = words_of(*each); !words.commands.empty())
            names += fmt::format("            '{}') nested='{}' ;;\n", each->get_name(), words.commands);
    return fmt::format(R"(# bash completion for sekishoctl: made by `sekishoctl completion bash`.
_sekishoctl() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local path='' word nested='{}' options='' words='' file=no values='' i skip=no
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        if [[ $skip == yes ]]; then skip=no; continue; fi
        case $word in
            --socket) skip=yes ;;
            -*) ;;
            *)
                if [[ " $nested " == *" $word "* ]]; then
                    path=${{path:+$path }}$word
                    nested=''
                    case $path in
{}                    esac
                fi ;;
        esac
    done
    case $path in
{}    esac
    case $previous in
        --socket) COMPREPLY=($(compgen -f -- "$current")); return ;;
    esac
    if [[ -n $values ]]; then
        [[ $values == none ]] || COMPREPLY=($(compgen -W "$values" -- "$current"))
        return
    fi
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ $file == yes ]]; then
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}}
complete -o filenames -F _sekishoctl sekishoctl
)",
                       all, names, cases);
}

}  // namespace sekisho::control::cli

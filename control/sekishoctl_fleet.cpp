// `sekishoctl fleet`: every node of the cluster, as the policy store knows it.
//
// The store is the agent's business: its program is run in our place, with its own configuration, so that this one
// links no gRPC and holds no certificates of the store.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

int fleet(const Options& options, const std::string& config) {
    // Beside this program, if it is there; else where the shell would find it.
    std::error_code none;
    std::filesystem::path agent =
        std::filesystem::read_symlink("/proc/self/exe", none).replace_filename("sekisho-agent");
    if (none || !std::filesystem::exists(agent, none)) agent = "sekisho-agent";
    std::vector<std::string> arguments = {agent.string(), "fleet"};
    if (!config.empty()) arguments.insert(arguments.end(), {"--config", config});
    if (options.json) arguments.emplace_back("--json");
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    ::execvp(pointers.front(), pointers.data());
    return fail(options, Error{ErrorCode::unavailable, fmt::format("{}: {}", agent.string(), std::strerror(errno))});
}

}  // namespace sekisho::control::cli

// The other end of the control socket: connects, asks, waits for the answer.
//
// Blocking, one request at a time; sekishoctl's, and any tool's in this house. No thread of its own.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include <nlohmann/json.hpp>

#include "control/file_descriptor.hpp"
#include "control/json_rpc.hpp"
#include "control/line_cutter.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

class Client {
  public:
    // No answer came: the daemon is not there, or went away.
    struct Lost {
        std::string words;
    };
    using Answer = std::variant<nlohmann::json, RpcError, Lost>;

    // Errors: nobody answers there, no permission.
    static Expected<Client> connect(const std::string& path);

    Answer call(const std::string& method, const nlohmann::json& params = nlohmann::json::object());
    // The same with parameters that are JSON text already; they are sent as they are.
    Answer call_text(const std::string& method, const std::string& params);

  private:
    Client(std::string path, FileDescriptor socket);
    Lost lost(const std::string& words) const;

    std::string path_;
    FileDescriptor socket_;
    LineCutter input_;
    std::uint64_t next_id_ = 1;
};

}  // namespace sekisho::control

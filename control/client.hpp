// The other end of the control socket: connects, asks, waits for the answer.
//
// Blocking; requests may be sent ahead of the answers to earlier ones. sekishoctl's, and any tool's in this house.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include "control/json_rpc.hpp"
#include "control/line_cutter.hpp"
#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

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

    // How long an answer may take before the connection counts as lost; for ever, if this is not called.
    void wait_at_most(std::chrono::seconds longest);

    Answer call(const std::string& method, const nlohmann::json& params = nlohmann::json::object());

    // The two halves of call(), for requests that are answered in their order: ask() sends, with parameters that are
    // JSON text already, and gives the request's id; answer_to() waits. Keep well under 16 unanswered: from there on
    // the daemon reads no more. No copy is made of the parameters, which may hold keys.
    std::uint64_t ask(const std::string& method, std::string_view params);
    Answer answer_to(std::uint64_t id);

    // The next message that answers nothing of ours: of `events`, once that was answered. Waits for it.
    Answer next_notification();
    // Whether next_notification() would find something, within `longest`: a notification, or the end.
    bool has_come(std::chrono::milliseconds longest);

  private:
    Client(std::string path, FileDescriptor socket);
    bool send(std::string_view part);
    std::optional<Lost> read_some();
    Lost lost(const std::string& words) const;

    std::string path_;
    FileDescriptor socket_;
    LineCutter input_;
    std::deque<nlohmann::json> notifications_;  // that came before an answer
    std::uint64_t next_id_ = 1;
};

}  // namespace sekisho::control

// What must be written down while the compiler is busy: gates closed by hand, and who asked for what is not theirs.
//
// A thread of its own beside the compiler's, so that neither a large commit nor the disk holds up the control thread.
// Refusals are recorded at a bounded rate: a client that asks a thousand times cannot fill the disk; the next line says
// how many were left out. Called on the control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/audit_log.hpp"
#include "control/compiler_thread.hpp"
#include "control/request_rate.hpp"
#include "control/state_store.hpp"

namespace sekisho::control {

class Recorder {
  public:
    using Done = std::function<void(Expected<void>)>;  // on the control thread

    Recorder(EventLoop& loop, StateStore& state, AuditLog& audit)
        : state_(state),
          audit_(audit),
          refusals_(10, 50, std::chrono::steady_clock::now()),
          thread_(loop, "sk-recorder") {}

    // Appends the line to the audit log, then saves the gates; both are durable when `done` is called without an error.
    void gates(std::string what, nlohmann::json line, Peer peer, StateStore::SavedText gates, Done done);
    // Appends a line to the audit log alone. Lines that wait together are made durable together, and may come before
    // gates that were asked for between them.
    void line(std::string what, nlohmann::json line, Peer peer, Done done);
    // Audits that this peer may not call this method.
    void refusal(std::string_view method, const Peer& peer, std::string_view role);

  private:
    struct Line {
        std::string what;
        nlohmann::json line;
        Peer peer;
        Done done;
    };
    CompilerThread::After record(std::vector<Line> lines);

    StateStore& state_;
    AuditLog& audit_;
    RequestRate refusals_;
    std::uint64_t left_out_ = 0;
    std::mutex lines_mutex_;
    std::vector<Line> lines_;  // that wait; the thread has been asked to take them
    CompilerThread thread_;    // last, so that it has ended before what it uses
};

}  // namespace sekisho::control

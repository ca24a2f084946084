// The audit log: one JSON line for everything that changed, or was refused to change, what the hub lets through.
//
// Append-only; a line is durable before append() returns, and a commit's line is written before the commit takes
// effect: nothing changes unrecorded. append() waits for the disk: the compiler thread and the recorder call it, and
// the control thread only before those have work. Times are Japan time with their offset (clause 7-3).
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "control/peer.hpp"
#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

class AuditLog {
  public:
    static Expected<std::unique_ptr<AuditLog>> open(const std::string& path);  // made with mode 0640

    // Safe from any thread. Appends {"time", "what", "uid", "gid", "pid", ...more}. `peer` is who asked; the daemon
    // itself by default.
    Expected<void> append(const std::string& what, const nlohmann::json& more, const Peer& peer);
    static Peer own_peer() noexcept;

  private:
    AuditLog(std::string path, FileDescriptor file) : path_(std::move(path)), file_(std::move(file)) {}

    std::string path_;
    FileDescriptor file_;
    std::mutex mutex_;        // a line is written whole before the next
    bool half_line_ = false;  // the last line could not be written whole
};

}  // namespace sekisho::control

// The audit log: one JSON line for everything that changed, or was refused to change, what the hub lets through.
//
// Append-only; a line is durable before append() returns, and a commit's line is written before the commit takes
// effect: nothing changes unrecorded. Each line holds the hash of the line before it (control/audit_chain.hpp).
// append() waits for the disk: the compiler thread and the recorder call it, and the control thread only before those
// have work. Times are Japan time with their offset (clause 7-3).
#pragma once

#include <cstdint>
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
    // Made with mode 0600. Goes on with the chain of what is there.
    static Expected<std::unique_ptr<AuditLog>> open(const std::string& path);

    // Safe from any thread. Appends {"time", "what", "uid", "gid", "pid", ...more, "previous"}. `peer` is who asked;
    // the daemon itself by default.
    Expected<void> append(const std::string& what, const nlohmann::json& more, const Peer& peer);
    // The same in two steps, for several lines at once: what was written is durable once sync() returns without an
    // error.
    Expected<void> write(const std::string& what, const nlohmann::json& more, const Peer& peer);
    Expected<void> sync();
    static Peer own_peer() noexcept;

    // The hash of the last line, which names the whole log up to it: what a witness outside the node remembers. Any
    // thread; waits for a line that is being written.
    std::string head();

  private:
    AuditLog(std::string path, FileDescriptor file) : path_(std::move(path)), file_(std::move(file)) {}

    std::string path_;
    FileDescriptor file_;
    std::mutex mutex_;        // a line is written whole before the next
    bool half_line_ = false;  // the last line has no end: it could not be written whole
    std::string head_;        // the hash of the last line, as much as there is of it
};

}  // namespace sekisho::control

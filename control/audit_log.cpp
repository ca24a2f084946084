#include "control/audit_log.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "control/calendar.hpp"

namespace sekisho::control {

Expected<std::unique_ptr<AuditLog>> AuditLog::open(const std::string& path) {
    FileDescriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!file) return Error{ErrorCode::unavailable, "audit log " + path + ": opening: " + std::strerror(errno)};
    return std::unique_ptr<AuditLog>(new AuditLog(path, std::move(file)));
}

Expected<void> AuditLog::append(const std::string& what, const nlohmann::json& more, const Peer& peer) {
    nlohmann::ordered_json line = {{"time", time_text(std::chrono::system_clock::now())},
                                   {"what", what},
                                   {"uid", peer.uid},
                                   {"gid", peer.gid},
                                   {"pid", peer.pid}};
    for (const auto& [name, value] : more.items()) line[name] = value;
    const std::lock_guard lock(mutex_);
    const std::string text =
        (half_line_ ? "\n" : "") + line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    const ssize_t written = ::write(file_.number(), text.data(), text.size());
    if (written > 0) half_line_ = static_cast<std::size_t>(written) < text.size();
    if (written < 0 || half_line_ || ::fdatasync(file_.number()) != 0)
        return Error{ErrorCode::unavailable, "audit log " + path_ + ": writing: " + std::strerror(errno)};
    return {};
}

Peer AuditLog::own_peer() noexcept {
    return {::getpid(), ::getuid(), ::getgid(), {}};
}

}  // namespace sekisho::control

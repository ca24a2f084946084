#include "control/audit_log.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "control/audit_chain.hpp"
#include "control/calendar.hpp"
#include "control/document_hash.hpp"

namespace sekisho::control {

Expected<std::unique_ptr<AuditLog>> AuditLog::open(const std::string& path) {
    const auto failed = [&path](const char* tried) {
        return Error{ErrorCode::unavailable, "audit log " + path + ": " + tried + ": " + std::strerror(errno)};
    };
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!file) return failed("opening");
    auto last = last_line_of(file);
    if (!last) return failed("reading");
    std::unique_ptr<AuditLog> log(new AuditLog(path, std::move(file)));
    log->half_line_ = last->is_half;
    log->head_ = last->text.empty() ? std::string(kChainBegin) : sha256_text(last->text);
    return log;
}

Expected<void> AuditLog::append(const std::string& what, const nlohmann::json& more, const Peer& peer) {
    auto written = write(what, more, peer);
    return written ? sync() : written;
}

Expected<void> AuditLog::write(const std::string& what, const nlohmann::json& more, const Peer& peer) {
    nlohmann::ordered_json line = {{"time", time_text(std::chrono::system_clock::now())},
                                   {"what", what},
                                   {"uid", peer.uid},
                                   {"gid", peer.gid},
                                   {"pid", peer.pid}};
    for (const auto& [name, value] : more.items()) line[name] = value;
    const std::lock_guard lock(mutex_);
    line["previous"] = head_;
    const std::string text = line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    const std::string written = (half_line_ ? "\n" : "") + text + "\n";
    const off_t end = ::lseek(file_.number(), 0, SEEK_END);
    const ssize_t count = ::write(file_.number(), written.data(), written.size());
    const int error = count < 0 ? errno : ENOSPC;
    const bool whole = count == static_cast<ssize_t>(written.size());
    // What was not written whole is taken back; if that fails too, what is there is the line before the next.
    if (whole || (count > 0 && ::ftruncate(file_.number(), end) != 0)) {
        const std::size_t length = std::min(static_cast<std::size_t>(count) - (half_line_ ? 1 : 0), text.size());
        half_line_ = length != 0 && !whole;
        if (length != 0) head_ = sha256_text(text.substr(0, length));
    }
    if (!whole) return Error{ErrorCode::unavailable, "audit log " + path_ + ": writing: " + std::strerror(error)};
    return {};
}

Expected<void> AuditLog::sync() {
    if (::fdatasync(file_.number()) != 0)
        return Error{ErrorCode::unavailable, "audit log " + path_ + ": syncing: " + std::strerror(errno)};
    return {};
}

std::string AuditLog::head() {
    const std::lock_guard lock(mutex_);
    return head_;
}

Peer AuditLog::own_peer() noexcept {
    return {::getpid(), ::getuid(), ::getgid(), {}};
}

}  // namespace sekisho::control

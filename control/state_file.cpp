#include "control/state_file.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

namespace sekisho::control {

namespace {

constexpr std::size_t kMostOfALine = 64 * 1024;

// Bytes of the file until `enough` says so, or to its end.
Expected<std::string> read_until(const std::string& path, const std::function<bool(const std::string&)>& enough) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT) return Error{ErrorCode::not_found, state_error(path, "opening").words};
    if (!file) return state_error(path, "opening");
    std::string bytes;
    std::array<char, 64 * 1024> piece;
    while (!enough(bytes)) {
        const ssize_t got = ::read(file.number(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return state_error(path, "reading");
        if (got == 0) break;
        bytes.append(piece.data(), static_cast<std::size_t>(got));
    }
    return bytes;
}

}  // namespace

Error state_error(const std::string& path, const char* tried) {
    const ErrorCode code = errno == EACCES || errno == EPERM ? ErrorCode::permission : ErrorCode::unavailable;
    return {code, fmt::format("state directory: {} {}: {}", tried, path, std::strerror(errno))};
}

Expected<void> write_all(const FileDescriptor& file, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t step = ::write(file.number(), bytes.data(), bytes.size());
        if (step < 0 && errno == EINTR) continue;
        if (step < 0) return state_error(path, "writing");
        bytes.remove_prefix(static_cast<std::size_t>(step));
    }
    return {};
}

Expected<void> write_file(const std::string& path, const nlohmann::json& first_line,
                          const std::function<void(const TakeText&)>& rest) {
    const std::string beside = path + ".new";
    FileDescriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return state_error(beside, "opening");
    Expected<void> written = write_all(file, first_line.dump() + "\n", beside);
    rest([&](std::string_view piece) {
        if (written) written = write_all(file, piece, beside);
    });
    if (!written) return written;
    if (::fsync(file.number()) != 0) return state_error(beside, "syncing");
    file.close();
    return move_file(beside, path);
}

Expected<std::string> read_whole(const std::string& path) {
    return read_until(path, [](const std::string&) { return false; });
}

Expected<std::string> read_first_line(const std::string& path) {
    auto bytes = read_until(path, [](const std::string& read) {
        return read.size() >= kMostOfALine || read.find('\n') != std::string::npos;
    });
    if (!bytes) return bytes;
    return bytes->substr(0, bytes->find('\n'));
}

Expected<void> move_file(const std::string& from, const std::string& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) return state_error(to, "renaming to");
    if (auto synced = sync_directory_of(to); !synced) return synced;
    return sync_directory_of(from);
}

Expected<void> remove_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0) {
        if (errno == ENOENT) return {};
        return state_error(path, "removing");
    }
    return sync_directory_of(path);
}

Expected<void> sync_directory_of(const std::string& path) {
    const std::string directory = path.substr(0, path.rfind('/'));
    const FileDescriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.number()) != 0) return state_error(directory, "syncing");
    return {};
}

}  // namespace sekisho::control

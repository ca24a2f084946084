#include "control/unix_socket.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace sekisho::control {

namespace {

constexpr mode_t kMode = 0660;
constexpr int kBacklog = 64;

Expected<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty()) return Error{ErrorCode::invalid, "control socket: the path is empty"};
    if (path.size() >= sizeof address.sun_path)
        return Error{ErrorCode::invalid, "control socket " + path + ": the path has " + std::to_string(path.size()) +
                                             " bytes, a socket's may have " +
                                             std::to_string(sizeof address.sun_path - 1)};
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

Error system_error(const std::string& path, const char* tried) {
    const ErrorCode code = errno == EACCES || errno == EPERM ? ErrorCode::permission : ErrorCode::unavailable;
    return {code, "control socket " + path + ": " + tried + ": " + std::strerror(errno)};
}

// Removes a socket file that nobody answers on.
Expected<void> clear_the_place(const std::string& path, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return {};
        return system_error(path, "looking at the file");
    }
    if (!S_ISSOCK(status.st_mode))
        return Error{ErrorCode::exists, "control socket " + path + ": a file that is no socket is there"};
    const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return system_error(path, "making a socket");
    // EAGAIN: its backlog is full, so somebody holds it.
    if (::connect(probe.number(), generic(address), sizeof address) == 0 || errno == EAGAIN)
        return Error{ErrorCode::exists, "control socket " + path + ": another daemon answers there"};
    if (errno != ECONNREFUSED) return system_error(path, "asking whether a daemon answers there");
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_error(path, "removing the stale file");
    return {};
}

}  // namespace

Expected<FileDescriptor> listen_at(const std::string& path, std::optional<gid_t> group) {
    const auto address = address_of(path);
    if (!address) return address.error();
    if (auto cleared = clear_the_place(path, *address); !cleared) return cleared.error();

    FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listening) return system_error(path, "making a socket");
    // Never open to others, not even between bind and chmod.
    const mode_t before = ::umask(0777 & ~kMode);
    const bool bound = ::bind(listening.number(), generic(*address), sizeof *address) == 0;
    ::umask(before);
    if (!bound) return system_error(path, "binding");
    if ((group && ::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) || ::chmod(path.c_str(), kMode) != 0 ||
        ::listen(listening.number(), kBacklog) != 0) {
        const Error error = system_error(path, "listening");
        ::unlink(path.c_str());
        return error;
    }
    return listening;
}

Expected<FileDescriptor> connect_to(const std::string& path) {
    const auto address = address_of(path);
    if (!address) return address.error();
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return system_error(path, "making a socket");
    if (::connect(socket.number(), generic(*address), sizeof *address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return Error{ErrorCode::unavailable, "control socket " + path + ": no daemon answers there (" +
                                                     std::strerror(errno) + "); is sekishod running?"};
        return system_error(path, "connecting");
    }
    return socket;
}

}  // namespace sekisho::control

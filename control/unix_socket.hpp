// Unix stream sockets by path: listening without taking another's place, connecting with words when it fails.
//
// Both ends of the control socket use it, sekishod and sekishoctl. Any thread.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

// A non-blocking listening socket at `path` with mode 0660, of `group` if one is given. A socket file there that nobody
// answers on is removed first. Errors: another process answers there (exists), the file is no socket (exists), the
// directory (unavailable). Changes the process's umask for a moment: call it while no other thread makes files.
Expected<FileDescriptor> listen_at(const std::string& path, std::optional<gid_t> group = {});

// A blocking socket, connected. Errors (unavailable, permission) name the path and what is probably wrong.
Expected<FileDescriptor> connect_to(const std::string& path);

}  // namespace sekisho::control

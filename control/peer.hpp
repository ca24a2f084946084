// Who is at the other end of the control socket.
//
// What the roles of viewer, operator and admin will be decided by, and what the audit log records. Values only.
#pragma once

#include <cstdint>
#include <sys/types.h>

namespace sekisho::control {

using ClientId = std::uint64_t;  // of a connection; never given out twice

struct Peer {  // as the kernel knew it when it connected (SO_PEERCRED)
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
};

}  // namespace sekisho::control

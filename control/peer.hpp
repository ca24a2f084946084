// Who is at the other end of the control socket.
//
// What roles are decided by (control/roles.hpp), and what the audit log records. Values only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <sys/types.h>
#include <vector>

namespace sekisho::control {

using ClientId = std::uint64_t;  // of a connection; never given out twice

struct Peer {  // as the kernel knew it when it connected (SO_PEERCRED, SO_PEERGROUPS)
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;  // supplementary ones

    bool is_in(gid_t group) const noexcept {
        return gid == group || std::find(groups.begin(), groups.end(), group) != groups.end();
    }
};

}  // namespace sekisho::control

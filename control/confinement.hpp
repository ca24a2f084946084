// What a running daemon may still do: as good as nothing beyond what it does.
//
// Starting needs root's powers: devices, namespaces, hugepages. Afterwards every thread gives up all capabilities but
// the few named for it, for good; no thread gains any by executing something; and the kernel answers EPERM to every
// system call that is not on the list in the .cpp, execve and those that make processes among them. Called once by the
// control thread, when everything is started and before anything is answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/expected.hpp"

namespace sekisho::control {

struct Confinement {
    // Bits of linux/capability.h that the control thread and the TAPs' keep; of those, what the process has. All other
    // threads keep none.
    std::uint64_t capabilities = 0;
};

// For ports with these device arguments: CAP_NET_ADMIN, because any policy may ask for TAPs to be made and moved,
// and CAP_BPF for AF_XDP's maps.
Confinement confinement_for(const std::vector<std::string>& devargs);

// The error says which thread could not be confined, or what the kernel refused; some threads may be confined then.
Expected<void> confine(const Confinement& confinement);

}  // namespace sekisho::control

// A TAP in an operator's network namespace: made here, named and moved there; its frames.
//
// This process enters no namespace: one netlink request moves the interface, names it and sets its MAC address and MTU.
// To bring it up and to give it addresses is for whoever runs the namespace (its routing daemon, `ip -n`). It lives as
// long as this object; a process that is killed leaves none. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <sys/types.h>
#include <utility>

#include "dataplane/tables.hpp"
#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::dataplane {

class Tap {
  public:
    // `namespaces`: the directory that names network namespaces, /run/netns. Errors say what is missing: the namespace,
    // /dev/net/tun, a permission; or that the namespace has an interface of that name.
    static Expected<Tap> make(const TapSpec& spec, const std::string& namespaces);

    int descriptor() const noexcept { return device_.number(); }
    // Whether the namespace that it is in still has this name.
    bool is_in(const std::string& network_namespace, const std::string& namespaces) const noexcept;

    // Never waits. A frame without its checksum trailer; kDown: the interface is not up, kGone: it is no more.
    enum class Outcome : std::uint8_t { done, nothing, down, gone };
    Outcome write(std::span<const std::uint8_t> frame) noexcept;
    // Reads one frame into `room`; its length on done. Longer ones than the room are cut.
    std::pair<Outcome, std::size_t> read(std::span<std::uint8_t> room) noexcept;

  private:
    struct Inode {  // what tells two namespaces apart
        dev_t device = 0;
        ino_t number = 0;
        friend bool operator==(const Inode&, const Inode&) = default;
    };
    Tap(FileDescriptor device, Inode inode) : device_(std::move(device)), namespace_(inode) {}

    FileDescriptor device_;
    Inode namespace_;
};

}  // namespace sekisho::dataplane

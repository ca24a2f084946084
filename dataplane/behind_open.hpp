// Opening sessions with an end behind a port block, in two steps, so that a burst's openings wait for memory together.
//
// Worker threads.
#pragma once

#include <optional>

#include "dataplane/behind_ends.hpp"
#include "net/drop_reason.hpp"

namespace sekisho::dataplane {

struct OpenedBehind {
    nat::Slot slot = nat::kNoSlot;
    DropReason reason = DropReason::no_agreement;  // when there is no slot
};

// The session of a packet that admit has found the rows of, and whose flow has none yet.
class Opening {
  public:
    // Its ends are found and its client's port is lent, or it is refused. `begins`: the packet is one that may open.
    // Either open() or let_go() must follow.
    Opening(Walk& walk, const Packet& packet, const FlowOf<Ipv4Address>& flow, bool begins) noexcept;
    // The key of its answers; null: it is refused.
    const nat::SessionKey4* answers() const noexcept { return refused_ ? nullptr : &both_.reverse; }

    // It comes to be, or its port goes back. Slots found before are no longer good.
    OpenedBehind open(Walk& walk, const Packet& packet) noexcept;
    // A packet before it has opened it: the port goes back.
    void let_go(Walk& walk) noexcept;

  private:
    std::optional<DropReason> find_ends(Walk& walk, const Packet& packet, const FlowOf<Ipv4Address>& flow,
                                        bool begins) noexcept;

    std::optional<DropReason> refused_;
    End client_, service_;
    nat::PortPool::Mapping lent_ = nat::PortPool::kNoMapping;  // to the client
    Directions both_;
};

}  // namespace sekisho::dataplane

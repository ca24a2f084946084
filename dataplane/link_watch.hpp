// Whether a port is down: what its driver says, as far as it can be believed.
//
// Some drivers never say that a link is up, and net_tap says down once its device is in another namespace. So a port is
// down when it was seen up and now says that it is down, and receives nothing any more: one that goes on receiving
// while it says so is not believed until it says up again. Control thread.
#pragma once

#include <cstdint>

namespace sekisho::dataplane {

class LinkWatch {
  public:
    // What the driver says now, and how many frames it ever received. Whether the port is down. Call now and then.
    bool look(bool says_up, std::uint64_t received) noexcept {
        if (says_up) {
            was_up_ = true;
            believed_ = true;
        } else if (said_down_ && received != received_) {
            believed_ = false;
        }
        said_down_ = !says_up;
        received_ = received;
        return was_up_ && !says_up && believed_;
    }

  private:
    bool was_up_ = false;
    bool said_down_ = false;
    bool believed_ = true;
    std::uint64_t received_ = 0;
};

}  // namespace sekisho::dataplane

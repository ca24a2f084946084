// Who had which ports when: one record when a block of ports, or a static map, is opened, and one when it is closed.
//
// RFC 6888 REQ-12 and §4: the addresses and ports, the subscriber, and the time; never the destinations. A ring that
// its owner fills and its reader empties; where it is full nothing is opened, for what cannot be accounted for is not
// given out. One thread, or two that the caller keeps apart.
#pragma once

#include <cstdint>
#include <vector>

#include "net/address.hpp"

namespace sekisho::nat {

// Whose ports they are: a host's address, or an institution's number, in its operator's space.
struct Subscriber {
    std::uint32_t id = 0;
    std::uint16_t space = 0;
    friend bool operator==(const Subscriber&, const Subscriber&) noexcept = default;
};

struct BlockRecord {
    bool opened = false;
    bool is_static = false;
    Subscriber subscriber;
    Ipv4Address address;
    std::uint16_t first_port = 0;
    std::uint16_t last_port = 0;
    std::uint32_t second = 0;
    friend bool operator==(const BlockRecord&, const BlockRecord&) noexcept = default;
};

class BlockLog {
  public:
    explicit BlockLog(std::size_t capacity) : ring_(capacity) {}

    // How many records still fit.
    std::size_t room() const noexcept { return ring_.size() - (written_ - read_); }
    bool push(const BlockRecord& record) noexcept {
        if (room() == 0) return false;
        ring_[written_++ % ring_.size()] = record;
        return true;
    }
    bool pop(BlockRecord& record) noexcept {
        if (read_ == written_) return false;
        record = ring_[read_++ % ring_.size()];
        return true;
    }

  private:
    std::vector<BlockRecord> ring_;
    std::size_t written_ = 0;
    std::size_t read_ = 0;
};

}  // namespace sekisho::nat

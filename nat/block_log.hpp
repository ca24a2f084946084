// Who had which ports when: one record when a block of ports is opened, and one when it is closed.
//
// RFC 6888 REQ-12 and §4: the addresses and ports, the subscriber, and the time; never the destinations. A ring that
// its owner fills and its reader empties; no block is opened that could not be recorded, its end included, for what
// cannot be accounted for is not given out. One thread writes and one reads, without locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "nat/endpoint.hpp"
#include "net/ids.hpp"

namespace sekisho::nat {

struct BlockRecord {
    bool opened = false;
    Subscriber subscriber;
    InstitutionId institution;  // whose the subscriber is
    Ipv4Address address;
    std::uint16_t first_port = 0;
    std::uint16_t last_port = 0;
    std::uint32_t epoch = 0;   // of the generation that opened it, low bits
    std::uint32_t second = 0;  // of the owner's clock
    friend bool operator==(const BlockRecord&, const BlockRecord&) noexcept = default;
};

class BlockLog {
  public:
    explicit BlockLog(std::size_t capacity)
        : capacity_(capacity), ring_(std::make_unique_for_overwrite<BlockRecord[]>(capacity)) {}

    // Owner. Whether one more block may be opened: room for its opening, and for the end of each that is open.
    bool has_room() const noexcept { return room() >= open_ + 2; }
    void opened(const BlockRecord& record) noexcept {
        ++open_;
        push(record);
    }
    void closed(const BlockRecord& record) noexcept {
        --open_;
        push(record);
    }

    // Reader: the oldest one; false when there is none.
    bool pop(BlockRecord& record) noexcept {
        const std::size_t read = read_.load(std::memory_order_relaxed);
        if (read == written_.load(std::memory_order_acquire)) return false;
        record = ring_[read % capacity_];
        read_.store(read + 1, std::memory_order_release);
        return true;
    }

  private:
    std::size_t room() const noexcept {
        return capacity_ - (written_.load(std::memory_order_relaxed) - read_.load(std::memory_order_acquire));
    }
    void push(const BlockRecord& record) noexcept {
        const std::size_t written = written_.load(std::memory_order_relaxed);
        ring_[written % capacity_] = record;
        written_.store(written + 1, std::memory_order_release);
    }

    std::size_t capacity_;
    std::unique_ptr<BlockRecord[]> ring_;
    std::size_t open_ = 0;                 // the owner's: blocks whose end is still to be recorded
    std::atomic<std::size_t> written_{0};  // the owner writes
    std::atomic<std::size_t> read_{0};     // the reader writes
};

}  // namespace sekisho::nat

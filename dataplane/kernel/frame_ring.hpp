// Whole frames from one thread to another, copied: a bounded ring of bytes without locks.
//
// Between the workers and the thread that serves the kernel's TAPs no packet buffer changes hands: that thread may be
// preempted at any moment, which DPDK's pools do not stand, and a buffer in a slow TAP would be one less for the path.
// One thread puts, one takes. A full ring refuses; what that costs is the caller's to count.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "net/ids.hpp"

namespace sekisho::dataplane {

class FrameRing {
  public:
    static constexpr std::size_t kBytes = std::size_t{1} << 20;
    static constexpr std::size_t kLongest = 9216;  // of a frame, in bytes

    struct Frame {
        TapId tap;
        AttachmentId attachment;
        std::span<const std::uint8_t> bytes;  // in the ring, until pop()
    };

    // `bytes` at least twice as many as the longest frame takes.
    explicit FrameRing(std::size_t bytes = kBytes)
        : mask_(std::bit_ceil(bytes) - 1), bytes_(std::make_unique_for_overwrite<std::uint8_t[]>(mask_ + 1)) {}

    // One end: a frame in two parts, either of which may be empty. False when there is no room, or it is too long.
    bool put(TapId tap, AttachmentId attachment, std::span<const std::uint8_t> first,
             std::span<const std::uint8_t> second = {}) noexcept {
        const std::size_t length = first.size() + second.size();
        if (length > kLongest) return false;
        const std::size_t size = size_of(length);
        std::size_t tail = tail_.load(std::memory_order_relaxed);
        const std::size_t to_end = mask_ + 1 - (tail & mask_);
        const std::size_t skipped = to_end < size ? to_end : 0;  // a frame lies in one piece
        if (tail + skipped + size - head_.load(std::memory_order_acquire) > mask_ + 1) return false;
        if (skipped != 0) {
            write(tail, {TapId(), AttachmentId(), kSkip});
            tail += skipped;
        }
        write(tail, {tap, attachment, static_cast<std::uint16_t>(length)});
        std::uint8_t* const to = at(tail) + sizeof(Head);
        if (!first.empty()) std::memcpy(to, first.data(), first.size());
        if (!second.empty()) std::memcpy(to + first.size(), second.data(), second.size());
        tail_.store(tail + size, std::memory_order_release);
        return true;
    }

    // The same end: whether even the longest frame would find room.
    bool has_room() const noexcept {
        const std::size_t used = tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_acquire);
        return mask_ + 1 - used >= 2 * size_of(kLongest);  // as much may be skipped before it
    }

    // The other end: the oldest frame; none when it is empty.
    std::optional<Frame> front() noexcept {
        std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire)) return std::nullopt;
        Head told = read(head);
        if (told.length == kSkip) {
            head += mask_ + 1 - (head & mask_);
            head_.store(head, std::memory_order_release);
            told = read(head);  // published together with the mark before it
        }
        return Frame{told.tap, told.attachment, {at(head) + sizeof(Head), told.length}};
    }
    // Ends the frame that front() gave.
    void pop() noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        head_.store(head + size_of(read(head).length), std::memory_order_release);
    }

  private:
    struct alignas(16) Head {
        TapId tap;
        AttachmentId attachment;
        std::uint16_t length = 0;
    };
    static constexpr std::uint16_t kSkip = 0xffff;  // nothing more before the end of the ring

    // In whole heads, so that there is always room for one more before the end.
    static std::size_t size_of(std::size_t length) noexcept {
        return sizeof(Head) + (length + sizeof(Head) - 1) / sizeof(Head) * sizeof(Head);
    }
    std::uint8_t* at(std::size_t place) noexcept { return bytes_.get() + (place & mask_); }
    void write(std::size_t place, const Head& head) noexcept { std::memcpy(at(place), &head, sizeof head); }
    Head read(std::size_t place) noexcept {
        Head head;
        std::memcpy(static_cast<void*>(&head), at(place), sizeof head);
        return head;
    }

    std::size_t mask_;
    std::unique_ptr<std::uint8_t[]> bytes_;
    alignas(64) std::atomic<std::size_t> tail_{0};  // who puts writes, the other reads
    alignas(64) std::atomic<std::size_t> head_{0};  // who takes writes, the other reads
};

}  // namespace sekisho::dataplane

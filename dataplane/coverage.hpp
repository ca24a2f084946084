// Which bytes of a datagram its fragments have brought so far: a few ranges, and where it ends.
//
// For one who forwards fragments and keeps none of their bytes: what was forwarded cannot be taken back, so the first
// that brings a byte is right, and whoever brings it again is found out (RFC 5722, RFC 1858, RFC 3128). Neighbouring
// ranges are one, so fragments in order, or in the reverse order, need one range. Pure values; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sekisho::dataplane {

class Coverage {
  public:
    static constexpr std::size_t kRanges = 16;

    enum class Outcome : std::uint8_t {
        added,      // none of its bytes was known
        known,      // all of its bytes were
        overlaps,   // some of its bytes were, or it contradicts another about the datagram's end
        scattered,  // it would be one range too many
    };
    // Bytes [begin, end), not empty. `last`: the datagram ends there. Changes nothing unless it is added.
    Outcome add(std::uint16_t begin, std::uint16_t end, bool last) noexcept;

    // All bytes from the first one to the end have come.
    bool complete() const noexcept {
        return end_ != 0 && count_ == 1 && ranges_[0].begin == 0 && ranges_[0].end == end_;
    }

  private:
    struct Range {
        std::uint16_t begin = 0;
        std::uint16_t end = 0;
    };
    std::uint16_t end_ = 0;  // of the datagram; 0: not known yet
    std::uint16_t count_ = 0;
    std::array<Range, kRanges> ranges_;  // ascending, with gaps between them
};

}  // namespace sekisho::dataplane

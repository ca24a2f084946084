// An imagined packet as bytes. Inner header of dataplane/explain.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/explain.hpp"

namespace sekisho::dataplane {

// Writes the frame as it would come by the attachment, its checksums right; gives its length, which is at most `room`
// bytes, in which the shortest packet of its protocol has its place.
std::size_t write_frame(const ImaginedPacket& imagined, const Attachment& attachment, std::uint8_t* frame,
                        std::size_t room) noexcept;

}  // namespace sekisho::dataplane

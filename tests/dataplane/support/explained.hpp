// Whether `explain` says of a packet what became of it.
#pragma once

#include <string>

#include "dataplane/explain.hpp"
#include "tests/dataplane/support/bytes.hpp"

namespace sekisho::test {

class TestHub;

// What explain says of the packet: a line a step, "stage: words", and the reason where it is dropped.
std::string explained(const TestHub& hub, const dataplane::ImaginedPacket& packet);

// Call after `frame` alone was sent by this line: imagines the same packet and compares the drop reason, or the egress
// and both addresses. Nothing is compared where a packet cannot be imagined: options, fragments, quotes, wrong
// lengths, jumbo frames.
void check_explained(const TestHub& hub, std::size_t line, const Bytes& frame);

}  // namespace sekisho::test

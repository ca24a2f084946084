// Whether `explain` says of a packet what became of it.
#pragma once

#include "tests/dataplane/support/bytes.hpp"

namespace sekisho::test {

class TestHub;

// Call after `frame` alone was sent by this line: imagines the same packet and compares the drop reason, or the egress
// and both addresses. Nothing is compared where a packet cannot be imagined: options, fragments, quotes, wrong
// lengths, jumbo frames.
void check_explained(const TestHub& hub, std::size_t line, const Bytes& frame);

}  // namespace sekisho::test

// The path that every packet takes. See path.cpp: it is the drawing.
#pragma once

#include "dataplane/walk.hpp"

namespace sekisho::dataplane {

// Takes what waits for this port's next walk into the walk, behind what was received.
void take_resumed(Walk& walk) noexcept;

// Walks the packets through the stages. Afterwards every one was dropped, consumed, held, or lies in the outbox of a
// port.
void walk_path(Walk& walk) noexcept;

}  // namespace sekisho::dataplane

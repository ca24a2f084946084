// Memory for what nobody else may read: never swapped, left out of core dumps, zeros in a child of fork().
#pragma once

#include <cstdint>
#include <span>

#include "net/expected.hpp"

namespace sekisho {

// Before a secret lies there; whole pages, mapped privately. Error permission: which of the three cannot be had (the
// core dumps come first, then the lock, which ulimit -l bounds); those before it hold.
Expected<void> protect_pages(std::span<std::uint8_t> pages);

}  // namespace sekisho

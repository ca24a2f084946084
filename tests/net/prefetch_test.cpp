// Prefetch: it asks, and never faults.
#include "net/prefetch.hpp"

#include <cstdint>

#include <catch2/catch.hpp>

TEST_CASE("prefetch: any address may be given, mapped or not", "[net]") {
    const int here = 1;
    sekisho::prefetch(&here);
    sekisho::prefetch(nullptr);
    sekisho::prefetch(reinterpret_cast<const void*>(std::uintptr_t{0xdead'beef'0000}));
    CHECK(here == 1);
}

// A test case that cannot run here says so and why: `if (...) return skip("needs root")`. Catch2 2.13 has no SKIP;
// scripts/test reads the line and counts the case as skipped, not as passed. Where a whole executable cannot run, its
// main exits with kSkipped after saying why: meson knows 77.
#pragma once

#include <iostream>
#include <string_view>

namespace sekisho::test {

inline constexpr int kSkipped = 77;

inline void skip(std::string_view why) {
    std::cout << "SKIPPED: " << why << '\n';
}

}  // namespace sekisho::test

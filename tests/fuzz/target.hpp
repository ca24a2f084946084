// A fuzz target is a file that defines this function. A mistake is a crash, a sanitizer's report, abort(), or a REQUIRE
// that fails.
//
// With -Dfuzz=true libFuzzer calls it with inputs of its own making (scripts/fuzz); in every other build it is called
// with each file of the stored corpus, as one of the tests. driver.cpp does both.
#pragma once

#include <cstddef>
#include <cstdint>

int fuzz_one(const std::uint8_t* data, std::size_t size);

// Calls `end` once when the run is over, also when libFuzzer leaves by exit(): for what a target keeps from input to
// input and the leak sanitizer cannot see. After a crash it is not called.
void at_fuzz_end(void (*end)());

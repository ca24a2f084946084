// A prefetch that stays: gcc 12 at -O3 drops an inline function whose only effect is the builtin.
//
// A processor that waits for as many lines as its first cache can (about twenty on a Zen 4) forgets a prefetch, where a
// load would wait for its turn: asked for one after the other without other work between them, the rest of 64 lines are
// not on their way. Asked for into the second cache they are, all of them.
#pragma once

namespace sekisho {

// Asks for the cache line at `address` to be read; never faults, whatever the address.
inline void prefetch(const void* address) noexcept {
#if defined(__x86_64__)
    asm volatile("prefetcht0 %[line]" : : [line] "m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address, 0, 3);
#endif
}

// The same into the second cache only: for lines that come from memory, many at once. Another dozen cycles when it is
// read, which the processor spends on other packets.
inline void prefetch_to_l2(const void* address) noexcept {
#if defined(__x86_64__)
    asm volatile("prefetcht1 %[line]" : : [line] "m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address, 0, 2);
#endif
}

// As prefetch(), for a line that will be written: other cores are asked to give it up at once.
inline void prefetch_to_write(const void* address) noexcept {
#if defined(__x86_64__)
    asm volatile("prefetchw %[line]" : : [line] "m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address, 1, 3);
#endif
}

// A load that nobody uses, for loops that ask for many lines: it waits for its turn and is not forgotten, but takes a
// place among what the processor has under way. The byte must be readable, and is not looked at.
inline void touch(const void* address) noexcept {
    asm volatile("" : : "r"(*static_cast<const volatile char*>(address)));
}

}  // namespace sekisho

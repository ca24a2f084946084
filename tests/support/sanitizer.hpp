// Which sanitizer a test runs under. What it does by the thousand takes ten times as long there, and a part of it shows
// as much of what sanitizers look for.
#pragma once

namespace sekisho::test {

#ifdef SEKISHO_ADDRESS_SANITIZER
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#ifdef SEKISHO_THREAD_SANITIZER
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

}  // namespace sekisho::test

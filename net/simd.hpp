// Which instructions the batch lookups of this process use. For tests, measurements and `show`; nobody needs to call
// it.
//
// A room with lookups in several versions compiles each as a translation unit of its own, and reads simd() at every
// call. All versions give the same results.
#pragma once

#include <cstdint>

namespace sekisho {

enum class Simd : std::uint8_t { scalar, avx2, avx512 };

// The version in use; the widest that the processor has, until use_simd() says otherwise.
Simd simd() noexcept;
// Chooses; false, and nothing changes, where this processor cannot. Any thread; lookups under way end as they began.
bool use_simd(Simd simd) noexcept;
const char* name_of(Simd simd) noexcept;

}  // namespace sekisho

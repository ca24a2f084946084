// Which instructions the lookups of this process use. For tests, measurements and `show`; nobody needs to call it.
#pragma once

#include <cstdint>

namespace sekisho::lpm {

enum class Simd : std::uint8_t { scalar, avx2, avx512 };

Simd simd() noexcept;
// Chooses; false, and nothing changes, where this processor cannot. Any thread; lookups under way end as they began.
bool use_simd(Simd simd) noexcept;
const char* name_of(Simd simd) noexcept;

}  // namespace sekisho::lpm

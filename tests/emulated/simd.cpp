// In place of net/simd.cpp where the AVX-512 versions are emulated: they run, whichever is asked for.
#include "net/simd.hpp"

#include <cstdlib>

#include "tests/support/skip.hpp"

namespace sekisho {

namespace {

// What is emulated is AVX-512 alone.
[[maybe_unused]] const bool checked = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return true;
    test::skip("this processor cannot avx2");
    std::_Exit(test::kSkipped);
}();

}  // namespace

Simd simd() noexcept {
    return Simd::avx512;
}

bool use_simd(Simd) noexcept {
    return true;
}

const char* name_of(Simd) noexcept {
    return "avx512, emulated";
}

}  // namespace sekisho

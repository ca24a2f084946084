// The choice of version, by what the processor says of itself.
#include "net/simd.hpp"

#include <atomic>

namespace sekisho {

namespace {

bool can(Simd simd) noexcept {
    if (simd == Simd::scalar) return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    if (simd == Simd::avx2) return avx2;
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

Simd widest() noexcept {
    if (can(Simd::avx512)) return Simd::avx512;
    return can(Simd::avx2) ? Simd::avx2 : Simd::scalar;
}

// Read by every lookup, written by use_simd() only.
std::atomic<Simd> chosen{widest()};

}  // namespace

Simd simd() noexcept {
    return chosen.load(std::memory_order_relaxed);
}

bool use_simd(Simd simd) noexcept {
    if (!can(simd)) return false;
    chosen.store(simd, std::memory_order_relaxed);
    return true;
}

const char* name_of(Simd simd) noexcept {
    switch (simd) {
        case Simd::scalar: return "scalar";
        case Simd::avx2: return "avx2";
        case Simd::avx512: return "avx512";
    }
    return "?";
}

}  // namespace sekisho

// The choice of version, by what the processor says of itself.
#include "lpm/simd.hpp"

#include <atomic>

#include "lpm/lookup.hpp"

namespace sekisho::lpm {

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

const Kernel* kernel_of(Simd simd) noexcept {
#if defined(__x86_64__)
    if (simd == Simd::avx512) return &kAvx512Kernel;
    if (simd == Simd::avx2) return &kAvx2Kernel;
#endif
    (void)simd;
    return &kScalarKernel;
}

// Read by every lookup, written by use_simd() only.
std::atomic<Simd> chosen{widest()};

}  // namespace

const Kernel& kernel() noexcept {
    return *kernel_of(chosen.load(std::memory_order_relaxed));
}

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

}  // namespace sekisho::lpm

// The version of the lookups that is in use.
#include "net/simd.hpp"

#include "lpm/lookup.hpp"

namespace sekisho::lpm {

const Kernel& kernel() noexcept {
#if defined(__x86_64__)
    switch (simd()) {
        case Simd::avx512: return kAvx512Kernel;
        case Simd::avx2: return kAvx2Kernel;
        case Simd::scalar: break;
    }
#endif
    return kScalarKernel;
}

}  // namespace sekisho::lpm

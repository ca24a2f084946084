// The lookups for any processor: signatures are compared one by one, which compilers may do several at a time.
#include "nat/session_match.hpp"
#include "net/simd.hpp"

namespace sekisho::nat {

namespace {

struct Scalar {
    static std::uint32_t match(const SignatureLine& line, std::uint16_t signature) noexcept {
        std::uint32_t found = 0;
        for (unsigned i = 0; i < kPlaces; ++i) found |= std::uint32_t{line.signature[i] == signature} << i;
        return found;
    }
    static std::uint32_t due(const DueLine& line, std::uint16_t now) noexcept {
        std::uint32_t found = 0;
        for (unsigned i = 0; i < kPlaces; ++i) {
            const auto left = static_cast<std::int16_t>(static_cast<std::uint16_t>(line.due[i] - now));
            found |= std::uint32_t{line.due[i] != 0 && left <= 0} << i;
        }
        return found;
    }
};

}  // namespace

constinit const SessionKernel kScalarSessions = session_kernel_for<Scalar>();

const SessionKernel& session_kernel() noexcept {
#if defined(__x86_64__)
    switch (simd()) {
        case Simd::avx512: return kAvx512Sessions;
        case Simd::avx2: return kAvx2Sessions;
        case Simd::scalar: break;
    }
#endif
    return kScalarSessions;
}

}  // namespace sekisho::nat

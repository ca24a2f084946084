// AES-GCM of our own, by VAES and VPCLMULQDQ: half of what IPsec-MB 1.3 takes where a processor has them without
// AVX-512.
//
// The choice of width and the keys; the cipher itself is gcm_kernel.hpp. Because it is ours alone, more than known
// answers is asked of it at every start: see compare() in self_test.hpp.
#include <new>

#include "crypto/engines.hpp"
#include "net/simd.hpp"

#if defined(__x86_64__)
#include <cpuid.h>

#include "crypto/gcm.hpp"
#endif

namespace sekisho::crypto {

#if defined(__x86_64__)

namespace {

// Bytes of stack that a batch may have used for parts of keys.
constexpr std::size_t kStackBytes = 2048;

class VaesEngine final : public AeadEngine {
  public:
    explicit VaesEngine(const GcmVersion& version) noexcept : version_(version) {}

    EngineKind kind() const noexcept override { return EngineKind::vaes; }
    std::string description() const override { return std::string("VAES, ") + version_.name; }

    Expected<AeadKey> prepare(Suite suite, std::span<const std::uint8_t> key, KeyStore& store) override {
        auto slot = slot_for(EngineKind::vaes, suite, key, store);
        if (!slot) return slot.error();
        expand_key(suite, key.data(), *new (slot->data()) GcmKey);
        clear_stack();
        return AeadKey(std::move(*slot), suite, EngineKind::vaes);
    }

    bool seal(std::span<AeadJob> jobs) noexcept override {
        const bool good = version_.seal(jobs);
        clear_stack();
        return good;
    }
    bool open(std::span<AeadJob> jobs) noexcept override {
        const bool good = version_.open(jobs);
        clear_stack();
        return good;
    }

  private:
    // Where what was called just now had its own.
    [[gnu::noinline]] static void clear_stack() noexcept {
        std::uint8_t stack[kStackBytes];
        wipe(stack);
    }

    const GcmVersion& version_;
};

// Leaf 7 says it; that the system keeps wide registers, simd() has asked already.
bool has_vaes() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
    constexpr unsigned kBoth = bit_VAES | bit_VPCLMULQDQ;
    return (c & kBoth) == kBoth;
}

const GcmVersion* version_here() noexcept {
    if (!has_vaes()) return nullptr;
    switch (simd()) {
        case Simd::avx512: return &kGcmAvx512;
        case Simd::avx2: return &kGcmAvx2;
        case Simd::scalar: break;
    }
    return nullptr;
}

}  // namespace

std::size_t vaes_prepared_bytes() noexcept {
    return sizeof(GcmKey) + 64;  // an odd number of lines, as with IPsec-MB's
}

bool vaes_runs_here() noexcept {
    return version_here() != nullptr;
}

Expected<std::unique_ptr<AeadEngine>> make_vaes_engine() {
    const GcmVersion* const version = version_here();
    if (version == nullptr) return Error{ErrorCode::unavailable, "this processor has no VAES and VPCLMULQDQ"};
    return std::unique_ptr<AeadEngine>(std::make_unique<VaesEngine>(*version));
}

#else

std::size_t vaes_prepared_bytes() noexcept {
    return 1;
}
bool vaes_runs_here() noexcept {
    return false;
}
Expected<std::unique_ptr<AeadEngine>> make_vaes_engine() {
    return Error{ErrorCode::unavailable, "VAES is for processors of x86-64"};
}

#endif

}  // namespace sekisho::crypto

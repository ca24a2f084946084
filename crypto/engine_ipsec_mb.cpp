// AES-GCM by IPsec-MB: the direct call, once a packet; it beats the library's job interface at every size, and no
// version has GCM over several buffers.
//
// One manager a worker. Works with 1.3 and newer alike: the direct calls kept their form. The prepared key is the
// library's gcm_key_data, whose size and layout are its own.
#include <cstring>
#include <intel-ipsec-mb.h>

#include "crypto/engines.hpp"
#include "net/prefetch.hpp"

namespace sekisho::crypto {

namespace {

// Without LINUX the library's header leaves gcm_key_data unaligned, and its own code does not.
static_assert(alignof(gcm_key_data) == 64, "compile with -DLINUX");

struct FreeManager {
    void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

const char* name_of(IMB_ARCH arch) noexcept {
    switch (arch) {
        case IMB_ARCH_SSE: return "SSE";
        case IMB_ARCH_AVX2: return "AVX2";
        case IMB_ARCH_AVX512: return "AVX-512";
        default: return "another set of instructions";
    }
}

// Both 16 bytes long. No branch depends on where they differ.
bool equal_tags(const std::uint8_t* a, const std::uint8_t* b) noexcept {
    std::uint64_t left[2], right[2];
    std::memcpy(left, a, sizeof left);
    std::memcpy(right, b, sizeof right);
    std::uint64_t difference = (left[0] ^ right[0]) | (left[1] ^ right[1]);
    asm volatile("" : "+r"(difference));
    return difference == 0;
}

// Keys of 100,000 SAs lie in memory: the lines that a call of this length reads are asked for a few packets ahead. The
// round keys come first, the powers of the hash key behind them. Code with VAES has 48 powers and needs the last ones
// for short packets; the others have eight, the first ones first.
void prefetch_key(const std::uint8_t* key, std::size_t length, bool vaes) noexcept {
    constexpr std::size_t kRoundKeys = 240;
    constexpr std::size_t kPowersEnd = 1008;
    const std::size_t powers = length / 16 + 2;
    const std::size_t head = vaes ? kRoundKeys : kRoundKeys + 16 * std::min<std::size_t>(powers, 8);
    for (std::size_t at = 0; at < head; at += 64) prefetch_to_l2(key + at);
    if (!vaes) return;
    const std::size_t tail = kPowersEnd - 16 * std::min<std::size_t>(powers, 48);
    for (std::size_t at = tail & ~std::size_t{63}; at < kPowersEnd; at += 64) prefetch_to_l2(key + at);
}

class IpsecMbEngine final : public AeadEngine {
  public:
    IpsecMbEngine(Manager manager, IMB_ARCH arch) noexcept
        : manager_(std::move(manager)),
          arch_(arch),
          vaes_(arch == IMB_ARCH_AVX512 && (manager_->features & IMB_FEATURE_VAES) != 0),
          seal_{manager_->gcm128_enc, manager_->gcm256_enc},
          open_{manager_->gcm128_dec, manager_->gcm256_dec} {}
    ~IpsecMbEngine() override { wipe({reinterpret_cast<std::uint8_t*>(&context_), sizeof context_}); }

    EngineKind kind() const noexcept override { return EngineKind::ipsec_mb; }
    std::string description() const override {
        return std::string("IPsec-MB ") + imb_get_version_str() + ", " + name_of(arch_);
    }

    Expected<AeadKey> prepare(Suite suite, std::span<const std::uint8_t> key, KeyStore& store) override {
        auto slot = slot_for(EngineKind::ipsec_mb, suite, key, store);
        if (!slot) return slot.error();
        auto* const prepared = reinterpret_cast<gcm_key_data*>(slot->data());
        if (suite == Suite::aes_gcm_128)
            IMB_AES128_GCM_PRE(manager_.get(), key.data(), prepared);
        else
            IMB_AES256_GCM_PRE(manager_.get(), key.data(), prepared);
        return AeadKey(std::move(*slot), suite, EngineKind::ipsec_mb);
    }

    bool seal(std::span<AeadJob> jobs) noexcept override {
        const auto call = seal_;
        const std::uint8_t* before = nullptr;
        std::size_t asked = 0;
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            AeadJob& job = jobs[i];
            if (job.key != before) asked = look_ahead(jobs, i, asked);
            before = job.key;
            call[static_cast<std::size_t>(job.suite)](key_of(job), &context_, job.text, job.text, job.length,
                                                      job.nonce.data(), job.aad.data(), job.aad_length,
                                                      job.text + job.length, kIcvLength);
            job.good = true;
        }
        return true;
    }

    bool open(std::span<AeadJob> jobs) noexcept override {
        alignas(16) std::uint8_t tag[kIcvLength];
        const auto call = open_;
        const std::uint8_t* before = nullptr;
        std::size_t asked = 0;
        bool good = true;
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            AeadJob& job = jobs[i];
            if (job.key != before) asked = look_ahead(jobs, i, asked);
            before = job.key;
            call[static_cast<std::size_t>(job.suite)](key_of(job), &context_, job.text, job.text, job.length,
                                                      job.nonce.data(), job.aad.data(), job.aad_length, tag,
                                                      kIcvLength);
            job.good = equal_tags(tag, job.text + job.length);
            good &= job.good;
        }
        return good;
    }

  private:
    static const gcm_key_data* key_of(const AeadJob& job) noexcept {
        return reinterpret_cast<const gcm_key_data*>(job.key);
    }
    static constexpr std::size_t kAhead = 16;

    // At a job i whose key is not the one before's, as most are where SAs are many: asks for the keys of the kAhead
    // jobs behind it. The first `asked` were asked for; returns how many are now.
    std::size_t look_ahead(std::span<const AeadJob> jobs, std::size_t i, std::size_t asked) const noexcept {
        const std::size_t end = std::min(i + kAhead + 1, jobs.size());
        for (std::size_t next = std::max(i + 1, asked); next < end; ++next)
            if (jobs[next].key != jobs[next - 1].key) prefetch_key(jobs[next].key, jobs[next].length, vaes_);
        return end;
    }

    Manager manager_;
    IMB_ARCH arch_;
    bool vaes_;                              // the library chose code that uses it
    std::array<aes_gcm_enc_dec_t, 2> seal_;  // by Suite
    std::array<aes_gcm_enc_dec_t, 2> open_;
    gcm_context_data context_{};
};

}  // namespace

std::size_t ipsec_mb_prepared_bytes() noexcept {
    // An odd number of lines: keys at distances of a power of two would meet in the same sets of the cache.
    return (sizeof(gcm_key_data) + 63) / 64 % 2 == 0 ? sizeof(gcm_key_data) + 64 : sizeof(gcm_key_data);
}

Expected<std::unique_ptr<AeadEngine>> make_ipsec_mb_engine() {
    Manager manager(alloc_mb_mgr(0));
    if (manager == nullptr) return Error{ErrorCode::unavailable, "IPsec-MB gave no manager"};
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(manager.get(), &arch);
    // The library's own self-test runs in there.
    if (const int code = imb_get_errno(manager.get()); code != 0)
        return Error{ErrorCode::unavailable, std::string("IPsec-MB does not start: ") + imb_get_strerror(code)};
    return std::unique_ptr<AeadEngine>(std::make_unique<IpsecMbEngine>(std::move(manager), arch));
}

}  // namespace sekisho::crypto

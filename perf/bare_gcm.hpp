// The floor under ESP: IPsec-MB's direct AES-GCM call as it is, AAD and nonce prepared.
#pragma once

#include <cstdint>
#include <intel-ipsec-mb.h>
#include <span>

#include "crypto/esp_header.hpp"
#include "crypto/suite.hpp"

namespace sekisho::perf {

inline constexpr const char* kBareCall = "IPsec-MB's bare call";

class BareGcm {
  public:
    explicit BareGcm(crypto::Suite suite) : manager_(alloc_mb_mgr(0)) {
        init_mb_mgr_auto(manager_, nullptr);
        const std::uint8_t key[32] = {1};
        const bool is_128 = suite == crypto::Suite::aes_gcm_128;
        if (is_128)
            IMB_AES128_GCM_PRE(manager_, key, &key_);
        else
            IMB_AES256_GCM_PRE(manager_, key, &key_);
        seal_ = is_128 ? manager_->gcm128_enc : manager_->gcm256_enc;
        open_ = is_128 ? manager_->gcm128_dec : manager_->gcm256_dec;
    }
    ~BareGcm() { free_mb_mgr(manager_); }
    BareGcm(const BareGcm&) = delete;
    BareGcm& operator=(const BareGcm&) = delete;

    // One call for each place, on so many bytes in place; a tag behind them is written, or one is made and left.
    void run(std::span<std::uint8_t* const> at, std::span<const std::uint32_t> lengths, bool seal) noexcept {
        const auto call = seal ? seal_ : open_;
        for (std::size_t i = 0; i < at.size(); ++i)
            call(&key_, &context_, at[i], at[i], lengths[i], nonce_, aad_, crypto::kExtendedAad,
                 seal ? at[i] + lengths[i] : tag_, crypto::kIcvLength);
    }

  private:
    IMB_MGR* manager_;
    aes_gcm_enc_dec_t seal_ = nullptr;
    aes_gcm_enc_dec_t open_ = nullptr;
    gcm_key_data key_{};
    gcm_context_data context_{};
    alignas(16) std::uint8_t nonce_[16] = {};
    alignas(16) std::uint8_t aad_[16] = {};
    alignas(16) std::uint8_t tag_[16] = {};
};

}  // namespace sekisho::perf

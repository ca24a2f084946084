// AES-GCM by OpenSSL's EVP: independent of IPsec-MB, several times slower, right everywhere.
//
// The prepared key is the raw key; OpenSSL expands it in memory of its own, which is neither locked nor left out of
// core dumps, so it holds a key only while a batch runs: the last job's is overwritten before seal() or open() returns.
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crypto/engines.hpp"

namespace sekisho::crypto {

namespace {

template <auto free>
struct FreeWith {
    template <class Handle>
    void operator()(Handle* handle) const noexcept {
        free(handle);
    }
};
using Cipher = std::unique_ptr<EVP_CIPHER, FreeWith<EVP_CIPHER_free>>;
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;

constexpr std::size_t kLongestKey = 32;
constexpr std::array<std::uint8_t, kLongestKey> kNoKey{};

class OpensslEngine final : public AeadEngine {
  public:
    enum Direction : std::uint8_t { kOpen = 0, kSeal = 1 };  // as EVP_CipherInit_ex2 takes it

    bool start() {
        constexpr std::array<const char*, 2> kNames = {"AES-128-GCM", "AES-256-GCM"};  // by Suite
        for (std::size_t suite = 0; suite < kNames.size(); ++suite) {
            const Cipher cipher(EVP_CIPHER_fetch(nullptr, kNames[suite], nullptr));
            if (cipher == nullptr) return false;
            for (const Direction direction : {kOpen, kSeal}) {
                Context context(EVP_CIPHER_CTX_new());
                if (context == nullptr) return false;
                if (EVP_CipherInit_ex2(context.get(), cipher.get(), kNoKey.data(), nullptr, direction, nullptr) != 1)
                    return false;
                contexts_[suite][direction] = std::move(context);
            }
        }
        return true;
    }

    EngineKind kind() const noexcept override { return EngineKind::openssl; }
    std::string description() const override { return OpenSSL_version(OPENSSL_VERSION); }

    Expected<AeadKey> prepare(Suite suite, std::span<const std::uint8_t> key, KeyStore& store) override {
        auto slot = slot_for(EngineKind::openssl, suite, key, store);
        if (!slot) return slot.error();
        std::copy(key.begin(), key.end(), slot->data());
        return AeadKey(std::move(*slot), suite, EngineKind::openssl);
    }

    bool seal(std::span<AeadJob> jobs) noexcept override { return run<kSeal>(jobs); }
    bool open(std::span<AeadJob> jobs) noexcept override { return run<kOpen>(jobs); }

  private:
    template <Direction direction>
    bool run(std::span<AeadJob> jobs) noexcept {
        bool good = true;
        std::array<const std::uint8_t*, 2> loaded = {nullptr, nullptr};  // by Suite
        for (AeadJob& job : jobs) {
            const auto suite = static_cast<std::size_t>(job.suite);
            EVP_CIPHER_CTX* const context = contexts_[suite][direction].get();
            const std::uint8_t* const fresh = loaded[suite] == job.key ? nullptr : job.key;
            loaded[suite] = job.key;
            job.good = one<direction>(context, fresh, job);
            good = good && job.good;
        }
        for (std::size_t suite = 0; suite < loaded.size(); ++suite)
            if (loaded[suite] != nullptr)
                EVP_CipherInit_ex2(contexts_[suite][direction].get(), nullptr, kNoKey.data(), nullptr, direction,
                                   nullptr);
        return good;
    }

    // `key` is nullptr when the context has it already.
    template <Direction direction>
    static bool one(EVP_CIPHER_CTX* context, const std::uint8_t* key, AeadJob& job) noexcept {
        int done = 0;
        std::uint8_t rest[kIcvLength];  // GCM leaves nothing for the end, EVP wants a place all the same
        if (EVP_CipherInit_ex2(context, nullptr, key, job.nonce.data(), direction, nullptr) != 1) return false;
        if (job.aad_length != 0 && EVP_CipherUpdate(context, nullptr, &done, job.aad.data(), job.aad_length) != 1)
            return false;
        if (job.length != 0 && EVP_CipherUpdate(context, job.text, &done, job.text, static_cast<int>(job.length)) != 1)
            return false;
        std::uint8_t* const tag = job.text + job.length;
        if (direction == kOpen && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kIcvLength, tag) != 1)
            return false;
        if (EVP_CipherFinal_ex(context, rest, &done) != 1) return false;
        return direction == kOpen || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kIcvLength, tag) == 1;
    }

    std::array<std::array<Context, 2>, 2> contexts_;  // by Suite, then Direction
};

}  // namespace

std::size_t openssl_prepared_bytes() noexcept {
    return kLongestKey;
}

Expected<std::unique_ptr<AeadEngine>> make_openssl_engine() {
    auto engine = std::make_unique<OpensslEngine>();
    if (!engine->start()) return Error{ErrorCode::unavailable, "OpenSSL gives no AES-GCM"};
    return std::unique_ptr<AeadEngine>(std::move(engine));
}

}  // namespace sekisho::crypto

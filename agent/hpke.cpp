// The names in here are RFC 9180's.
#include "agent/hpke.hpp"

#include <algorithm>
#include <cstdio>
#include <new>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <vector>

namespace sekisho::agent {

namespace {

using Bytes = std::span<const std::uint8_t>;

template <std::size_t N>
struct Wiped {
    std::array<std::uint8_t, N> bytes{};
    Wiped() = default;
    Wiped(const Wiped&) = delete;
    Wiped& operator=(const Wiped&) = delete;
    ~Wiped() { wipe(bytes); }
};

Bytes bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Parts one behind the other, for a moment.
class Joined {
  public:
    Joined& operator<<(Bytes part) {
        const std::size_t fits = std::min(part.size(), buffer_.bytes.size() - size_);
        std::copy_n(part.begin(), fits, buffer_.bytes.begin() + static_cast<std::ptrdiff_t>(size_));
        size_ += fits;
        return *this;
    }
    Joined& operator<<(std::string_view part) { return *this << bytes_of(part); }
    Joined& operator<<(std::uint8_t byte) { return *this << Bytes(&byte, 1); }
    Bytes bytes() const { return Bytes(buffer_.bytes).first(size_); }

  private:
    Wiped<512> buffer_;  // over the longest that is joined here
    std::size_t size_ = 0;
};

constexpr std::string_view kVersion = "HPKE-v1";
constexpr std::string_view kKemSuite{"KEM\x00\x20", 5};                 // DHKEM(X25519, HKDF-SHA256)
constexpr std::string_view kSuite{"HPKE\x00\x20\x00\x01\x00\x02", 10};  // HKDF-SHA256, AES-256-GCM
constexpr std::uint8_t kModeAuth = 2;
constexpr std::size_t kMostInfo = 64, kTag = 16;

// Looked up once: by name each time, they cost more than what they do.
const EVP_MD* sha256() {
    static const EVP_MD* const found = ::EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return found;
}
const EVP_CIPHER* aes_256_gcm() {
    static const EVP_CIPHER* const found = ::EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    return found;
}

// RFC 2104, of keys up to a block, for the same reason by hand. HKDF-Extract is HMAC, and so is HKDF-Expand of up to 32
// bytes (RFC 5869). Throws where OpenSSL has no memory: nothing may be sealed by what is no key.
void hmac(Bytes key, Bytes data, std::array<std::uint8_t, 32>& out) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(::EVP_MD_CTX_new(), ::EVP_MD_CTX_free);
    const auto hash = [&](std::uint8_t pad, Bytes part) {
        Wiped<64> block;
        block.bytes.fill(pad);
        for (std::size_t i = 0; i < key.size(); ++i) block.bytes[i] = static_cast<std::uint8_t>(pad ^ key[i]);
        return context && ::EVP_DigestInit_ex2(context.get(), sha256(), nullptr) == 1 &&
               ::EVP_DigestUpdate(context.get(), block.bytes.data(), block.bytes.size()) == 1 &&
               ::EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1 &&
               ::EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1;
    };
    Wiped<32> inner;
    const bool half = hash(0x36, data);
    inner.bytes = out;
    if (!half || !hash(0x5c, inner.bytes)) throw std::bad_alloc();
}

void labeled_extract(std::string_view suite, Bytes salt, std::string_view label, Bytes ikm,
                     std::array<std::uint8_t, 32>& prk) {
    Joined labeled;
    labeled << kVersion << suite << label << ikm;
    hmac(salt, labeled.bytes(), prk);
}

template <std::size_t N>
void labeled_expand(std::string_view suite, Bytes prk, std::string_view label, Bytes info,
                    std::array<std::uint8_t, N>& out) {
    static_assert(N <= 32);
    Joined labeled;
    labeled << std::uint8_t{0} << static_cast<std::uint8_t>(N) << kVersion << suite << label << info << std::uint8_t{1};
    Wiped<32> block;
    hmac(prk, labeled.bytes(), block.bytes);
    std::copy_n(block.bytes.begin(), N, out.begin());
}

// Fails where the result is all zeros, too (RFC 7748 section 6.1): OpenSSL sees to that.
bool diffie_hellman(evp_pkey_st* own, evp_pkey_st* other, std::span<std::uint8_t, 32> shared) {
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(::EVP_PKEY_CTX_new(own, nullptr),
                                                                              ::EVP_PKEY_CTX_free);
    std::size_t length = shared.size();
    return context && ::EVP_PKEY_derive_init(context.get()) == 1 &&
           ::EVP_PKEY_derive_set_peer(context.get(), other) == 1 &&
           ::EVP_PKEY_derive(context.get(), shared.data(), &length) == 1 && length == shared.size();
}

struct Context {
    Wiped<32> key;
    Wiped<12> nonce;
};

// Sections 4.1 and 5.1, from the two results of Diffie-Hellman on.
void key_schedule(const Wiped<64>& dh, Bytes enc, Bytes to, Bytes from, std::string_view info, Context& context) {
    Joined kem_context;
    kem_context << enc << to << from;
    Wiped<32> eae_prk, shared_secret, psk_id_hash, info_hash, secret;
    labeled_extract(kKemSuite, {}, "eae_prk", dh.bytes, eae_prk.bytes);
    labeled_expand(kKemSuite, eae_prk.bytes, "shared_secret", kem_context.bytes(), shared_secret.bytes);
    labeled_extract(kSuite, {}, "psk_id_hash", {}, psk_id_hash.bytes);
    labeled_extract(kSuite, {}, "info_hash", bytes_of(info), info_hash.bytes);
    Joined schedule;
    schedule << kModeAuth << psk_id_hash.bytes << info_hash.bytes;
    labeled_extract(kSuite, shared_secret.bytes, "secret", {}, secret.bytes);
    labeled_expand(kSuite, secret.bytes, "key", schedule.bytes(), context.key.bytes);
    labeled_expand(kSuite, secret.bytes, "base_nonce", schedule.bytes(), context.nonce.bytes);
}

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

int length_of(std::size_t size) {
    return static_cast<int>(size);
}

Error failed(const char* what) {
    return {ErrorCode::unavailable, std::string("HPKE: OpenSSL could not ") + what};
}

}  // namespace

HpkeKey::HpkeKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {
    std::size_t length = open_.size();
    ::EVP_PKEY_get_raw_public_key(key_.get(), open_.data(), &length);
}

Expected<HpkeKey> HpkeKey::read(const std::string& file, Half half) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "re"), std::fclose);
    if (!stream) return Error{ErrorCode::unavailable, file + ": cannot be read"};
    const auto no_passphrase = [](char*, int, int, void*) { return -1; };
    std::shared_ptr<evp_pkey_st> key(half == Half::secret
                                         ? ::PEM_read_PrivateKey(stream.get(), nullptr, no_passphrase, nullptr)
                                         : ::PEM_read_PUBKEY(stream.get(), nullptr, no_passphrase, nullptr),
                                     ::EVP_PKEY_free);
    if (!key || ::EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_X25519)
        return Error{ErrorCode::invalid, file + (half == Half::secret ? ": is no private key of X25519, PEM"
                                                                      : ": is no public key of X25519, PEM")};
    return HpkeKey(std::move(key));
}

Expected<HpkeKey> HpkeKey::from_secret(std::span<const std::uint8_t> raw) {
    std::shared_ptr<evp_pkey_st> key(::EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, raw.data(), raw.size()),
                                     ::EVP_PKEY_free);
    if (!key) return failed("take a key");
    return HpkeKey(std::move(key));
}

Expected<HpkeKey> HpkeKey::from_open(std::span<const std::uint8_t> raw) {
    std::shared_ptr<evp_pkey_st> key(::EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, raw.data(), raw.size()),
                                     ::EVP_PKEY_free);
    if (!key) return failed("take a key");
    return HpkeKey(std::move(key));
}

Expected<HpkeKey> HpkeKey::generate() {
    std::shared_ptr<evp_pkey_st> key(::EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"), ::EVP_PKEY_free);
    if (!key) return failed("make a key");
    return HpkeKey(std::move(key));
}

Expected<std::string> hpke_seal(const HpkeKey& from, const HpkeKey& to, std::string_view info, std::string_view bound,
                                std::span<const std::uint8_t> plain) {
    if (info.size() > kMostInfo) return Error{ErrorCode::invalid, "HPKE: the purpose is too long"};
    // AuthEncap: an ephemeral key, and both with the recipient's.
    const auto ephemeral = HpkeKey::generate();
    if (!ephemeral) return ephemeral.error();
    Wiped<64> dh;
    const std::span<std::uint8_t, 64> both(dh.bytes);
    if (!diffie_hellman(ephemeral->handle(), to.handle(), both.first<32>()) ||
        !diffie_hellman(from.handle(), to.handle(), both.last<32>()))
        return failed("agree on a secret");
    Context context;
    key_schedule(dh, ephemeral->open(), to.open(), from.open(), info, context);

    const Cipher cipher(::EVP_CIPHER_CTX_new(), ::EVP_CIPHER_CTX_free);
    std::string sealed(ephemeral->open().begin(), ephemeral->open().end());
    sealed.resize(kHpkeOverhead + plain.size());
    auto* const out = reinterpret_cast<std::uint8_t*>(sealed.data()) + ephemeral->open().size();
    int length = 0;
    if (!cipher ||
        ::EVP_EncryptInit_ex(cipher.get(), aes_256_gcm(), nullptr, context.key.bytes.data(),
                             context.nonce.bytes.data()) != 1 ||
        ::EVP_EncryptUpdate(cipher.get(), nullptr, &length, bytes_of(bound).data(), length_of(bound.size())) != 1 ||
        ::EVP_EncryptUpdate(cipher.get(), out, &length, plain.data(), length_of(plain.size())) != 1 ||
        ::EVP_EncryptFinal_ex(cipher.get(), out + plain.size(), &length) != 1 ||
        ::EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, length_of(kTag), out + plain.size()) != 1)
        return failed("encrypt");
    return sealed;
}

Expected<Secret> hpke_open(const HpkeKey& from, const HpkeKey& to, std::string_view info, std::string_view bound,
                           std::string_view sealed) {
    const Error refused{ErrorCode::permission, "is not for this key, not by that one, or was changed since"};
    if (sealed.size() < kHpkeOverhead || info.size() > kMostInfo) return refused;
    const Bytes enc = bytes_of(sealed).first(32);
    const auto ephemeral = HpkeKey::from_open(enc);
    if (!ephemeral) return refused;
    Wiped<64> dh;  // AuthDecap
    const std::span<std::uint8_t, 64> both(dh.bytes);
    if (!diffie_hellman(to.handle(), ephemeral->handle(), both.first<32>()) ||
        !diffie_hellman(to.handle(), from.handle(), both.last<32>()))
        return refused;
    Context context;
    key_schedule(dh, enc, to.open(), from.open(), info, context);

    const Cipher cipher(::EVP_CIPHER_CTX_new(), ::EVP_CIPHER_CTX_free);
    const Bytes encrypted = bytes_of(sealed).subspan(32, sealed.size() - kHpkeOverhead);
    std::array<std::uint8_t, kTag> tag;
    std::copy_n(bytes_of(sealed).last(kTag).begin(), kTag, tag.begin());
    std::vector<std::uint8_t> plain(encrypted.size() + 1);  // never empty
    int length = 0;
    const bool good =
        cipher &&
        ::EVP_DecryptInit_ex(cipher.get(), aes_256_gcm(), nullptr, context.key.bytes.data(),
                             context.nonce.bytes.data()) == 1 &&
        ::EVP_DecryptUpdate(cipher.get(), nullptr, &length, bytes_of(bound).data(), length_of(bound.size())) == 1 &&
        ::EVP_DecryptUpdate(cipher.get(), plain.data(), &length, encrypted.data(), length_of(encrypted.size())) == 1 &&
        ::EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, length_of(kTag), tag.data()) == 1 &&
        ::EVP_DecryptFinal_ex(cipher.get(), plain.data() + encrypted.size(), &length) == 1;
    Secret secret = good ? Secret(std::span(plain).first(encrypted.size())) : Secret();
    wipe(plain);
    if (!good) return refused;
    return secret;
}

}  // namespace sekisho::agent

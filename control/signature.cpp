#include "control/signature.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <optional>

namespace sekisho::control {

namespace {

constexpr std::size_t kSignature = 64;      // bytes of an Ed25519 signature (RFC 8032 §5.1.6)
constexpr std::size_t kSignatureText = 88;  // its base64

using Key = std::shared_ptr<EVP_PKEY>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

Expected<Key> read_key(const std::string& file, bool is_private) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "re"), &std::fclose);
    if (stream == nullptr) return Error{ErrorCode::unavailable, file + ": " + std::strerror(errno)};
    // No prompt for a passphrase: nobody sits at a daemon.
    const auto no_passphrase = [](char*, int, int, void*) { return -1; };
    const Key key(is_private ? PEM_read_PrivateKey(stream.get(), nullptr, no_passphrase, nullptr)
                             : PEM_read_PUBKEY(stream.get(), nullptr, no_passphrase, nullptr),
                  &EVP_PKEY_free);
    ERR_clear_error();
    if (key == nullptr)
        return Error{ErrorCode::invalid, file + ": is no " + (is_private ? "private" : "public") +
                                             " key in PEM (made by `openssl genpkey -algorithm ed25519`" +
                                             (is_private ? ", without a passphrase)" : " and `openssl pkey -pubout`)")};
    if (EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519)
        return Error{ErrorCode::invalid, file + ": is a key of another kind; Ed25519 is expected"};
    return key;
}

std::optional<std::array<unsigned char, kSignature>> decoded(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
    if (text.size() != kSignatureText) return std::nullopt;
    std::array<unsigned char, kSignature + 3> bytes;
    // 64 bytes are 22 groups of three, the last of them filled up: EVP_DecodeBlock counts the filling.
    const int length = EVP_DecodeBlock(bytes.data(), bytes_of(text), static_cast<int>(text.size()));
    ERR_clear_error();
    if (length != kSignature + 2 || !text.ends_with("==")) return std::nullopt;
    // RFC 4648 §3.5: of the texts that give the same bytes, one is right; the last letter has bits to spare.
    std::array<unsigned char, kSignatureText + 1> again{};
    EVP_EncodeBlock(again.data(), bytes.data(), kSignature);
    if (!std::equal(text.begin(), text.end(), again.begin())) return std::nullopt;
    std::array<unsigned char, kSignature> signature;
    std::copy_n(bytes.begin(), kSignature, signature.begin());
    return signature;
}

}  // namespace

std::string statement_of(std::string_view hash) {
    return "sekisho policy document 1\nsha256 " + std::string(hash) + "\n";
}

Expected<std::string> sign(const std::string& key_file, std::string_view hash) {
    const auto key = read_key(key_file, true);
    if (!key) return key.error();
    const std::string statement = statement_of(hash);
    const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    std::array<unsigned char, kSignature> signature;
    std::size_t length = signature.size();
    if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key->get()) != 1 ||
        EVP_DigestSign(context.get(), signature.data(), &length, bytes_of(statement), statement.size()) != 1 ||
        length != kSignature)
        return Error{ErrorCode::unavailable, key_file + ": OpenSSL could not sign with it"};
    std::array<unsigned char, kSignatureText + 1> text;
    EVP_EncodeBlock(text.data(), signature.data(), kSignature);
    return std::string(text.begin(), text.end() - 1);
}

Expected<void> SigningKeys::add(const std::string& file) {
    auto key = read_key(file, false);
    if (!key) return key.error();
    keys_.push_back(std::move(*key));
    return {};
}

Expected<void> SigningKeys::check(std::string_view hash, std::string_view signature) const {
    if (keys_.empty()) return {};
    if (signature.empty())
        return Error{ErrorCode::permission,
                     "the document is not signed, and this node takes only what its signing keys signed"};
    const auto bytes = decoded(signature);
    if (!bytes)
        return Error{ErrorCode::permission, "the signature is not one of Ed25519: 88 letters of base64 are expected"};
    const std::string statement = statement_of(hash);
    for (const Key& key : keys_) {
        const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
        const bool good =
            context != nullptr && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
            EVP_DigestVerify(context.get(), bytes->data(), bytes->size(), bytes_of(statement), statement.size()) == 1;
        ERR_clear_error();
        if (good) return {};
    }
    return Error{ErrorCode::permission,
                 "the signature is none of this node's signing keys of the document with hash " + std::string(hash)};
}

}  // namespace sekisho::control

// SHA-256 and random bytes, and the fingerprints made of them.
#include "crypto/digest.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string_view>

#include "crypto/fingerprint.hpp"

namespace sekisho::crypto {

std::array<std::uint8_t, 32> sha256(std::initializer_list<std::span<const std::uint8_t>> parts) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    std::array<std::uint8_t, 32> digest;
    bool fine = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
    for (const auto part : parts) fine = fine && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
    if (!fine || EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) throw std::bad_alloc();
    return digest;
}

bool fill_random(std::span<std::uint8_t> bytes) {
    return RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1;
}

std::string hexadecimal(std::span<const std::uint8_t> bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : bytes) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 0xf];
    }
    return text;
}

bool from_hexadecimal(const std::string& text, std::span<std::uint8_t> bytes) {
    std::size_t written = 0;
    return text.size() == 2 * bytes.size() &&
           OPENSSL_hexstr2buf_ex(bytes.data(), bytes.size(), &written, text.c_str(), '\0') == 1 &&
           written == bytes.size();
}

std::string Fingerprint::text() const {
    return hexadecimal(bytes);
}

Fingerprint fingerprint_of(Suite suite, const Secret& keying_material) {
    constexpr std::string_view kWhat = "sekisho key fingerprint 1";
    const auto key = keying_material.reveal().first(std::min(text_of(suite).key_length, keying_material.size()));
    const auto digest = sha256({{reinterpret_cast<const std::uint8_t*>(kWhat.data()), kWhat.size()}, key});
    Fingerprint fingerprint;
    std::copy_n(digest.begin(), fingerprint.bytes.size(), fingerprint.bytes.begin());
    return fingerprint;
}

}  // namespace sekisho::crypto

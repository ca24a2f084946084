// SHA-256 by OpenSSL, piece by piece.
#pragma once

#include <array>
#include <memory>
#include <new>
#include <openssl/evp.h>
#include <span>
#include <string>
#include <string_view>

namespace sekisho::control {

class Sha256 {
  public:
    using Digest = std::array<unsigned char, 32>;

    Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
        if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
            throw std::bad_alloc();
    }
    void take(std::span<const unsigned char> bytes) { take(bytes.data(), bytes.size()); }
    void take(std::string_view bytes) { take(bytes.data(), bytes.size()); }
    // And it begins anew.
    Digest end() {
        Digest digest;
        if (EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1 ||
            EVP_DigestInit_ex(context_.get(), nullptr, nullptr) != 1)
            throw std::bad_alloc();
        return digest;
    }

  private:
    void take(const void* bytes, std::size_t count) {
        if (EVP_DigestUpdate(context_.get(), bytes, count) != 1) throw std::bad_alloc();
    }
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// This thread's, with nothing taken: to make one costs as much as to hash an object.
inline Sha256& sha256() {
    thread_local Sha256 hasher;
    return hasher;
}

// 64 hexadecimal digits, small letters.
inline std::string text_of(const Sha256::Digest& digest) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : digest) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 0xf];
    }
    return text;
}

}  // namespace sekisho::control

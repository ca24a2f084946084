#include "control/document_hash.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <openssl/evp.h>

namespace sekisho::control {

namespace {

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
        if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
            throw std::bad_alloc();
    }
    void take(std::string_view bytes) {
        if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) throw std::bad_alloc();
    }
    std::string end() {
        std::array<unsigned char, 32> digest;
        if (EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1) throw std::bad_alloc();
        constexpr std::string_view kDigits = "0123456789abcdef";
        std::string text;
        for (const unsigned char byte : digest) {
            text += kDigits[byte >> 4];
            text += kDigits[byte & 0xf];
        }
        return text;
    }

  private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

DocumentHash hash_of(const Document& document) {
    Sha256 sha256;
    DocumentHash hash;
    document.write([&](std::string_view piece) {
        sha256.take(piece);
        hash.bytes += piece.size();
    });
    hash.text = sha256.end();
    return hash;
}

std::string sha256_text(std::string_view bytes) {
    Sha256 sha256;
    sha256.take(bytes);
    return sha256.end();
}

bool is_hash(std::string_view text) noexcept {
    return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char letter) {
               return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
           });
}

}  // namespace sekisho::control

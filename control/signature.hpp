// Signed documents: the store signs a document's hash with Ed25519, and a node takes only what one of its keys signed.
//
// What is signed is a statement of two lines (statement_of), so that a signature of the store's for something else
// never passes for one of a document. Keys are PEM files as OpenSSL writes them; all arithmetic is OpenSSL's. A
// signature says who made the document, not when: an old one that was signed stays signed. Any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/expected.hpp"

struct evp_pkey_st;

namespace sekisho::control {

// What is signed of a document with this hash; the bytes that `openssl pkeyutl -sign -rawin` is given.
std::string statement_of(std::string_view hash);

// The signature, base64, 88 letters. `key_file` holds an Ed25519 private key, PEM, without a passphrase.
Expected<std::string> sign(const std::string& key_file, std::string_view hash);

class SigningKeys {
  public:
    // Adds the Ed25519 public key of a PEM file. Errors name the file.
    Expected<void> add(const std::string& file);
    bool empty() const noexcept { return keys_.empty(); }

    // Nothing, if one of the keys made `signature` (base64) of the document with this hash; without keys, always.
    // Error permission: it is missing, or no key's.
    Expected<void> check(std::string_view hash, std::string_view signature) const;

  private:
    std::vector<std::shared_ptr<evp_pkey_st>> keys_;
};

}  // namespace sekisho::control

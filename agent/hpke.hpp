// HPKE as the keys of SAs travel by it: sealed for one node, by somebody whom the node knows (RFC 9180).
//
// Mode auth, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message a context: who has the store reads
// nothing, and can make nothing that a node takes for its key server's. OpenSSL does the arithmetic, but has no HPKE
// before 3.2: the key schedule is here. What is secret on the way wipes itself. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/expected.hpp"
#include "net/secret.hpp"

struct evp_pkey_st;

namespace sekisho::agent {

// An X25519 key pair, or its public half.
class HpkeKey {
  public:
    enum class Half : std::uint8_t { secret, open };
    using Open = std::array<std::uint8_t, 32>;

    // From a PEM file as `openssl genpkey -algorithm X25519` and `openssl pkey -pubout` make it. Errors name the file.
    static Expected<HpkeKey> read(const std::string& file, Half half);
    static Expected<HpkeKey> from_secret(std::span<const std::uint8_t> raw);  // 32 bytes
    static Expected<HpkeKey> from_open(std::span<const std::uint8_t> raw);
    static Expected<HpkeKey> generate();

    const Open& open() const noexcept { return open_; }
    evp_pkey_st* handle() const noexcept { return key_.get(); }

  private:
    explicit HpkeKey(std::shared_ptr<evp_pkey_st> key);
    std::shared_ptr<evp_pkey_st> key_;
    Open open_{};
};

inline constexpr std::size_t kHpkeOverhead = 32 + 16;  // bytes: the encapsulated key before, the tag behind

// The encapsulated key and then the ciphertext. `info` has 64 bytes at most and says what it is for; `bound` is what
// open() must be given, too.
Expected<std::string> hpke_seal(const HpkeKey& from, const HpkeKey& to, std::string_view info, std::string_view bound,
                                std::span<const std::uint8_t> plain);
// Error permission: not for `to`, not by `from`, or changed since.
Expected<Secret> hpke_open(const HpkeKey& from, const HpkeKey& to, std::string_view info, std::string_view bound,
                           std::string_view sealed);

}  // namespace sekisho::agent

// Authenticated encryption behind one interface: a batch of jobs in, the same batch done.
//
// Three engines: our own by VAES, the fastest where a processor has it; IPsec-MB; and OpenSSL, independent of both,
// which every test compares with them and which runs anywhere. Engines are made by make_engine(), which lets none out
// that fails the known answers, nor ours if it differs from OpenSSL (self_test.hpp). One engine belongs to one
// worker; keys are prepared by control and read by all workers' engines of the same kind. AES-GCM with a nonce of 12
// bytes and a tag of 16 (NIST SP 800-38D); that a nonce is never used twice is the caller's duty (sequence.hpp,
// ledger.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "crypto/key_store.hpp"
#include "crypto/suite.hpp"
#include "net/expected.hpp"
#include "net/secret.hpp"

namespace sekisho::crypto {

enum class EngineKind : std::uint8_t { vaes, ipsec_mb, openssl };

inline constexpr std::array kEngineKinds = {EngineKind::vaes, EngineKind::ipsec_mb, EngineKind::openssl};
inline constexpr std::array<std::string_view, 3> kEngineNames = {"vaes", "ipsec-mb", "openssl"};  // by EngineKind
constexpr std::string_view name_of(EngineKind kind) noexcept {
    return kEngineNames[static_cast<std::size_t>(kind)];
}

// A key made ready for engines of one kind, in the key store's memory. Wiped when it dies; never printed.
class AeadKey {
  public:
    AeadKey() noexcept = default;
    AeadKey(KeySlot slot, Suite suite, EngineKind kind) noexcept : slot_(std::move(slot)), suite_(suite), kind_(kind) {}

    explicit operator bool() const noexcept { return static_cast<bool>(slot_); }
    const std::uint8_t* prepared() const noexcept { return slot_.data(); }  // for jobs; what lies there is the engine's
    Suite suite() const noexcept { return suite_; }
    EngineKind kind() const noexcept { return kind_; }

  private:
    KeySlot slot_;
    Suite suite_ = Suite::aes_gcm_128;
    EngineKind kind_ = EngineKind::ipsec_mb;
};

// One packet's work, in place. Key and text are the caller's and must live until the call returns. Fills one cache
// line.
struct alignas(64) AeadJob {
    static constexpr std::size_t kLongestAad = 20;

    const std::uint8_t* key;   // AeadKey::prepared() of a key of the engine's own kind
    std::uint32_t length;      // of the text alone
    std::uint16_t aad_length;  // at most kLongestAad
    Suite suite;
    bool good;           // set by both: done, and for open the tag was right; otherwise the text must not be used
    std::uint8_t* text;  // `length` bytes, and behind them kIcvLength of the tag: written by seal, read by open
    std::array<std::uint8_t, kNonceLength> nonce;
    std::array<std::uint8_t, kLongestAad> aad;
};
static_assert(sizeof(AeadJob) == 64);

class AeadEngine {
  public:
    virtual ~AeadEngine() = default;

    virtual EngineKind kind() const noexcept = 0;
    // What the engine is and runs on: "IPsec-MB 1.3.0, AVX2".
    virtual std::string description() const = 0;

    // Errors: invalid, when `key` is not as long as the suite's (the words say the lengths, never the key); permission
    // or unavailable from the key store. Control's thread.
    virtual Expected<AeadKey> prepare(Suite suite, std::span<const std::uint8_t> key, KeyStore& store) = 0;

    // No allocation, no system call, no wait. The tag is compared in constant time. True: every job is good.
    virtual bool seal(std::span<AeadJob> jobs) noexcept = 0;
    virtual bool open(std::span<AeadJob> jobs) noexcept = 0;

  protected:
    AeadEngine() = default;
    AeadEngine(const AeadEngine&) = delete;
    AeadEngine& operator=(const AeadEngine&) = delete;
};

// Those that this processor can run, the fastest first.
std::span<const EngineKind> engines_here() noexcept;
inline EngineKind fastest_engine() noexcept {
    return engines_here().front();
}

// Bytes that a prepared key of this kind takes: the slot size for a KeyStore.
std::size_t prepared_bytes(EngineKind kind) noexcept;

// An engine for one worker, after its self-test. Errors: unavailable, when the processor or the library cannot, or an
// answer is wrong; the words name the vector.
Expected<std::unique_ptr<AeadEngine>> make_engine(EngineKind kind);

// The length is right for the suite; the words for refusing one that is not.
Expected<void> check_key_length(Suite suite, std::size_t length);

}  // namespace sekisho::crypto

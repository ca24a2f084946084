// A security association, outbound or inbound: what control installs and workers use (RFC 4301 §4.1, §4.4.2).
//
// Tunnel mode, AES-GCM. Control makes them, and frees them when no worker can hold one any more; any number of workers
// use one at a time. What workers write of an SA are three things, each on lines of their own and once a burst: the
// sequence word or the replay window, and the lifetime. The rest never changes. Keys lie in the key store; nothing here
// can be printed that would show them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "crypto/aead.hpp"
#include "crypto/failures.hpp"
#include "crypto/lifetime.hpp"
#include "crypto/marks.hpp"
#include "crypto/replay_window.hpp"
#include "crypto/selectors.hpp"
#include "crypto/sequence.hpp"
#include "net/address.hpp"
#include "net/ids.hpp"
#include "net/prefetch.hpp"

namespace sekisho::crypto {

inline constexpr std::uint32_t kLastReservedSpi = 255;  // RFC 4303 §2.1

struct OutboundConfig {
    Spi spi;
    Suite suite = Suite::aes_gcm_128;
    bool esn = true;
    IpAddress local{Ipv4Address()};  // the outer source: ours
    IpAddress peer{Ipv4Address()};   // the outer destination
    OuterMarks marks = {};
    LifetimeLimits lifetime = {};
};

struct InboundConfig {
    Spi spi;
    Suite suite = Suite::aes_gcm_128;
    bool esn = true;
    std::uint32_t replay_window = kDefaultReplayWindow;
    std::vector<Selector> selectors = {};
    TunnelId tunnel = {};  // whose it is; not looked at here
    LifetimeLimits lifetime = {};
};

class OutboundSa {
  public:
    // `keying_material`: the AES key and then the salt (RFC 4106 §8.1). Nothing can be sealed before sequence().begin()
    // and extend(), which is the ledger's to do. Errors: invalid (a reserved SPI, a wrong length of key, addresses of
    // two families, marks or lifetimes that cannot be), and those of the key store.
    static Expected<std::unique_ptr<OutboundSa>> make(const OutboundConfig& config, const Secret& keying_material,
                                                      AeadEngine& engine, KeyStore& store);

    Spi spi() const noexcept { return spi_; }
    Suite suite() const noexcept { return key_.suite(); }
    bool esn() const noexcept { return hot_.esn; }
    SequenceWord& sequence() noexcept { return sequence_; }
    Lifetime& lifetime() noexcept { return lifetime_; }
    OutboundFailures& failures() noexcept { return failures_; }
    std::uint64_t last_sequence() const noexcept { return hot_.esn ? kLastExtendedSequence : kLastSequence; }
    // Bytes that sealing puts before the inner packet, and the most that it puts behind it.
    std::size_t headroom() const noexcept { return hot_.outer_length + kEspHeader; }
    static constexpr std::size_t kTailroom = 3 + 2 + kIcvLength;
    static constexpr std::size_t kEspHeader = 8 + kIvLength;  // SPI, sequence number, IV
    // Of the outer packet around an inner one of `inner` bytes.
    static constexpr std::size_t sealed_length(std::size_t inner, Family outer) noexcept {
        const std::size_t padded = (inner + 2 + kEspAlignment - 1) / kEspAlignment * kEspAlignment;
        return (outer == Family::ipv4 ? 20 : 40) + kEspHeader + padded + kIcvLength;
    }

    // What sealing reads, in one cache line. For seal.cpp.
    struct alignas(64) Hot {
        const std::uint8_t* key = nullptr;
        std::array<std::uint8_t, kSaltLength> salt{};
        Be32 spi;
        std::uint16_t checksum_base = 0;  // one's complement sum of an IPv4 header's constant words, host order
        std::uint8_t outer_length = 0;    // 20 or 40
        std::uint8_t copied_marks = 0;    // which bits of the inner TOS go out
        std::uint8_t set_marks = 0;       // and what is set besides
        std::uint8_t copied_df : 1 = 0;   // 1: the inner DF goes out
        std::uint8_t set_df : 1 = 0;      // 1: DF is set besides
        bool esn = false;
        Suite suite = Suite::aes_gcm_128;
        std::array<std::uint8_t, 40> outer{};  // the outer header but for lengths, marks, identification and checksum
    };
    static_assert(sizeof(Hot) == 64);
    const Hot& hot() const noexcept { return hot_; }

    // SAs lie in large pages (pages.hpp).
    static void* operator new(std::size_t bytes);
    static void operator delete(void* place) noexcept;

    // Asks for what sealing reads and writes of it.
    void prefetch() const noexcept {
        sekisho::prefetch_to_l2(&hot_);
        sekisho::prefetch_to_l2(&sequence_);
        lifetime_.prefetch();
    }
    // When the next number is this one, soft_sequence is raised.
    std::uint64_t soft_sequence() const noexcept { return last_sequence() - last_sequence() / 8; }

  private:
    OutboundSa(const OutboundConfig& config, AeadKey key) noexcept;

    Hot hot_;
    SequenceWord sequence_;
    Lifetime lifetime_;
    Spi spi_;
    AeadKey key_;
    OutboundFailures failures_;
};

class InboundSa {
  public:
    // As OutboundSa::make(); also invalid: a replay window or selectors that cannot be.
    static Expected<std::unique_ptr<InboundSa>> make(const InboundConfig& config, const Secret& keying_material,
                                                     AeadEngine& engine, KeyStore& store);

    Spi spi() const noexcept { return spi_; }
    TunnelId tunnel() const noexcept { return tunnel_; }
    Suite suite() const noexcept { return suite_; }
    bool esn() const noexcept { return esn_; }
    ReplayWindow& window() noexcept { return *window_; }
    const ReplayWindow& window() const noexcept { return *window_; }
    Lifetime& lifetime() noexcept { return lifetime_; }
    InboundFailures& failures() noexcept { return failures_; }
    const Selectors& selectors() const noexcept { return selectors_; }

    // A packet matched none of the selectors. Worker: whether to tell of it, which is so once until control allows it
    // again.
    bool may_tell_mismatch() noexcept {
        return !mismatch_told_.load(std::memory_order_relaxed) &&
               !mismatch_told_.exchange(true, std::memory_order_relaxed);
    }
    void allow_telling_mismatch() noexcept { mismatch_told_.store(false, std::memory_order_relaxed); }

    // Asks for what opening reads and writes of it; once that is here, for what lies behind it, the key apart, which
    // the engine asks for.
    void prefetch() const noexcept {
        sekisho::prefetch_to_l2(this);
        lifetime_.prefetch();
    }
    void prefetch_behind() const noexcept { window_->prefetch(); }

    static void* operator new(std::size_t bytes);
    static void operator delete(void* place) noexcept;

    const std::uint8_t* key() const noexcept { return prepared_; }
    const std::array<std::uint8_t, kSaltLength>& salt() const noexcept { return salt_; }

  private:
    InboundSa(const InboundConfig& config, AeadKey key, Selectors selectors,
              std::unique_ptr<ReplayWindow> window) noexcept;

    // All that opening reads, but for the window and the lifetime, is in the first line.
    alignas(64) const std::uint8_t* prepared_;
    std::unique_ptr<ReplayWindow> window_;
    std::array<std::uint8_t, kSaltLength> salt_{};
    Spi spi_;
    TunnelId tunnel_;
    bool esn_;
    Suite suite_;
    Selectors selectors_;
    AeadKey key_;
    Lifetime lifetime_;
    InboundFailures failures_;
    std::atomic<bool> mismatch_told_{false};
};

}  // namespace sekisho::crypto

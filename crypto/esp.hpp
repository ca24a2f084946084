// ESP in tunnel mode (RFC 4303): bursts of packets sealed and opened, for any mixture of SAs.
//
// One Esp belongs to one worker and holds its scratch memory and its engine. It works in place on spans that the caller
// gives, with room before and behind; what is UDP around ESP, which SA a packet belongs to, and the inner packet's own
// validity (dataplane/parse) are not its business. Packets of one SA should follow each other: SAs' shared words are
// touched once for each run. A packet that fails is marked with its reason and never leaves as plain text: after open()
// its bytes are undefined.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "crypto/aead.hpp"
#include "crypto/sa.hpp"
#include "net/address.hpp"
#include "net/drop_reason.hpp"

namespace sekisho::crypto {

enum class EspOutcome : std::uint8_t {
    done,
    dummy,  // opened: authentic, and meant to be thrown away (RFC 4303 §2.6); consumed, not dropped
    dropped,
};

struct SealPacket {
    // In: the inner IP packet, `length` bytes and nothing behind it. Out, when done: the outer one.
    std::uint8_t* data = nullptr;
    OutboundSa* sa = nullptr;  // nullptr: dropped as sa_missing
    std::uint32_t length = 0;
    std::int32_t headroom = 0;  // bytes that may be written before data, and behind its end; less than none is none
    std::int32_t tailroom = 0;
    EspOutcome outcome = EspOutcome::dropped;
    DropReason reason = DropReason::sa_missing;  // when dropped
};

struct OpenPacket {
    std::uint8_t* esp = nullptr;   // the ESP header, behind the outer IP header
    std::uint32_t length = 0;      // to the end of the ICV
    std::uint8_t outer_marks = 0;  // TOS or traffic class of the outer header
    InboundSa* sa = nullptr;       // of the packet's SPI; nullptr: dropped as sa_unknown
    EspOutcome outcome = EspOutcome::dropped;
    DropReason reason = DropReason::sa_unknown;  // when dropped
    Family family = Family::ipv4;                // when done: of the inner packet
    std::uint8_t* inner = nullptr;               // the same, and of a selector_mismatch: it, without TFC padding
    std::uint32_t inner_length = 0;
};

// The SPI of an ESP packet of which at least four bytes are there.
Spi spi_of(std::span<const std::uint8_t> esp) noexcept;

class Esp {
  public:
    static constexpr std::size_t kBurst = 64;  // longer spans are worked off in bursts of this many

    // The engine is the worker's own and outlives this.
    explicit Esp(AeadEngine& engine) noexcept : engine_(&engine) {}

    // Packets for the caller to fill and to give to seal() or open(): a burst's worth, so that none need be made anew.
    std::span<SealPacket, kBurst> to_seal() noexcept { return to_seal_; }
    std::span<OpenPacket, kBurst> to_open() noexcept { return to_open_; }

    // All packets get an outcome. Sequence numbers are taken in the order of the packets. A burst to an SA whose
    // lifetime ended or whose reserve is spent is dropped from that packet on, with the reason. A packet that is
    // refused for its own sake (malformed, no room) may leave a gap in the sequence numbers.
    void seal(std::span<SealPacket> packets) noexcept;

    // All packets get an outcome. RFC 4303 §3.4: the window is asked, the ICV checked, the window moved, and only then
    // the payload looked at; lifetimes count what was authentic and no replay.
    void open(std::span<OpenPacket> packets) noexcept;

  private:
    // seal.cpp
    void seal_burst(std::span<SealPacket> packets) noexcept;
    std::size_t seal_run(std::span<SealPacket> run, std::size_t jobs) noexcept;
    struct Framed {
        std::size_t jobs;     // there are then
        std::uint64_t bytes;  // that the cipher works on
    };
    template <std::size_t kOuter>
    Framed frame(const OutboundSa::Hot& told, std::span<SealPacket> run, std::uint64_t sequence,
                 std::size_t jobs) noexcept;
    // open.cpp
    void open_burst(std::span<OpenPacket> packets) noexcept;
    std::size_t prepare_run(std::span<OpenPacket> run, std::uint64_t* sequences, std::size_t jobs) noexcept;
    void drop_forged(std::span<OpenPacket> packets) noexcept;
    void accept_run(std::span<OpenPacket> run, const std::uint64_t* sequences) noexcept;

    // RFC 4106 §4. Part by part: a struct of them would be stored by parts and loaded in others, which waits.
    static void put_nonce(AeadJob& job, const std::array<std::uint8_t, kSaltLength>& salt, Be64 iv) noexcept {
        std::memcpy(job.nonce.data(), salt.data(), kSaltLength);
        std::memcpy(job.nonce.data() + kSaltLength, &iv, kIvLength);
    }
    // RFC 4106 §5: the whole sequence number, of which the packet carries the low half; without ESN that one alone.
    static void put_aad(AeadJob& job, Be32 spi, Be64 sequence, bool esn) noexcept {
        std::uint8_t* const at = job.aad.data();
        std::memcpy(at, &spi, sizeof spi);
        std::memcpy(at + sizeof spi, &sequence, sizeof sequence);
        if (!esn) [[unlikely]]
            std::memcpy(at + sizeof spi, reinterpret_cast<const std::uint8_t*>(&sequence) + 4, 4);
    }

    AeadEngine* engine_;
    std::array<SealPacket, kBurst> to_seal_;
    std::array<OpenPacket, kBurst> to_open_;
    std::array<AeadJob, kBurst> jobs_;
    std::array<std::uint64_t, kBurst> sequences_;  // of packets to open, by their place in the burst
};

}  // namespace sekisho::crypto

// Sealing: numbers for a run of packets, then header, trailer and outer header of each, then the cipher over all.
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "crypto/esp.hpp"
#include "crypto/esp_header.hpp"
#include "net/headers.hpp"

namespace sekisho::crypto {

namespace {

// What stands behind a packet: 1, 2, 3 as far as needed, pad length, next header (RFC 4303 §2.4). Eight bytes to be
// stored at once, by the packet's length modulo four: the ICV comes over the rest.
using Trailers = std::array<Be64, kEspAlignment>;
static_assert(kTrailer + kIcvLength >= sizeof(Be64));

constexpr Trailers trailers_to(std::uint64_t next_header) noexcept {
    constexpr std::array<std::uint64_t, kEspAlignment> kPadding = {0, 0x0101ULL << 48, 0x01'0202ULL << 40,
                                                                   0x0102'0303ULL << 32};
    Trailers trailers;
    for (std::uint32_t length = 0; length < kEspAlignment; ++length) {
        const std::uint32_t padding = (0U - (length + kTrailer)) % kEspAlignment;
        trailers[length] = Be64::from_host(kPadding[padding] | next_header << (48 - 8 * padding));
    }
    return trailers;
}
constexpr Trailers kTrailersIpv4 = trailers_to(kNextIpv4);
constexpr Trailers kTrailersIpv6 = trailers_to(kNextIpv6);

// What sealing must know of an inner packet. Whole words: gcc stores bytes and loads them as words, which waits.
struct Inner {
    std::uint32_t total_length;
    std::uint32_t marks;  // in the low eight bits; those above mean nothing
    std::uint32_t flags;  // of kIpv4DontFragment; other bits mean nothing
    const Be64* trailers;
};

// False when it is not an IP packet that fills its `length` bytes. All that is asked for lies in the first eight.
[[gnu::always_inline]] inline bool read_inner(const std::uint8_t* data, std::uint32_t length, Inner& inner) noexcept {
    if (length < sizeof(Ipv4Header)) return false;
    Be64 wire;
    std::memcpy(&wire, data, sizeof wire);
    const std::uint64_t start = wire.to_host();
    const auto low16 = [start](int shift) { return static_cast<std::uint32_t>(start >> shift) & 0xffff; };
    if (start >> 60 == 4) {
        inner = {low16(32), static_cast<std::uint32_t>(start >> 48), static_cast<std::uint32_t>(start),
                 kTrailersIpv4.data()};
        return inner.total_length == length;
    }
    if (start >> 60 != 6 || length < sizeof(Ipv6Header)) return false;
    // RFC 8200: routers never fragment IPv6, so neither may the outer packet be fragmented.
    inner = {static_cast<std::uint32_t>(low16(16) + sizeof(Ipv6Header)), static_cast<std::uint32_t>(start >> 52),
             kIpv4DontFragment, kTrailersIpv6.data()};
    return inner.total_length == length;
}

// `flags`: kIpv4DontFragment or 0.
[[gnu::always_inline]] inline void write_ipv4(const OutboundSa::Hot& hot, std::uint8_t* at, std::uint32_t total_length,
                                              std::uint32_t marks, std::uint32_t flags,
                                              std::uint64_t sequence) noexcept {
    // RFC 6864 §4: what is never fragmented needs no identification; what may be must not repeat it soon.
    const std::uint32_t identification = static_cast<std::uint16_t>(sequence) & (flags / kIpv4DontFragment - 1);
    const std::uint32_t first = 0x4500'0000U | marks << 16 | total_length;
    const std::uint32_t second = identification << 16 | flags;
    // The base has the constant words, version and length too. Both halves of the sum, and their carry, meet in the
    // upper one.
    std::uint32_t sum = hot.checksum_base + marks + total_length + identification + flags;
    sum += std::rotl(sum, 16);
    // In whole words, from registers: parts stored one by one would be waited for by whoever loads the header next.
    const Be64 words = Be64::from_host(std::uint64_t{first} << 32 | second);
    std::memcpy(at, &words, sizeof words);
    std::memcpy(at + sizeof words, hot.outer.data() + sizeof words, 2);
    const Be16 checksum = Be16::from_host(static_cast<std::uint16_t>(~sum >> 16));
    std::memcpy(at + offsetof(Ipv4Header, checksum), &checksum, sizeof checksum);
    std::memcpy(at + offsetof(Ipv4Header, source), hot.outer.data() + offsetof(Ipv4Header, source), 8);
}

inline void write_ipv6(const OutboundSa::Hot& hot, std::uint8_t* at, std::uint32_t total_length,
                       std::uint32_t marks) noexcept {
    std::memcpy(at, hot.outer.data(), sizeof(Ipv6Header));
    auto* const ip = reinterpret_cast<Ipv6Header*>(at);
    ip->version_class_flow = Be32::from_host(0x6000'0000U | marks << 20);
    ip->payload_length = Be16::from_host(static_cast<std::uint16_t>(total_length - sizeof(Ipv6Header)));
}

// The number is the IV, and with its low half the sequence number: the SPI comes over the high one.
[[gnu::always_inline]] inline void write_esp(std::uint8_t* at, Be32 spi, Be64 number) noexcept {
    static_assert(offsetof(EspHeader, sequence) + sizeof(Be32) == sizeof number);
    std::memcpy(at, &number, sizeof number);
    std::memcpy(at, &spi, sizeof spi);
    std::memcpy(at + offsetof(EspHeader, iv), &number, sizeof number);
}

inline void drop(SealPacket& packet, DropReason reason) noexcept {
    packet.outcome = EspOutcome::dropped;
    packet.reason = reason;
}

}  // namespace

void Esp::seal(std::span<SealPacket> packets) noexcept {
    for (; packets.size() > kBurst; packets = packets.subspan(kBurst)) seal_burst(packets.first(kBurst));
    seal_burst(packets);
}

void Esp::seal_burst(std::span<SealPacket> packets) noexcept {
    std::size_t jobs = 0;
    for (std::size_t first = 0; first < packets.size();) {
        std::size_t end = first + 1;
        while (end < packets.size() && packets[end].sa == packets[first].sa) ++end;
        jobs = seal_run(packets.subspan(first, end - first), jobs);
        first = end;
    }
    if (engine_->seal(std::span(jobs_).first(jobs))) [[likely]]
        return;
    // The jobs are of those that were not dropped, in their order.
    const AeadJob* job = jobs_.data();
    for (SealPacket& packet : packets)
        if (packet.outcome == EspOutcome::done && !(job++)->good) drop(packet, DropReason::engine_failed);
}

// Packets of one SA. Fills jobs_ from `jobs` on, and returns how many there are then.
std::size_t Esp::seal_run(std::span<SealPacket> run, std::size_t jobs) noexcept {
    OutboundSa* const sa = run[0].sa;
    const auto drop_all = [](std::span<SealPacket> some, DropReason reason) {
        for (SealPacket& packet : some) drop(packet, reason);
    };
    // 1. No SA, or an expired one, never means plain text (connection rules 2-2(2)).
    if (sa == nullptr) return drop_all(run, DropReason::sa_missing), jobs;
    if (sa->lifetime().is_over()) return drop_all(run, DropReason::sa_expired), jobs;
    // 2. Numbers that nobody else has: the nonce hangs on them.
    const SequenceRange range = sa->sequence().take(static_cast<std::uint32_t>(run.size()));
    if (range.count < run.size()) [[unlikely]]
        drop_all(run.subspan(range.count),
                 sa->sequence().is_spent() ? DropReason::sequence_exhausted : DropReason::nonce_reserve_exhausted);
    if (range.first < sa->soft_sequence() && range.first + range.count >= sa->soft_sequence()) [[unlikely]]
        sa->lifetime().raise(LifetimeEvent::soft_sequence);
    // 3. Headers and trailers.
    const OutboundSa::Hot& hot = sa->hot();
    const Framed framed = hot.outer_length == sizeof(Ipv4Header)
                              ? frame<sizeof(Ipv4Header)>(hot, run.first(range.count), range.first, jobs)
                              : frame<sizeof(Ipv6Header)>(hot, run.first(range.count), range.first, jobs);
    if (framed.jobs != jobs) sa->lifetime().count(framed.bytes, framed.jobs - jobs);
    return framed.jobs;
}

// `told` is copied, or every byte that is written might change it.
template <std::size_t kOuter>
Esp::Framed Esp::frame(const OutboundSa::Hot& told, std::span<SealPacket> run, std::uint64_t sequence,
                       std::size_t jobs) noexcept {
    constexpr std::uint32_t kHead = kOuter + sizeof(EspHeader);
    const OutboundSa::Hot hot = told;
    const std::uint32_t copied_flags = hot.copied_df * kIpv4DontFragment, set_flags = hot.set_df * kIpv4DontFragment;
    const auto aad_length = static_cast<std::uint16_t>(hot.esn ? kExtendedAad : kPlainAad);
    AeadJob* job = jobs_.data() + jobs;
    std::uint64_t bytes = 0;
    for (SealPacket& packet : run) {
        std::uint8_t* const data = packet.data;
        const std::uint32_t length = packet.length;
        const std::uint64_t number = sequence++;
        // 1. What the inner packet is, and whether the outer one fits.
        Inner inner;
        if (!read_inner(data, length, inner)) [[unlikely]] {
            drop(packet, DropReason::esp_inner_malformed);
            continue;
        }
        const auto cipher_length =
            static_cast<std::uint32_t>((length + kTrailer + kEspAlignment - 1) / kEspAlignment * kEspAlignment);
        const auto outer_length = static_cast<std::uint32_t>(kHead + cipher_length + kIcvLength);
        const auto behind = static_cast<std::int32_t>(cipher_length + kIcvLength - length);
        if (packet.headroom < static_cast<std::int32_t>(kHead) || packet.tailroom < behind) [[unlikely]] {
            drop(packet, DropReason::no_room);
            continue;
        }
        if (outer_length > 0xffff) [[unlikely]] {
            drop(packet, DropReason::packet_too_big);
            continue;
        }
        // 2. Trailer, ESP header, outer header.
        std::memcpy(data + length, inner.trailers + length % kEspAlignment, sizeof(Be64));
        const Be64 iv = Be64::from_host(number);
        write_esp(data - sizeof(EspHeader), hot.spi, iv);
        const std::uint32_t marks = (inner.marks & hot.copied_marks) | hot.set_marks;
        if constexpr (kOuter == sizeof(Ipv4Header))
            write_ipv4(hot, data - kHead, outer_length, marks, (inner.flags & copied_flags) | set_flags, number);
        else
            write_ipv6(hot, data - kHead, outer_length, marks);
        // 3. The cipher's work: nonce = salt, IV (RFC 4106 §4); AAD = SPI, sequence number (§5).
        job->key = hot.key;
        job->text = data;
        job->length = cipher_length;
        job->aad_length = aad_length;
        job->suite = hot.suite;
        put_nonce(*job, hot.salt, iv);
        put_aad(*job, hot.spi, iv, hot.esn);
        ++job;
        bytes += cipher_length;
        packet.data = data - kHead;
        packet.length = outer_length;
        packet.outcome = EspOutcome::done;
    }
    return {static_cast<std::size_t>(job - jobs_.data()), bytes};
}

}  // namespace sekisho::crypto

// Sealing: numbers for a run of packets, then header, trailer and outer header of each, then the cipher over all.
#include <cstddef>
#include <cstring>

#include "crypto/esp.hpp"
#include "crypto/esp_header.hpp"
#include "net/headers.hpp"

namespace sekisho::crypto {

namespace {

// What sealing must know of an inner packet.
struct Inner {
    std::uint32_t total_length;
    std::uint8_t marks;
    std::uint8_t next_header;
    bool dont_fragment;
};

// False when it is not an IP packet that fills its `length` bytes.
inline bool read_inner(const std::uint8_t* data, std::uint32_t length, Inner& inner) noexcept {
    if (length < sizeof(Ipv4Header)) return false;
    const auto load16 = [data](std::size_t at) {
        Be16 word;
        std::memcpy(&word, data + at, sizeof word);
        return word.to_host();
    };
    const unsigned version = data[0] >> 4;
    if (version == 4) {
        inner = {load16(2), data[1], kNextIpv4, (load16(6) & kIpv4DontFragment) != 0};
        return inner.total_length == length;
    }
    if (version != 6 || length < sizeof(Ipv6Header)) return false;
    // RFC 8200: routers never fragment IPv6, so neither may the outer packet be fragmented.
    inner = {static_cast<std::uint32_t>(load16(4) + sizeof(Ipv6Header)), static_cast<std::uint8_t>(load16(0) >> 4),
             kNextIpv6, true};
    return inner.total_length == length;
}

inline bool outer_df(std::uint8_t mode, bool inner) noexcept {
    if (static_cast<DfMode>(mode) == DfMode::copy) return inner;
    return static_cast<DfMode>(mode) == DfMode::set;
}

inline void write_ipv4(const OutboundSa::Hot& hot, std::uint8_t* at, std::uint32_t total_length, std::uint8_t marks,
                       bool dont_fragment, std::uint64_t sequence) noexcept {
    // RFC 6864 §4: what is never fragmented needs no identification; what may be must not repeat it soon.
    const std::uint32_t identification = dont_fragment ? 0 : static_cast<std::uint16_t>(sequence);
    const std::uint32_t flags = dont_fragment ? kIpv4DontFragment : 0;
    const std::uint32_t first = 0x4500'0000U | static_cast<std::uint32_t>(marks) << 16 | total_length;
    const std::uint32_t second = identification << 16 | flags;
    // Five words of at most 16 bits: two folds are enough. The base has the constant words, version and length too.
    std::uint32_t sum = hot.checksum_base + marks + total_length + identification + flags;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    // In whole words, from registers: bytes stored one by one would be waited for by whoever loads the header next.
    const Be32 words[2] = {Be32::from_host(first), Be32::from_host(second)};
    std::memcpy(at, words, sizeof words);
    std::memcpy(at + sizeof words, hot.outer.data() + sizeof words, 2);
    const Be16 checksum = Be16::from_host(static_cast<std::uint16_t>(~sum));
    std::memcpy(at + offsetof(Ipv4Header, checksum), &checksum, sizeof checksum);
    std::memcpy(at + offsetof(Ipv4Header, source), hot.outer.data() + offsetof(Ipv4Header, source), 8);
}

inline void write_ipv6(const OutboundSa::Hot& hot, std::uint8_t* at, std::uint32_t total_length,
                       std::uint8_t marks) noexcept {
    std::memcpy(at, hot.outer.data(), sizeof(Ipv6Header));
    auto* const ip = reinterpret_cast<Ipv6Header*>(at);
    ip->version_class_flow = Be32::from_host(0x6000'0000U | static_cast<std::uint32_t>(marks) << 20);
    ip->payload_length = Be16::from_host(static_cast<std::uint16_t>(total_length - sizeof(Ipv6Header)));
}

// 1, 2, 3 as far as needed, pad length, next header (RFC 4303 §2.4). Writes up to five bytes.
inline void write_trailer(std::uint8_t* at, std::uint32_t padding, std::uint8_t next_header) noexcept {
    constexpr std::uint8_t kPadding[4] = {1, 2, 3, 0};
    std::memcpy(at, kPadding, sizeof kPadding);
    at[padding] = static_cast<std::uint8_t>(padding);
    at[padding + 1] = next_header;
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
        jobs = seal_run(packets, first, end, jobs);
        first = end;
    }
    engine_->seal(std::span(jobs_).first(jobs));
    for (std::size_t i = 0; i < jobs; ++i)
        if (!jobs_[i].good) [[unlikely]]
            drop(packets[packet_of_[i]], DropReason::engine_failed);
}

// The packets [first, end), all of one SA. Fills jobs_ from `jobs` on, and returns how many there are then.
std::size_t Esp::seal_run(std::span<SealPacket> packets, std::size_t first, std::size_t end,
                          std::size_t jobs) noexcept {
    const std::span<SealPacket> run = packets.subspan(first, end - first);
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

    const OutboundSa::Hot& hot = sa->hot();
    const std::size_t head = hot.outer_length + sizeof(EspHeader);
    std::uint64_t bytes = 0;
    const std::size_t before = jobs;
    for (std::size_t i = 0; i < range.count; ++i) {
        SealPacket& packet = run[i];
        // 3. What the inner packet is, and whether the outer one fits.
        Inner inner;
        if (!read_inner(packet.data, packet.length, inner)) {
            drop(packet, DropReason::esp_inner_malformed);
            continue;
        }
        const std::uint32_t padding = (0U - (packet.length + kTrailer)) & (kEspAlignment - 1);
        const auto cipher_length = static_cast<std::uint32_t>(packet.length + padding + kTrailer);
        const auto outer_length = static_cast<std::uint32_t>(head + cipher_length + kIcvLength);
        if (packet.headroom < head || packet.tailroom < padding + kTrailer + kIcvLength) {
            drop(packet, DropReason::no_room);
            continue;
        }
        if (outer_length > 0xffff) {
            drop(packet, DropReason::packet_too_big);
            continue;
        }
        // 4. Trailer, ESP header, outer header.
        const std::uint64_t sequence = range.first + i;
        write_trailer(packet.data + packet.length, padding, inner.next_header);
        auto* const esp = reinterpret_cast<EspHeader*>(packet.data - sizeof(EspHeader));
        const Be64 iv = Be64::from_host(sequence);
        const Be32 low = Be32::from_host(static_cast<std::uint32_t>(sequence));
        *esp = {hot.spi, low, iv};
        const auto marks = static_cast<std::uint8_t>((inner.marks & hot.copied_marks) | hot.set_marks);
        std::uint8_t* const outer = packet.data - head;
        if (hot.outer_length == sizeof(Ipv4Header))
            write_ipv4(hot, outer, outer_length, marks, outer_df(hot.df, inner.dont_fragment), sequence);
        else
            write_ipv6(hot, outer, outer_length, marks);
        // 5. The cipher's work: nonce = salt, IV (RFC 4106 §4); AAD = SPI, sequence number (§5).
        AeadJob& job = jobs_[jobs];
        job.key = hot.key;
        job.in = packet.data;
        job.out = packet.data;
        job.tag = packet.data + cipher_length;
        job.length = cipher_length;
        job.suite = hot.suite;
        std::memcpy(job.nonce.data(), hot.salt.data(), kSaltLength);
        std::memcpy(job.nonce.data() + kSaltLength, &iv, kIvLength);
        if (hot.esn) {
            aads_[jobs] = {hot.spi, Be32::from_host(static_cast<std::uint32_t>(sequence >> 32)), low};
            job.aad = reinterpret_cast<const std::uint8_t*>(&aads_[jobs]);
            job.aad_length = kExtendedAad;
        } else {
            job.aad = reinterpret_cast<const std::uint8_t*>(esp);
            job.aad_length = kPlainAad;
        }
        packet_of_[jobs++] = static_cast<std::uint8_t>(first + i);
        bytes += cipher_length;
        packet.data = outer;
        packet.length = outer_length;
        packet.outcome = EspOutcome::done;
    }
    if (jobs != before) sa->lifetime().count(bytes, jobs - before);
    return jobs;
}

}  // namespace sekisho::crypto

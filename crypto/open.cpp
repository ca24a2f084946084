// Opening: the window asked, the cipher over all, the window moved, and only then a look at what came out.
#include <algorithm>
#include <array>
#include <cstring>

#include "crypto/esp.hpp"
#include "crypto/esp_header.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::crypto {

namespace {

inline void drop(OpenPacket& packet, DropReason reason) noexcept {
    packet.outcome = EspOutcome::dropped;
    packet.reason = reason;
}

constexpr DropReason reason_of(ReplayWindow::Verdict verdict) noexcept {
    return verdict == ReplayWindow::Verdict::stale ? DropReason::replay_stale : DropReason::replay_duplicate;
}

// RFC 4303 §2.4: 1, 2, 3 and so on. `end`: the last eight bytes of the plain text, which end before `behind`.
[[gnu::always_inline]] inline bool is_padding(std::uint64_t end, const std::uint8_t* behind,
                                              std::uint32_t length) noexcept {
    if (length < kEspAlignment) [[likely]] {
        static constexpr std::array<std::uint64_t, kEspAlignment> kMask = {0, 0xff'0000, 0xffff'0000, 0xff'ffff'0000};
        static constexpr std::array<std::uint64_t, kEspAlignment> kPadding = {0, 0x01'0000, 0x0102'0000,
                                                                              0x01'0203'0000};
        return (end & kMask[length]) == kPadding[length];
    }
    const std::uint8_t* const padding = behind - kTrailer - length;
    std::uint32_t wrong = 0;
    for (std::uint32_t i = 0; i < length; ++i) wrong |= padding[i] ^ (i + 1);
    return (wrong & 0xff) == 0;
}

// RFC 6040 §4.2. False: the packet must be dropped. An outer Not-ECT changes nothing.
inline bool restore_ecn_ipv4(Ipv4Header& ip, std::uint8_t outer) noexcept {
    if ((outer & kEcnMask) == kNotEct) return true;
    const auto ecn = ecn_after_tunnel(ip.dscp_ecn, outer);
    if (!ecn) return false;
    const auto marks = static_cast<std::uint8_t>((ip.dscp_ecn & ~kEcnMask) | *ecn);
    if (marks == ip.dscp_ecn) return true;
    ip.checksum = ChecksumDelta::replace(Be16::from_host(ip.dscp_ecn), Be16::from_host(marks)).apply(ip.checksum);
    ip.dscp_ecn = marks;
    return true;
}
inline bool restore_ecn_ipv6(Ipv6Header& ip, std::uint8_t outer) noexcept {
    if ((outer & kEcnMask) == kNotEct) return true;
    const std::uint32_t word = ip.version_class_flow.to_host();
    const auto ecn = ecn_after_tunnel(static_cast<std::uint8_t>(word >> 20), outer);
    if (!ecn) return false;
    ip.version_class_flow =
        Be32::from_host((word & ~(std::uint32_t{kEcnMask} << 20)) | static_cast<std::uint32_t>(*ecn) << 20);
    return true;
}

// What is in an authentic packet: `plain` is payload, padding and trailer.
[[gnu::always_inline]] inline void look_inside(const Selectors& selectors, OpenPacket& packet, std::uint8_t* plain,
                                               std::uint32_t length) noexcept {
    // 1. The trailer, loaded with what is before it: the ESP header at least.
    Be64 wire;
    std::memcpy(&wire, plain + length - sizeof wire, sizeof wire);
    const std::uint64_t end = wire.to_host();
    const std::uint32_t padding = end >> 8 & 0xff;
    const auto next_header = static_cast<std::uint8_t>(end);
    if (padding + kTrailer > length || !is_padding(end, plain + length, padding))
        return drop(packet, DropReason::esp_padding);
    // 2. The inner packet, by its own length: what lies behind is TFC padding (RFC 4303 §2.7).
    const std::span payload(plain, length - kTrailer - padding);
    std::uint32_t total = 0;
    bool congestion_told = false;
    if (next_header == kNextIpv4) {
        auto* const ip = header_at<Ipv4Header>(payload, 0);
        if (ip == nullptr || ip->version() != 4 || ip->header_length() < sizeof(Ipv4Header))
            return drop(packet, DropReason::esp_inner_malformed);
        total = ip->total_length.to_host();
        if (total < ip->header_length() || total > payload.size()) return drop(packet, DropReason::esp_inner_malformed);
        congestion_told = restore_ecn_ipv4(*ip, packet.outer_marks);
        packet.family = Family::ipv4;
    } else if (next_header == kNextIpv6) {
        auto* const ip = header_at<Ipv6Header>(payload, 0);
        if (ip == nullptr || ip->version() != 6) return drop(packet, DropReason::esp_inner_malformed);
        total = static_cast<std::uint32_t>(ip->payload_length.to_host() + sizeof(Ipv6Header));
        if (total > payload.size()) return drop(packet, DropReason::esp_inner_malformed);
        congestion_told = restore_ecn_ipv6(*ip, packet.outer_marks);
        packet.family = Family::ipv6;
    } else if (next_header == kNextDummy) {
        packet.outcome = EspOutcome::dummy;
        return;
    } else {
        return drop(packet, DropReason::esp_next_header);
    }
    if (!congestion_told) return drop(packet, DropReason::ecn_refused);
    packet.inner = plain;
    packet.inner_length = total;
    // 3. RFC 4301 §5.2: it must be what the SA was made for.
    if (!selectors.match_inbound(payload.first(total))) return drop(packet, DropReason::selector_mismatch);
}

}  // namespace

Spi spi_of(std::span<const std::uint8_t> esp) noexcept {
    Be32 spi;
    std::memcpy(&spi, esp.data(), sizeof spi);
    return Spi(spi.to_host());
}

void Esp::open(std::span<OpenPacket> packets) noexcept {
    for (; packets.size() > kBurst; packets = packets.subspan(kBurst)) open_burst(packets.first(kBurst));
    open_burst(packets);
}

// As long as its outcome says `done`, a packet has a job, and then is authentic, and then is what it should be.
void Esp::open_burst(std::span<OpenPacket> packets) noexcept {
    std::size_t jobs = 0;
    for (std::size_t first = 0; first < packets.size();) {
        std::size_t end = first + 1;
        while (end < packets.size() && packets[end].sa == packets[first].sa) ++end;
        jobs = prepare_run(packets.subspan(first, end - first), sequences_.data() + first, jobs);
        first = end;
    }
    if (!engine_->open(std::span(jobs_).first(jobs))) [[unlikely]]
        drop_forged(packets);
    for (std::size_t first = 0; first < packets.size();) {
        std::size_t end = first;
        while (end < packets.size() && packets[end].outcome == EspOutcome::done && packets[end].sa == packets[first].sa)
            ++end;
        if (end != first) [[likely]]
            accept_run(packets.subspan(first, end - first), sequences_.data() + first);
        first = std::max(end, first + 1);
    }
}

void Esp::drop_forged(std::span<OpenPacket> packets) noexcept {
    const AeadJob* job = jobs_.data();
    for (OpenPacket& packet : packets)
        if (packet.outcome == EspOutcome::done && !(job++)->good) drop(packet, DropReason::icv_wrong);
}

// Packets of one SA: everything that can be refused without the cipher is; the rest becomes jobs, from `jobs` on.
// Returns how many there are then. `sequences`: by packet.
std::size_t Esp::prepare_run(std::span<OpenPacket> run, std::uint64_t* sequences, std::size_t jobs) noexcept {
    // 1. No SA: drop (RFC 4303 §3.4.2).
    InboundSa* const sa = run[0].sa;
    if (sa == nullptr || sa->lifetime().is_over()) [[unlikely]] {
        for (OpenPacket& packet : run) drop(packet, sa == nullptr ? DropReason::sa_unknown : DropReason::sa_expired);
        return jobs;
    }
    // Copies: every byte that is written might change the SA.
    const ReplayWindow& window = sa->window();
    const std::uint64_t top = window.top();
    const std::uint32_t window_size = window.size();
    window.prefetch_slot(top + 1);  // where accept() most likely writes
    const std::uint8_t* const key = sa->key();
    const auto salt = sa->salt();
    const Suite suite = sa->suite();
    const bool esn = sa->esn();
    const auto aad_length = static_cast<std::uint16_t>(esn ? kExtendedAad : kPlainAad);
    AeadJob* job = jobs_.data() + jobs;
    for (std::size_t i = 0; i < run.size(); ++i) {
        OpenPacket& packet = run[i];
        std::uint8_t* const data = packet.esp;
        const std::uint32_t length = packet.length;
        // 2. Too short or not aligned: no sender makes that.
        if (length < kShortestEsp) [[unlikely]] {
            drop(packet, DropReason::esp_truncated);
            continue;
        }
        const auto cipher_length = static_cast<std::uint32_t>(length - sizeof(EspHeader) - kIcvLength);
        if (cipher_length % kEspAlignment != 0) [[unlikely]] {
            drop(packet, DropReason::esp_length);
            continue;
        }
        // 3. The whole sequence number, and whether the window would have it. Changes nothing yet.
        EspHeader esp;
        std::memcpy(&esp, data, sizeof esp);
        const std::uint32_t low = esp.sequence.to_host();
        const std::uint64_t sequence = esn ? infer_sequence(low, top, window_size) : low;
        if (sequence <= top) [[unlikely]]
            if (const auto verdict = window.look(sequence); verdict != ReplayWindow::Verdict::fresh) {
                drop(packet, reason_of(verdict));
                continue;
            }
        sequences[i] = sequence;
        packet.outcome = EspOutcome::done;
        // 4. The cipher's work.
        job->key = key;
        job->text = data + sizeof esp;
        job->length = cipher_length;
        job->aad_length = aad_length;
        job->suite = suite;
        put_nonce(*job, salt, esp.iv);
        put_aad(*job, esp.spi, Be64::from_host(sequence), esn);
        ++job;
    }
    return static_cast<std::size_t>(job - jobs_.data());
}

// Authentic packets of one SA.
void Esp::accept_run(std::span<OpenPacket> run, const std::uint64_t* sequences) noexcept {
    InboundSa& sa = *run[0].sa;
    std::array<ReplayWindow::Verdict, kBurst> verdicts;
    // RFC 4303 §3.4.3: the window moves only after the ICV is good. Of copies in one burst the first is accepted.
    sa.window().accept(std::span(sequences, run.size()), verdicts.data());
    std::uint64_t bytes = 0, accepted = 0;
    for (std::size_t i = 0; i < run.size(); ++i) {
        OpenPacket& packet = run[i];
        if (const auto verdict = verdicts[i]; verdict != ReplayWindow::Verdict::fresh) [[unlikely]] {
            drop(packet, reason_of(verdict));
            continue;
        }
        const auto length = static_cast<std::uint32_t>(packet.length - sizeof(EspHeader) - kIcvLength);
        bytes += length;
        ++accepted;
        look_inside(sa.selectors(), packet, packet.esp + sizeof(EspHeader), length);
    }
    if (accepted != 0) sa.lifetime().count(bytes, accepted);
}

}  // namespace sekisho::crypto

// Stage 2, open: ESP for the hub becomes the packet that is inside, and goes on as its tunnel's attachment's (RFC 4303
// §3.4, RFC 4301 §5.2).
//
// The SPI names the SA, the SA its tunnel. Its packets come by the tunnel's underlay, from its peer and to its local
// address, or are not looked at: RFC 4301 asks for the SPI alone, and the ICV would tell in the end, but only after the
// cipher's work, which whoever knows an SPI could then make us do from anywhere. Only a peer in UDP may have moved, and
// is followed when what it sent has been opened (esp_udp.hpp). The order of checks behind that is crypto/open.cpp's.
// Packets keep their order, so that inner flows do.
#include <bit>
#include <cstddef>
#include <cstring>

#include "dataplane/admit.hpp"
#include "dataplane/esp_udp.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

using crypto::EspOutcome;
using crypto::InboundSa;
using crypto::OpenPacket;

// What a tunnel's packets have in their outer headers.
class OuterEnds {
  public:
    explicit OuterEnds(const Tunnel& tunnel) noexcept
        : tunnel_(tunnel),
          attachment_(tunnel.underlay),
          is_ipv4_(tunnel.peer.is_ipv4()),
          marks_((is_ipv4_ ? 0 : Packet::kIpv6) | (tunnel.in_udp ? Packet::kInUdp : 0)) {
        if (!is_ipv4_) return;
        const std::array<Be32, 2> ends = {tunnel.peer.ipv4().wire(), tunnel.local.ipv4().wire()};
        ipv4_ = std::bit_cast<std::uint64_t>(ends);
    }
    // The packet has them, and it came by the tunnel's underlay.
    bool are_of(const Packet& packet) const noexcept {
        if (!came_as(packet)) return false;
        if (is_ipv4_) {
            std::uint64_t ends;  // source, and destination behind it
            std::memcpy(&ends, packet.l3 + offsetof(Ipv4Header, source), sizeof ends);
            return ends == ipv4_;
        }
        const auto& header = header_of<Ipv6Address>(packet);
        return header.source.address() == tunnel_.peer.ipv6() && header.destination.address() == tunnel_.local.ipv6();
    }

    // The same in UDP, whoever it is from.
    bool lead_to(const Packet& packet) const noexcept {
        if (!came_as(packet)) return false;
        return is_ipv4_ ? Ipv4Address(header_of<Ipv4Address>(packet).destination) == tunnel_.local.ipv4()
                        : header_of<Ipv6Address>(packet).destination.address() == tunnel_.local.ipv6();
    }

    // TOS or traffic class of a packet of its family.
    std::uint8_t marks_of(const Packet& packet) const noexcept {
        if (is_ipv4_) return header_of<Ipv4Address>(packet).dscp_ecn;
        return static_cast<std::uint8_t>(header_of<Ipv6Address>(packet).version_class_flow.to_host() >> 20);
    }

  private:
    bool came_as(const Packet& packet) const noexcept {
        return packet.attachment == attachment_ && (packet.marks & (Packet::kIpv6 | Packet::kInUdp)) == marks_;
    }

    const Tunnel& tunnel_;
    const AttachmentId attachment_;
    const bool is_ipv4_;
    const std::uint32_t marks_;
    std::uint64_t ipv4_ = 0;
};

const Tunnel* tunnel_of(const Tables& tables, TunnelId id) noexcept {
    if (id.index() >= tables.tunnels.size() || !tables.tunnels[id.index()].exists) return nullptr;
    return &tables.tunnels[id.index()];
}

// Packets that follow each other and have one SPI. Not initialized, for there is an array of them.
struct Run {
    static constexpr std::uint64_t kTruncated = std::uint64_t{1} << 32;  // in place of an SPI

    Spi spi_in_host_order() const noexcept {
        return Spi(Be32::from_network(static_cast<std::uint32_t>(spi)).to_host());
    }

    std::uint64_t spi;  // as it lies in the packet
    InboundSa* sa;
    std::uint32_t first;       // of it in the lane
    std::uint32_t end;         // behind the last that is kept, in Opening
    std::uint32_t attachment;  // the tunnel's
};
static_assert(kBurst == crypto::Esp::kBurst);

// The packets that the cipher is asked about, by their place in the walk.
struct Opening {
    explicit Opening(crypto::Esp& esp) noexcept : packets(esp.to_open()) {}

    std::span<Run> all_runs() noexcept { return {runs.data(), run_count}; }

    std::size_t count = 0;
    const std::span<OpenPacket, crypto::Esp::kBurst> packets;
    std::array<Lane::Index, kBurst> places;
    std::size_t run_count = 0;
    std::array<Run, kBurst + 1> runs;  // the last one is where the lane ends
    bool any_in_udp = false;
};

// 1. The SAs. What they lie in is asked for a step ahead: of 100,000 none may be in the cache.
void find_associations(const Walk& walk, const Lane& in, Opening& opening) noexcept {
    const crypto::Sad& sad = walk.worker.associations->sad();
    const Packet* const packets = walk.packets.data();
    std::uint64_t before = ~std::uint64_t{0};
    for (const Lane::Index* at = in.begin(); at != in.end(); ++at) {
        const Packet& packet = packets[*at];
        std::uint64_t spi = Run::kTruncated;
        if (packet.l3_length >= packet.l4_offset + sizeof(Be32)) [[likely]] {
            Be32 wire;
            std::memcpy(&wire, packet.l3 + packet.l4_offset, sizeof wire);
            spi = wire.network_bits();
        }
        if (spi == before) continue;
        before = spi;
        Run& run = opening.runs[opening.run_count++];
        run.spi = spi;
        run.first = static_cast<std::uint32_t>(at - in.begin());
        sad.prefetch_entry(run.spi_in_host_order());
    }
    opening.runs[opening.run_count].first = static_cast<std::uint32_t>(in.size());
    for (Run& run : opening.all_runs()) {
        run.sa = run.spi == Run::kTruncated ? nullptr : sad.find(run.spi_in_host_order());
        if (run.sa != nullptr) run.sa->prefetch();
    }
    for (const Run& run : opening.all_runs()) {
        if (run.sa == nullptr) continue;
        run.sa->prefetch_behind();
        walk.tables.prefetch_tunnel(run.sa->tunnel());
    }
}

[[gnu::noinline]] void refuse(Walk& walk, std::size_t i, InboundSa* sa, DropReason reason) noexcept {
    if (sa != nullptr) sa->failures().count(reason);
    walk.drop(i, reason);
}

// RFC 4301 §5.2: that an SA carried what it may not is told.
void tell_mismatch(const Walk& walk, const OpenPacket& opened) noexcept {
    if (!opened.sa->may_tell_mismatch()) return;
    const SelectorMismatch told{opened.sa->tunnel(), opened.sa->spi(),
                                crypto::SelectorFields::of({opened.inner, opened.inner_length})};
    if (!walk.worker.associations->selector_mismatch_ring(walk.worker.self).put(told))
        opened.sa->allow_telling_mismatch();
}

// Those of a run that came as its tunnel's do go to the cipher.
template <bool kInUdp>
[[gnu::always_inline]] inline void keep(Walk& walk, std::span<const Lane::Index> run, InboundSa* sa,
                                        const Tunnel& tunnel, Opening& opening) noexcept {
    const OuterEnds ends(tunnel);
    // Copies: a byte that is written might change what they are read from.
    const Packet* const packets = walk.packets.data();
    OpenPacket* to_open = opening.packets.data() + opening.count;
    Lane::Index* kept = opening.places.data() + opening.count;
    for (const std::size_t i : run) {
        const Packet& packet = packets[i];
        if (!(kInUdp ? ends.lead_to(packet) : ends.are_of(packet))) [[unlikely]] {
            refuse(walk, i, sa, DropReason::sa_elsewhere);
            continue;
        }
        to_open->esp = packet.l3 + packet.l4_offset;
        to_open->length = static_cast<std::uint32_t>(packet.l3_length - packet.l4_offset);
        to_open->outer_marks = ends.marks_of(packet);
        to_open->sa = sa;
        ++to_open;
        *kept++ = static_cast<Lane::Index>(i);
    }
    opening.count = static_cast<std::size_t>(kept - opening.places.data());
}
// 2. Their tunnels.
void find_tunnels(Walk& walk, const Lane& in, Opening& opening) noexcept {
    for (std::size_t r = 0; r < opening.run_count; ++r) {
        Run& run = opening.runs[r];
        const std::span members(in.begin() + run.first, in.begin() + opening.runs[r + 1].first);
        const Tunnel* const tunnel = run.sa == nullptr ? nullptr : tunnel_of(walk.tables, run.sa->tunnel());
        if (tunnel == nullptr) [[unlikely]] {
            for (const std::size_t i : members)
                walk.drop(i, run.spi == Run::kTruncated ? DropReason::esp_truncated : DropReason::sa_unknown);
        } else if (tunnel->in_udp) [[unlikely]] {
            opening.any_in_udp = true;
            keep<true>(walk, members, run.sa, *tunnel, opening);
        } else {
            keep<false>(walk, members, run.sa, *tunnel, opening);
        }
        run.attachment = tunnel == nullptr ? 0 : tunnel->attachment.value();
        run.end = static_cast<std::uint32_t>(opening.count);
    }
}

// 4. Peers that moved: of the outer headers, which the next step forgets. Not by Opening: were its address known
// elsewhere, the compiler would read it again after every packet.
[[gnu::noinline]] void follow_peers(Walk& walk, std::span<const OpenPacket> opened,
                                    std::array<Lane::Index, kBurst> places) noexcept {
    for (std::size_t n = 0; n < opened.size(); ++n) {
        const Packet& packet = walk.packets[places[n]];
        if (packet.is(Packet::kInUdp) && opened[n].outcome != EspOutcome::dropped) follow_peer(walk, packet, opened[n]);
    }
}

}  // namespace

void open(Walk& walk, const Lane& in, ParseOut out) noexcept {
    if (walk.worker.associations == nullptr) {
        for (const std::size_t i : in) walk.drop(i, DropReason::sa_unknown);
        return;
    }
    Opening opening(*walk.worker.esp);
    find_associations(walk, in, opening);
    find_tunnels(walk, in, opening);
    // 3. Window, cipher, window, selectors.
    walk.worker.esp->open(std::span(opening.packets).first(opening.count));
    if (opening.any_in_udp) [[unlikely]]
        follow_peers(walk, std::span(opening.packets).first(opening.count), opening.places);
    // 5. What came out is a packet of the tunnel's attachment.
    std::size_t n = 0;
    for (const Run& run : opening.all_runs())
        for (; n < run.end; ++n) {
            const std::size_t i = opening.places[n];
            const OpenPacket& opened = opening.packets[n];
            if (opened.outcome == EspOutcome::dropped) [[unlikely]] {
                if (opened.reason == DropReason::selector_mismatch) tell_mismatch(walk, opened);
                refuse(walk, i, opened.sa, opened.reason);
                continue;
            }
            if (opened.outcome == EspOutcome::dummy) [[unlikely]] {
                walk.consume(i);
                continue;
            }
            parse_inner(walk, i, AttachmentId(run.attachment), {opened.inner, opened.inner_length}, opened.family, out);
        }
}

}  // namespace sekisho::dataplane

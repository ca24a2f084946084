// Stage 2, open: ESP for the hub becomes the packet that is inside, and goes on as its tunnel's attachment's (RFC 4303
// §3.4, RFC 4301 §5.2).
//
// The SPI names the SA, the SA its tunnel. Its packets come by the tunnel's underlay, from its peer and to its local
// address, or are not looked at: RFC 4301 asks for the SPI alone, and the ICV would tell in the end, but only after the
// cipher's work, which whoever knows an SPI could then make us do from anywhere. Our peers do not move. The order of
// checks behind that is crypto/open.cpp's. Packets keep their order, so that inner flows do.
#include "dataplane/admit.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

using crypto::EspOutcome;
using crypto::InboundSa;
using crypto::OpenPacket;

std::uint8_t marks_of(const Packet& packet) noexcept {
    if (!packet.is(Packet::kIpv6)) return header_of<Ipv4Address>(packet).dscp_ecn;
    return static_cast<std::uint8_t>(header_of<Ipv6Address>(packet).version_class_flow.to_host() >> 20);
}

// The packet's outer addresses are the tunnel's, and it came by the tunnel's underlay.
bool is_of(const Packet& packet, const Tunnel& tunnel) noexcept {
    if (tunnel.underlay != packet.attachment) return false;
    if (packet.is(Packet::kIpv6)) {
        const auto& header = header_of<Ipv6Address>(packet);
        return !tunnel.peer.is_ipv4() && header.source.address() == tunnel.peer.ipv6() &&
               header.destination.address() == tunnel.local.ipv6();
    }
    const auto& header = header_of<Ipv4Address>(packet);
    return tunnel.peer.is_ipv4() && Ipv4Address(header.source) == tunnel.peer.ipv4() &&
           Ipv4Address(header.destination) == tunnel.local.ipv4();
}

const Tunnel* tunnel_of(const Tables& tables, TunnelId id) noexcept {
    if (id.index() >= tables.tunnels.size() || !tables.tunnels[id.index()].exists) return nullptr;
    return &tables.tunnels[id.index()];
}

// The packets that the cipher is asked about, by their place in the walk.
struct Opening {
    std::size_t count = 0;
    std::array<OpenPacket, kBurst> packets;
    std::array<Lane::Index, kBurst> places;
    std::array<AttachmentId, kBurst> attachments;
};

// 1. The SAs. What they lie in is asked for a step ahead: of 100,000 none may be in the cache.
void find_associations(Walk& walk, const Lane& in, Opening& opening) noexcept {
    const crypto::Sad& sad = walk.worker.associations->sad();
    std::array<Spi, kBurst> spis;
    for (const std::size_t i : in) {
        const std::span<const std::uint8_t> esp = walk.packets[i].ip().subspan(walk.packets[i].l4_offset);
        if (esp.size() < sizeof(Be32)) {
            walk.drop(i, DropReason::esp_truncated);
            continue;
        }
        const std::size_t n = opening.count++;
        opening.places[n] = static_cast<Lane::Index>(i);
        spis[n] = crypto::spi_of(esp);
        if (n == 0 || spis[n] != spis[n - 1]) sad.prefetch_entry(spis[n]);
    }
    for (std::size_t n = 0; n < opening.count; ++n) {
        const bool again = n != 0 && spis[n] == spis[n - 1];
        InboundSa* const sa = again ? opening.packets[n - 1].sa : sad.find(spis[n]);
        opening.packets[n].sa = sa;
        if (sa != nullptr && !again) sa->prefetch();
    }
    for (std::size_t n = 0; n < opening.count; ++n) {
        InboundSa* const sa = opening.packets[n].sa;
        if (sa != nullptr && (n == 0 || sa != opening.packets[n - 1].sa)) sa->prefetch_behind();
    }
}

void refuse(Walk& walk, std::size_t i, InboundSa* sa, DropReason reason) noexcept {
    if (sa != nullptr) sa->failures().count(reason);
    walk.drop(i, reason);
}

// 2. Their tunnels: what is left moves up.
void find_tunnels(Walk& walk, Opening& opening) noexcept {
    std::size_t kept = 0;
    for (std::size_t n = 0; n < opening.count; ++n) {
        const std::size_t i = opening.places[n];
        const Packet& packet = walk.packets[i];
        InboundSa* const sa = opening.packets[n].sa;
        const Tunnel* const tunnel = sa == nullptr ? nullptr : tunnel_of(walk.tables, sa->tunnel());
        if (tunnel == nullptr) [[unlikely]] {
            walk.drop(i, DropReason::sa_unknown);
            continue;
        }
        if (!is_of(packet, *tunnel)) [[unlikely]] {
            refuse(walk, i, sa, DropReason::sa_elsewhere);
            continue;
        }
        OpenPacket& to_open = opening.packets[kept];
        to_open.esp = packet.l3 + packet.l4_offset;
        to_open.length = static_cast<std::uint32_t>(packet.l3_length - packet.l4_offset);
        to_open.outer_marks = marks_of(packet);
        to_open.sa = sa;
        opening.places[kept] = static_cast<Lane::Index>(i);
        opening.attachments[kept++] = tunnel->attachment;
    }
    opening.count = kept;
}

}  // namespace

void open(Walk& walk, const Lane& in, ParseOut out) noexcept {
    if (walk.worker.associations == nullptr) {
        for (const std::size_t i : in) walk.drop(i, DropReason::sa_unknown);
        return;
    }
    Opening opening;
    find_associations(walk, in, opening);
    find_tunnels(walk, opening);
    // 3. Window, cipher, window, selectors.
    walk.worker.esp->open(std::span(opening.packets).first(opening.count));
    // 4. What came out is a packet of the tunnel's attachment.
    for (std::size_t n = 0; n < opening.count; ++n) {
        const std::size_t i = opening.places[n];
        const OpenPacket& opened = opening.packets[n];
        if (opened.outcome == EspOutcome::dropped) [[unlikely]] {
            refuse(walk, i, opened.sa, opened.reason);
            continue;
        }
        if (opened.outcome == EspOutcome::dummy) [[unlikely]] {
            walk.consume(i);
            continue;
        }
        parse_inner(walk, i, opening.attachments[n], {opened.inner, opened.inner_length}, opened.family, out);
    }
}

}  // namespace sekisho::dataplane

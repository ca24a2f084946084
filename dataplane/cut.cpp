// Cutting an IPv4 packet into fragments.
//
// Every fragment but the last carries as many whole units of 8 bytes as fit. Later ones carry only the options that ask
// for it. A packet that is a fragment itself keeps its place: offsets are relative to its own, and only what ends the
// datagram ends it.
#include "dataplane/cut.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::size_t kMaxFragments = 128;  // of 65,535 bytes, through an MTU of 576
constexpr std::size_t kMaxHeader = 60;
constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNop = 1;
constexpr std::uint8_t kOptionCopied = 0x80;

// The header of all fragments but the first: `header` without the options that are not copied. Its length.
std::size_t later_header(const std::uint8_t* header, std::size_t length, std::uint8_t* to) noexcept {
    std::memcpy(to, header, sizeof(Ipv4Header));
    std::size_t written = sizeof(Ipv4Header);
    for (std::size_t at = sizeof(Ipv4Header); at < length && header[at] != kOptionEnd;) {
        const std::size_t size = header[at] == kOptionNop || at + 1 == length ? 1 : header[at + 1];
        if (size == 0 || size > length - at) break;  // not so: parse has looked
        if ((header[at] & kOptionCopied) != 0) {
            std::memcpy(to + written, header + at, size);
            written += size;
        }
        at += size;
    }
    while (written % 4 != 0) to[written++] = kOptionEnd;
    reinterpret_cast<Ipv4Header*>(to)->version_ihl = static_cast<std::uint8_t>(0x40 | written / 4);
    return written;
}

// Length, place and checksum of a fragment whose header of `header_length` bytes is there.
void finish(std::uint8_t* header_bytes, std::size_t header_length, std::size_t body,
            std::uint16_t flags_offset) noexcept {
    auto& header = *reinterpret_cast<Ipv4Header*>(header_bytes);
    header.total_length = Be16::from_host(static_cast<std::uint16_t>(header_length + body));
    header.flags_offset = Be16::from_host(flags_offset);
    header.checksum = Be16();
    header.checksum = checksum_of({header_bytes, header_length});
}

// What is cut off a packet, in order: frames that begin as the packet's does.
struct Pieces {
    std::size_t count = 0;
    std::array<rte_mbuf*, kMaxFragments> mbufs;
};

// Cuts the packet, whose frame begins with whatever link header it has, into itself and `pieces`, at most `room` of
// them.
std::optional<DropReason> cut(Walk& walk, Packet& packet, std::uint16_t mtu, std::size_t room,
                              Pieces& pieces) noexcept {
    auto& header = *reinterpret_cast<Ipv4Header*>(packet.l3);
    const std::size_t first_header = header.header_length();
    std::array<std::uint8_t, kMaxHeader> others{};
    const std::size_t other_header = later_header(packet.l3, first_header, others.data());
    const std::size_t link = static_cast<std::size_t>(packet.l3 - packet.frame().data());
    const std::size_t body = packet.l3_length - first_header;
    if (mtu < first_header + 8) return DropReason::fragmentation_no_buffer;
    const std::size_t first_body = (mtu - first_header) / 8 * 8;
    const std::size_t other_body = (mtu - other_header) / 8 * 8;

    // 1. As many buffers, and places to leave, as it takes.
    const std::size_t rest = body - first_body;
    const std::size_t last_may_have = mtu - other_header;  // need not be whole units
    const std::size_t extra = rest <= last_may_have ? 1 : 1 + (rest - last_may_have + other_body - 1) / other_body;
    if (extra > std::min(kMaxFragments, room)) return DropReason::fragmentation_no_buffer;
    if (rte_pktmbuf_alloc_bulk(walk.worker.pool, pieces.mbufs.data(), static_cast<unsigned>(extra)) != 0)
        return DropReason::fragmentation_no_buffer;
    if (rte_pktmbuf_tailroom(pieces.mbufs[0]) < link + mtu) {
        rte_pktmbuf_free_bulk(pieces.mbufs.data(), static_cast<unsigned>(extra));
        return DropReason::fragmentation_no_buffer;
    }
    pieces.count = extra;

    // 2. The later ones, copied out of the packet; then what is left of it is the first.
    const std::uint16_t word = header.flags_offset.to_host();
    const auto flags_offset = [word](std::size_t begin, bool more) {
        return static_cast<std::uint16_t>(static_cast<std::size_t>(word & ~kIpv4MoreFragments) + begin / 8 +
                                          (more ? kIpv4MoreFragments : 0));
    };
    const bool more_behind = (word & kIpv4MoreFragments) != 0;
    std::size_t begin = first_body;
    for (std::size_t i = 0; i < extra; ++i) {
        rte_mbuf* const mbuf = pieces.mbufs[i];
        const bool last = i + 1 == extra;
        const std::size_t size = last ? body - begin : other_body;
        auto* const frame = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
        std::memcpy(frame, packet.frame().data(), link);
        std::memcpy(frame + link, others.data(), other_header);
        std::memcpy(frame + link + other_header, packet.l3 + first_header + begin, size);
        finish(frame + link, other_header, size, flags_offset(begin, !last || more_behind));
        mbuf->data_len = static_cast<std::uint16_t>(link + other_header + size);
        mbuf->pkt_len = mbuf->data_len;
        begin += size;
    }
    finish(packet.l3, first_header, first_body, flags_offset(0, true));
    packet.l3_length = static_cast<std::uint16_t>(first_header + first_body);
    packet.mbuf->data_len = static_cast<std::uint16_t>(link + packet.l3_length);
    packet.mbuf->pkt_len = packet.mbuf->data_len;
    walk.account.made += extra;
    return std::nullopt;
}

}  // namespace

std::optional<DropReason> send_in_fragments(Walk& walk, Packet& packet, PortId port, std::uint16_t mtu) noexcept {
    Outbox& outbox = walk.worker.outbox[port.index()];
    const std::size_t room = outbox.room_for_fragments();
    Pieces pieces;
    if (const auto reason = cut(walk, packet, mtu, room == 0 ? 0 : room - 1, pieces)) return reason;
    outbox.frames[outbox.count++] = packet.mbuf;
    for (std::size_t i = 0; i < pieces.count; ++i) outbox.frames[outbox.count++] = pieces.mbufs[i];
    return std::nullopt;
}

std::optional<DropReason> cut_to_be_sealed(Walk& walk, std::size_t i, std::uint16_t mtu, Lane& out) noexcept {
    Packet& packet = walk.packets[i];
    if (!packet.frame_from(0)) return DropReason::no_room;
    Pieces pieces;
    if (const auto reason = cut(walk, packet, mtu, kPlaces - walk.count, pieces)) return reason;
    out.add(i);
    for (std::size_t p = 0; p < pieces.count; ++p) {
        Packet& piece = walk.packets[walk.count];
        piece = packet;
        piece.mbuf = pieces.mbufs[p];
        piece.l3 = rte_pktmbuf_mtod(piece.mbuf, std::uint8_t*);
        piece.l3_length = piece.mbuf->data_len;
        piece.mark(Packet::kLaterFragment);
        out.add(walk.count++);
    }
    return std::nullopt;
}

}  // namespace sekisho::dataplane

// A packet in the path: our handle on its buffer and what the stages found out about it; bursts and lanes of packets.
//
// The one place where rte_mbuf appears (ports apart). A Packet owns nothing by itself: whoever takes it out of a burst
// sends it, frees it or keeps it. Worker threads only.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "net/byte_order.hpp"
#include "net/ids.hpp"
#include "net/prefetch.hpp"

namespace sekisho::dataplane {

inline constexpr std::size_t kBurst = 64;    // packets taken from a port at once
inline constexpr std::size_t kResumed = 32;  // packets of our own or released by a neighbour that join a walk
inline constexpr std::size_t kWalkPackets = kBurst + kResumed;
inline constexpr std::size_t kCut = 160;  // fragments that a walk may make to seal them
inline constexpr std::size_t kPlaces = kWalkPackets + kCut;

// Everything that the path knows of one packet: one cache line.
struct alignas(64) Packet {
    Packet() noexcept = default;
    explicit Packet(rte_mbuf* buffer) noexcept : mbuf(buffer) {}

    using LowBits = std::uint16_t;
    static constexpr LowBits low_bits(std::uint64_t number) noexcept { return static_cast<LowBits>(number); }

    rte_mbuf* mbuf = nullptr;
    std::uint8_t* l3 = nullptr;  // the IP header, inside the buffer

    std::uint16_t l3_length = 0;  // from the IP header: total length, or 40 and the payload length
    std::uint16_t l4_offset = 0;  // from l3
    L4Port source_port;           // TCP and UDP; of an ICMP echo both are its identifier; zero otherwise
    L4Port destination_port;
    AttachmentId attachment;  // came by; of a packet of our own: belongs to
    std::uint32_t marks = 0;
    std::uint8_t protocol = 0;  // of L4, after IPv6's extension headers
    std::uint8_t l4_type = 0;   // TCP: the flags; ICMP: the type
    VrfId vrf;                  // the operator space of its attachment

    AttachmentId egress;        // fit; seal: by which the sealed packet leaves
    std::uint32_t who_row = 0;  // admit
    std::uint32_t hub_row = 0;
    NexthopId nexthop;            // fit; seal
    std::uint32_t neighbour = 0;  // depart, of a packet that was held
    // seal, which marks it kSealed: AttachmentId of the egress before, whose path is a tunnel. depart, of a packet that
    // was held and is not sealed: VrfId, whose the egress was then.
    std::uint32_t egress_was = 0;
    // Of generations the low bits: a packet waits for seconds at most.
    LowBits generation = 0;  // depart, of a packet that goes to the keeper: whose nexthop it names
    LowBits decided_in = 0;  // seal, and recall of what has kBySession: whose rows it names

    // Marks.
    static constexpr std::uint32_t kIpv6 = 1;       // the family; otherwise IPv4
    static constexpr std::uint32_t kL4Known = 2;    // protocol, ports and l4_type are of a header that was found whole
    static constexpr std::uint32_t kIcmpError = 4;  // an ICMP error: admitted by what it quotes
    static constexpr std::uint32_t kLinkReady = 8;  // has its Ethernet header: only to be sent
    static constexpr std::uint32_t kGroupFrame = 16;   // came to a multicast or broadcast MAC address
    static constexpr std::uint32_t kRouterError = 32;  // an ICMP error from a router that no map covers
    static constexpr std::uint32_t kReturn = 64;       // our own reply: way back still to be looked up
    static constexpr std::uint32_t kResolved = 128;    // `neighbour` is known
    static constexpr std::uint32_t kArp = 256;
    static constexpr std::uint32_t kOwn = 512;               // our own reply, whose way back is known
    static constexpr std::uint32_t kWaited = 1024;           // was held for a neighbour, maybe in an earlier generation
    static constexpr std::uint32_t kLaterFragment = 2048;    // not a datagram's first: it has no L4 header of its own
    static constexpr std::uint32_t kTooLong = 8192;          // IPv4, and leaves in fragments
    static constexpr std::uint32_t kSyn = 16384;             // TCP's, with or without ACK
    static constexpr std::uint32_t kFollowing = 4096;        // was held for its first fragment: still to be admitted
    static constexpr std::uint32_t kKernelFragment = 32768;  // a fragment for the hub itself: only a kernel takes it
    static constexpr std::uint32_t kSealed = 65536;          // ESP: `l3` is the outer header, kIpv6 its family
    static constexpr std::uint32_t kSealedIpv6 = 131072;     // and what is in it is IPv6
    static constexpr std::uint32_t kBySession = 262144;      // leaves by the rewrite of its session, not by its rows'
    static constexpr std::uint32_t kInUdp = 524288;          // came as ESP in UDP: `l4_offset` is the ESP header's

    // Marks and protocol in one word: all that tells kinds of packets apart.
    static constexpr std::uint64_t kKind = 0xff'ffff'ffff;
    std::uint64_t kind() const noexcept {
        static_assert(std::endian::native == std::endian::little);
        std::uint64_t word;
        std::memcpy(&word, reinterpret_cast<const std::byte*>(this) + offsetof(Packet, marks), sizeof word);
        return word & kKind;
    }
    // Both ports, and the attachment.
    std::uint64_t ends() const noexcept {
        std::uint64_t word;
        std::memcpy(&word, reinterpret_cast<const std::byte*>(this) + offsetof(Packet, source_port), sizeof word);
        return word;
    }

    AttachmentId tunnelled() const noexcept { return AttachmentId(egress_was); }
    VrfId egress_vrf() const noexcept { return VrfId(static_cast<VrfId::Value>(egress_was)); }

    bool is(std::uint32_t mark) const noexcept { return (marks & mark) != 0; }
    void mark(std::uint32_t which) noexcept { marks |= which; }
    void unmark(std::uint32_t which) noexcept { marks &= ~which; }

    std::span<std::uint8_t> frame() noexcept {
        return {rte_pktmbuf_mtod(mbuf, std::uint8_t*), rte_pktmbuf_data_len(mbuf)};
    }
    // The IP packet: exactly its own length, never the padding behind it.
    std::span<std::uint8_t> ip() noexcept { return {l3, l3_length}; }

    // What parse finds of most packets, at once: fields one by one are two instructions each. `ports`: as they
    // lie in the L4 header.
    void set_found(std::uint16_t length, std::uint16_t offset, Be32 ports, AttachmentId by, std::uint32_t all_marks,
                   std::uint8_t l4_protocol, std::uint8_t type, VrfId space) noexcept {
        static_assert(std::endian::native == std::endian::little);
        const std::uint64_t first =
            std::uint64_t{std::rotl(ports.to_host(), 16)} << 32 | std::uint64_t{offset} << 16 | length;
        const std::uint64_t second = std::uint64_t{all_marks} << 32 | by.value();
        const std::uint32_t third = std::uint32_t{space.value()} << 16 | std::uint32_t{type} << 8 | l4_protocol;
        auto* const at = reinterpret_cast<std::byte*>(this) + offsetof(Packet, l3_length);
        std::memcpy(at, &first, sizeof first);
        std::memcpy(at + 8, &second, sizeof second);
        std::memcpy(at + 16, &third, sizeof third);
    }

    // What admit and fit find of a packet: the fields of those names.
    struct Way {
        AttachmentId egress;
        std::uint32_t who_row, hub_row;
        NexthopId nexthop;
    };
    Way way() const noexcept { return {egress, who_row, hub_row, nexthop}; }
    void set_way(const Way& way) noexcept {
        std::memcpy(reinterpret_cast<std::byte*>(this) + offsetof(Packet, egress), &way, sizeof way);
    }

    // Makes the frame begin `header` bytes before the IP header and end with the IP packet. False if there is no room.
    bool frame_from(std::size_t header) noexcept {
        auto* const start = static_cast<std::uint8_t*>(mbuf->buf_addr);
        if (static_cast<std::size_t>(l3 - start) < header) return false;
        mbuf->data_off = static_cast<std::uint16_t>(l3 - start - static_cast<std::ptrdiff_t>(header));
        mbuf->data_len = static_cast<std::uint16_t>(header + l3_length);
        mbuf->pkt_len = mbuf->data_len;
        return true;
    }
};
static_assert(sizeof(Packet) == 64);
// As set_found() has them.
static_assert(offsetof(Packet, l4_offset) == offsetof(Packet, l3_length) + 2 &&
              offsetof(Packet, source_port) == offsetof(Packet, l3_length) + 4 &&
              offsetof(Packet, destination_port) == offsetof(Packet, l3_length) + 6 &&
              offsetof(Packet, attachment) == offsetof(Packet, l3_length) + 8 &&
              offsetof(Packet, marks) == offsetof(Packet, l3_length) + 12 &&
              offsetof(Packet, protocol) == offsetof(Packet, marks) + 4 &&
              offsetof(Packet, l4_type) == offsetof(Packet, marks) + 5 &&
              offsetof(Packet, vrf) == offsetof(Packet, marks) + 6);
// As set_way() has them.
static_assert(offsetof(Packet, who_row) - offsetof(Packet, egress) == offsetof(Packet::Way, who_row) &&
              offsetof(Packet, hub_row) - offsetof(Packet, egress) == offsetof(Packet::Way, hub_row) &&
              offsetof(Packet, nexthop) - offsetof(Packet, egress) == offsetof(Packet::Way, nexthop));

// Packets that share a fate so far, by their place in the walk's array, in order of arrival.
class Lane {
  public:
    // Not a byte: what is written through one may be anything to the compiler, and every table's address would be read
    // again after each packet.
    using Index = std::uint16_t;

    void add(std::size_t packet) noexcept { index_[count_++] = static_cast<Index>(packet); }
    std::size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }
    void clear() noexcept { count_ = 0; }
    const Index* begin() const noexcept { return index_.data(); }
    const Index* end() const noexcept { return index_.data() + count_; }
    std::size_t operator[](std::size_t i) const noexcept { return index_[i]; }

  private:
    std::size_t count_ = 0;
    std::array<Index, kPlaces> index_;
};

// A pool of packet buffers; closed when the last owner lets go.
struct FreeMempool {
    void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
};
using Mempool = std::unique_ptr<rte_mempool, FreeMempool>;

}  // namespace sekisho::dataplane

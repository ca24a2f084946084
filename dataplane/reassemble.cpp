// Stage 2, reassemble: fragments of ESP for the hub become the packet that their sender sealed.
//
// RFC 791 §3.2, RFC 8200 §4.5, RFC 5722; ECN as RFC 3168 §5.3 has it. Of UDP only the first fragment tells whether it
// is ESP: what is not, IKE above all, is the kernel's, which puts its fragments together itself, if they come in order.
#include <algorithm>
#include <cstring>

#include "crypto/marks.hpp"
#include "dataplane/admit.hpp"
#include "dataplane/esp_udp.hpp"
#include "dataplane/stages.hpp"
#include "net/checksum.hpp"

namespace sekisho::dataplane {
namespace {

using Datagram = Reassembly::Datagram;
using State = Reassembly::State;

// From where a buffer's payload begins: room before it for what later stages put there, and for the headers.
constexpr std::size_t kMaxIpv4Header = 60;
constexpr std::size_t kPayloadAt = RTE_PKTMBUF_HEADROOM + sizeof(EthernetHeader) + sizeof(VlanTag) + kMaxIpv4Header;

std::uint8_t* payload_of(rte_mbuf* mbuf) noexcept {
    return static_cast<std::uint8_t*>(mbuf->buf_addr) + kPayloadAt;
}

Reassembly::Key key_of(const Walk& walk, const Packet& packet, const FragmentPlace& place) noexcept {
    const auto mapped = [](Be32 wire) { return Ipv6Address(0, 0xffff'0000'0000ULL | wire.to_host()); };
    const bool ipv6 = packet.is(Packet::kIpv6);
    const auto& four = header_of<Ipv4Address>(packet);
    const auto& six = header_of<Ipv6Address>(packet);
    return {ipv6 ? six.source.address() : mapped(four.source),
            ipv6 ? six.destination.address() : mapped(four.destination),
            place.identification,
            packet.attachment,
            walk.origin,
            packet.protocol,
            ipv6};
}

std::uint8_t ecn_of(const Packet& packet) noexcept {
    const std::uint32_t marks = packet.is(Packet::kIpv6)
                                    ? header_of<Ipv6Address>(packet).version_class_flow.to_host() >> 20
                                    : header_of<Ipv4Address>(packet).dscp_ecn;
    return static_cast<std::uint8_t>(marks & crypto::kEcnMask);
}

// Whether a first fragment is of ESP, and not the kernel's.
bool is_esp(const Walk& walk, Packet& packet, std::size_t payload_offset) noexcept {
    if (packet.protocol == kProtocolEsp) return true;
    const std::span<const std::uint8_t> udp = packet.ip().subspan(payload_offset);
    return packet.destination_port == walk.tables.attachments[packet.attachment.index()].esp_port &&
           udp.size() > sizeof(UdpHeader) && udp_payload(udp.subspan(sizeof(UdpHeader))) == UdpPayload::esp;
}

// What the hub held for the datagram is lost.
void lose(Walk& walk, Datagram& datagram, DropReason reason) noexcept {
    PortCounters& account = walk.worker.counters.ports[datagram.key.origin.index()];
    --account.held;
    ++account.dropped[static_cast<std::size_t>(reason)];
    rte_pktmbuf_free(datagram.mbuf);
    datagram.mbuf = nullptr;
}
// And so is whatever else comes of it.
void refuse(Walk& walk, Datagram& datagram, DropReason reason) noexcept {
    lose(walk, datagram, reason);
    datagram.state = State::refused;
    datagram.reason = reason;
}

Datagram& add(Walk& walk, const Reassembly::Key& key) noexcept {
    return walk.worker.reassembly.add(
        key, walk.now, [&](Datagram& oldest) noexcept { lose(walk, oldest, DropReason::reassembly_full); });
}

// Nothing, if there is no buffer.
Datagram* begin(Walk& walk, const Reassembly::Key& key) noexcept {
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(walk.worker.pool);
    if (mbuf == nullptr) return nullptr;
    Datagram& datagram = add(walk, key);
    datagram.mbuf = mbuf;
    ++walk.account.made;
    ++walk.account.held;
    return &datagram;
}

std::optional<DropReason> reason_of(Coverage::Outcome outcome) noexcept {
    switch (outcome) {
        case Coverage::Outcome::added: return std::nullopt;
        case Coverage::Outcome::known: return DropReason::fragment_duplicate;
        case Coverage::Outcome::overlaps: return DropReason::fragment_overlap;
        case Coverage::Outcome::scattered: break;
    }
    return DropReason::fragment_scattered;
}

// The first fragment's headers, without what tells of fragments, lie right before the payload.
void take_headers(Datagram& datagram, Packet& packet) noexcept {
    const std::span<std::uint8_t> frame = packet.frame();
    const auto link = static_cast<std::size_t>(packet.l3 - frame.data());
    const bool ipv6 = packet.is(Packet::kIpv6);
    const std::size_t ip = ipv6 ? sizeof(Ipv6Header) : packet.l4_offset;
    datagram.link_length = static_cast<std::uint16_t>(link);
    datagram.ip_length = static_cast<std::uint16_t>(ip);
    std::memcpy(payload_of(datagram.mbuf) - ip - link, frame.data(), link + ip);
    if (ipv6)
        reinterpret_cast<Ipv6Header*>(payload_of(datagram.mbuf) - ip)->next_header = packet.protocol;
    else
        reinterpret_cast<Ipv4Header*>(payload_of(datagram.mbuf) - ip)->flags_offset = Be16();
}

// The frame is as if it had come whole. RFC 3168 §5.3: congestion that one fragment met, the packet met; false: it
// cannot say so.
bool finish(Datagram& datagram) noexcept {
    const bool congested = (datagram.ecn_seen >> crypto::kCe & 1) != 0;
    if (congested && (datagram.ecn_seen >> crypto::kNotEct & 1) != 0) return false;
    std::uint8_t* const ip = payload_of(datagram.mbuf) - datagram.ip_length;
    const auto length = static_cast<std::uint16_t>(datagram.ip_length + datagram.end);
    if (datagram.key.ipv6) {
        auto& header = *reinterpret_cast<Ipv6Header*>(ip);
        header.payload_length = Be16::from_host(datagram.end);
        if (congested)
            header.version_class_flow =
                Be32::from_host(header.version_class_flow.to_host() | std::uint32_t{crypto::kCe} << 20);
    } else {
        auto& header = *reinterpret_cast<Ipv4Header*>(ip);
        header.total_length = Be16::from_host(length);
        if (congested) header.dscp_ecn |= crypto::kCe;
        header.checksum = Be16();
        header.checksum = checksum_of({ip, datagram.ip_length});
    }
    const auto* const buffer = static_cast<const std::uint8_t*>(datagram.mbuf->buf_addr);
    datagram.mbuf->data_off = static_cast<std::uint16_t>(ip - buffer - datagram.link_length);
    datagram.mbuf->data_len = static_cast<std::uint16_t>(datagram.link_length + length);
    datagram.mbuf->pkt_len = datagram.mbuf->data_len;
    return true;
}

void take_fragment(Walk& walk, std::size_t i, const ParseOut& out) noexcept {
    Packet& packet = walk.packets[i];
    const FragmentPlace place = walk.worker.places[i];
    const std::size_t offset = packet.l4_offset;  // of the fragment's payload
    const bool first = place.begin == 0;
    const bool esp = !first || is_esp(walk, packet, offset);

    // 1. Its datagram.
    const Reassembly::Key key = key_of(walk, packet, place);
    Datagram* datagram = walk.worker.reassembly.find(key);
    if (datagram != nullptr && datagram->state == State::gathering && !esp)
        refuse(walk, *datagram, DropReason::fragment_to_hub);  // what came before its first has no way back
    if (datagram == nullptr) {
        datagram = esp ? begin(walk, key) : &add(walk, key);
        if (datagram == nullptr) return walk.drop(i, DropReason::reassembly_full);
        if (!esp) datagram->state = State::of_kernel;
    }
    if (datagram->state == State::refused) return walk.drop(i, datagram->reason);
    if (datagram->state == State::of_kernel) {
        packet.mark(Packet::kKernelFragment);
        return out.local.add(i);
    }

    // 2. Its place there. RFC 5722 §4: what contradicts another loses them all; a copy only itself.
    const std::size_t length = packet.l3_length - offset;
    if (place.begin + length > datagram->mbuf->buf_len - kPayloadAt) {
        refuse(walk, *datagram, DropReason::reassembly_too_long);
        return walk.drop(i, DropReason::reassembly_too_long);
    }
    if (const auto reason = reason_of(datagram->coverage.add(place.begin, place.end, place.last))) {
        if (*reason != DropReason::fragment_duplicate) refuse(walk, *datagram, *reason);
        return walk.drop(i, *reason);
    }
    std::memcpy(payload_of(datagram->mbuf) + place.begin, packet.l3 + offset, length);
    datagram->ecn_seen |= static_cast<std::uint8_t>(1U << ecn_of(packet));
    if (first) take_headers(*datagram, packet);
    if (place.last) datagram->end = place.end;
    walk.consume(i);
    if (!datagram->coverage.complete()) return;

    // 3. All of it is there: it goes on in the last one's place.
    if (!finish(*datagram)) {
        lose(walk, *datagram, DropReason::ecn_refused);
    } else {
        --walk.account.held;
        packet = Packet(datagram->mbuf);
        parse_whole(walk, i, out);
    }
    walk.worker.reassembly.forget(*datagram);
}

}  // namespace

void reassemble(Walk& walk, const Lane& in, ParseOut out) noexcept {
    for (const std::size_t i : in) take_fragment(walk, i, out);
}

void expire_reassembly(Walk& walk) noexcept {
    walk.worker.reassembly.expire(walk.now,
                                  [&](Datagram& late) noexcept { lose(walk, late, DropReason::reassembly_timeout); });
}

}  // namespace sekisho::dataplane

// Stage 4 for most packets, recognise: flows that were admitted lately; and remember, which puts them into the cache.
//
// What is found there is what admit, fit and translate would find again, so nothing is looked up but the flow. TTL,
// length and TCP's flags are each packet's own and are looked at each time.
#include "dataplane/admit.hpp"
#include "dataplane/flow_cache.hpp"
#include "dataplane/stages.hpp"
#include "nat/rewrite.hpp"
#include "net/unset.hpp"

namespace sekisho::dataplane {
namespace {

// The marks of all packets that are looked for.
template <class Address>
constexpr std::uint32_t kMarks = Packet::kL4Known | (Address::kFamily == Family::ipv6 ? Packet::kIpv6 : 0);

std::uint8_t hops_left(const Ipv4Header& header) noexcept {
    return header.ttl;
}
std::uint8_t hops_left(const Ipv6Header& header) noexcept {
    return header.hop_limit;
}

template <class Address>
bool is_like_the_others(const Packet& packet, const CachedFlow<Address>& flow) noexcept {
    constexpr std::uint8_t kGiven = kTcpAck | kTcpRst;
    return packet.marks == kMarks<Address> && hops_left(header_of<Address>(packet)) > 1 &&
           packet.l3_length <= flow.mtu && ((packet.l4_type | flow.flags_given) & kGiven) != 0;
}

// Whether other packets of its flow go the same way. Sessions, fragments, SYNs and errors have marks of their own.
template <class Address>
bool is_to_be_remembered(const Packet& packet) noexcept {
    return packet.marks == kMarks<Address> && (packet.protocol == kProtocolTcp || packet.protocol == kProtocolUdp);
}

}  // namespace

template <class Address>
void recognise(Walk& walk, const Lane& in, RecogniseOut out) noexcept {
    FlowCache& cache = *walk.worker.flow_cache;
    CachedFlows<Address>& flows = cache.of<Address>();
    const std::uint32_t epoch = cache.epoch();
    const std::size_t count = in.size();
    Unset<FlowKey<Address>, kWalkPackets> keys;
    std::array<typename CachedFlows<Address>::Place, kWalkPackets> places;
    for (std::size_t n = 0; n < count; ++n) {
        keys[n] = FlowKey<Address>(walk.packets[in[n]]);
        places[n] = flows.place_of(keys[n]);
        const auto* const entry = reinterpret_cast<const std::byte*>(&flows[places[n]]);
        for (std::size_t line = 0; line < sizeof(CachedFlow<Address>); line += 64) prefetch(entry + line);
    }
    for (std::size_t n = 0; n < count; ++n) {
        const std::size_t i = in[n];
        Packet& packet = walk.packets[i];
        const CachedFlow<Address>* const flow = flows.find(places[n], keys[n], epoch);
        if (flow == nullptr || !is_like_the_others(packet, *flow)) {
            out.strangers.add(i);
            continue;
        }
        packet.set_way(flow->way);
        nat::forward_header(header_of<Address>(packet), flow->source, flow->destination, flow->delta);
        nat::adjust_l4_checksum(packet.ip().subspan(packet.l4_offset), packet.protocol,
                                Address::kFamily == Family::ipv6, flow->delta);
        (flow->tunnelled ? out.tunnelled : out.fitting).add(i);
    }
    flows.worth.found(count - out.strangers.size());
}

template <class Address>
void remember(Walk& walk, const Lane& in) noexcept {
    FlowCache& cache = *walk.worker.flow_cache;
    CachedFlows<Address>& flows = cache.of<Address>();
    const FamilyTables<Address>& family = walk.tables.family<Address>();
    for (const std::size_t i : in) {
        const Packet& packet = walk.packets[i];
        if (!is_to_be_remembered<Address>(packet)) continue;
        const FlowKey<Address> key(packet);
        const auto& header = header_of<Address>(packet);
        const nat::PrefixMap<Address>& to_hub = family.who_rows[packet.who_row].to_hub;
        const nat::PrefixMap<Address>& to_operator = family.hub_rows[packet.hub_row].to_operator;
        const Attachment& egress = walk.tables.attachments[packet.egress.index()];
        CachedFlow<Address>& flow = flows.entry_for(key, cache.epoch());
        flow.key = key;
        flow.epoch = cache.epoch();
        flow.mtu = egress.mtu;
        // It may have passed against its agreement's direction, because it has one of them.
        flow.flags_given = (packet.l4_type & (kTcpAck | kTcpRst)) == 0 ? kTcpAck : 0;
        flow.tunnelled = egress.tunnel != TunnelId();
        flow.way = packet.way();
        flow.source = to_hub.apply(address_of(header.source));
        flow.destination = to_operator.apply(address_of(header.destination));
        flow.delta = to_hub.checksum() + to_operator.checksum();
    }
}

template void recognise<Ipv4Address>(Walk&, const Lane&, RecogniseOut) noexcept;
template void recognise<Ipv6Address>(Walk&, const Lane&, RecogniseOut) noexcept;
template void remember<Ipv4Address>(Walk&, const Lane&) noexcept;
template void remember<Ipv6Address>(Walk&, const Lane&) noexcept;

}  // namespace sekisho::dataplane

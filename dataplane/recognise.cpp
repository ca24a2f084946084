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

// Whether this packet of the flow goes the way that others went. That it has no other marks is in the key.
template <class Address>
bool goes_like_others(const Packet& packet, const CachedFlow<Address>& flow) noexcept {
    constexpr std::uint8_t kGiven = kTcpAck | kTcpRst;
    return ttl_of(header_of<Address>(packet)) > 1 && packet.l3_length <= flow.mtu &&
           ((packet.l4_type | flow.flags_given) & kGiven) != 0;
}

// Its header of TCP or UDP has been found whole.
template <class Address>
void rewrite(Packet& packet, const CachedFlow<Address>& flow) noexcept {
    std::memcpy(packet.l3 + FlowKey<Address>::kOffset, flow.addresses.data(), sizeof flow.addresses);
    nat::take_one_hop(header_of<Address>(packet), flow.delta);
    const std::size_t at =
        packet.l4_offset + (flow.is_udp ? offsetof(UdpHeader, checksum) : offsetof(TcpHeader, checksum));
    nat::adjust_checksum(*reinterpret_cast<Be16*>(packet.l3 + at), flow.is_udp, flow.delta);
}

}  // namespace

template <class Address>
void recognise(Walk& walk, const Lane& in, RecogniseOut out) noexcept {
    FlowCache& cache = *walk.worker.flow_cache;
    CachedFlows<Address>& flows = cache.of<Address>();
    const typename CachedFlows<Address>::Finder finder = flows.finder();
    const std::uint32_t epoch = cache.epoch();
    Packet* const packets = walk.packets.data();
    const std::size_t count = in.size();
    Unset<FlowKey<Address>, kWalkPackets> keys;
    std::array<typename CachedFlows<Address>::Place, kWalkPackets> places;
    for (std::size_t n = 0; n < count; ++n) {
        keys[n] = FlowKey<Address>(packets[in[n]], epoch);
        places[n] = flows.place_of(keys[n]);
        finder.expect(places[n]);
    }
    for (std::size_t n = 0; n < count; ++n) {
        const std::size_t i = in[n];
        Packet& packet = packets[i];
        const CachedFlow<Address>* const flow = finder.find(places[n], keys[n]);
        if (flow == nullptr || !goes_like_others(packet, *flow)) {
            out.strangers.add(i);
            continue;
        }
        packet.set_way(flow->way);
        rewrite(packet, *flow);
        (flow->tunnelled ? out.tunnelled : out.fitting).add(i);
    }
    flows.worth.found(count - out.strangers.size());
}

template <class Address>
void remember(Walk& walk, const Lane& in) noexcept {
    FlowCache& cache = *walk.worker.flow_cache;
    const FamilyTables<Address>& family = walk.tables.family<Address>();
    for (const std::size_t i : in) {
        const Packet& packet = walk.packets[i];
        const FlowKey<Address> key(packet, cache.epoch());
        if (!key.may_be_kept()) continue;
        typename FamilyHeader<Address>::type header = header_of<Address>(packet);
        const nat::PrefixMap<Address>& to_hub = family.who_rows[packet.who_row].to_hub;
        const nat::PrefixMap<Address>& to_operator = family.hub_rows[packet.hub_row].to_operator;
        const Attachment& egress = walk.tables.attachments[packet.egress.index()];
        CachedFlow<Address>& flow = cache.of<Address>().entry_for(key);
        flow.key = key;
        flow.way = packet.way();
        flow.delta = to_hub.checksum() + to_operator.checksum();
        nat::set_addresses(header, to_hub.apply(address_of(header.source)),
                           to_operator.apply(address_of(header.destination)), flow.delta);
        std::memcpy(flow.addresses.data(), &header.source, sizeof flow.addresses);
        flow.mtu = egress.mtu;
        // It may have passed against its agreement's direction, because it has one of them.
        flow.flags_given = (packet.l4_type & (kTcpAck | kTcpRst)) == 0 ? kTcpAck : 0;
        flow.tunnelled = egress.tunnel != TunnelId();
        flow.is_udp = packet.protocol == kProtocolUdp;
    }
}

template void recognise<Ipv4Address>(Walk&, const Lane&, RecogniseOut) noexcept;
template void recognise<Ipv6Address>(Walk&, const Lane&, RecogniseOut) noexcept;
template void remember<Ipv4Address>(Walk&, const Lane&) noexcept;
template void remember<Ipv6Address>(Walk&, const Lane&) noexcept;

}  // namespace sekisho::dataplane

// `explain`: builds the imagined packet, walks it through the real stages, and says after each what it decided.
#include "dataplane/explain.hpp"

#include <fmt/format.h>
#include <rte_cycles.h>

#include "dataplane/admit.hpp"
#include "dataplane/esp_udp.hpp"
#include "dataplane/imagined_frame.hpp"
#include "dataplane/stages.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {
namespace {

std::string words_of(const SaInfo& sa) {
    return fmt::format("SPI 0x{:08x}, {}{}{}", sa.spi.value(), crypto::name_of(sa.suite), sa.esn ? ", ESN" : "",
                       sa.over ? ", its lifetime is over" : "");
}
std::string words_of(const crypto::Selector& selector) {
    std::string words = fmt::format("{} -> {}", selector.remote.text(), selector.local.text());
    if (selector.protocol) words += fmt::format(" protocol {}", *selector.protocol);
    const auto ports = [&](const char* whose, const crypto::PortRange& range) {
        if (!range.is_any()) words += fmt::format(" {} {}-{}", whose, range.first, range.last);
    };
    ports("from port", selector.remote_ports);
    ports("to port", selector.local_ports);
    return words;
}

// Where a tunnel's packets come from or go to now.
std::string peer_text(const Tunnel& tunnel, const PeerWord* word) {
    if (!tunnel.in_udp) return tunnel.peer.text();
    return peer_of(tunnel, word).text() + " in UDP";
}

// One imagined packet on its way.
class Journey {
  public:
    Journey(const Tables& tables, const Associations* associations, const Explanation::Names& names, rte_mempool* pool,
            PortId port)
        : tables_(tables),
          associations_(associations),
          names_(names),
          state_(port.index() + 1, pool, rte_get_tsc_hz()),
          walk_(tables, state_, port, rte_rdtsc()) {
        state_.imagines = true;
    }
    ~Journey() {
        for (Packet packet; state_.resume[walk_.origin.index()].pop(packet);) rte_pktmbuf_free(packet.mbuf);
    }

    Walk& walk() noexcept { return walk_; }

    // `attachment`: that it comes by.
    Explanation run(AttachmentId came_by) {
        Lane esp, to_hub, ipv4, ipv6, errors4, errors6, fragments;  // no fragment is imagined: that lane stays empty
        const ParseOut parsed{fragments, esp, to_hub, ipv4, ipv6, errors4, errors6, fragments, fragments};
        if (tables_.attachments[came_by.index()].tunnel == TunnelId())
            parse(walk_, parsed);
        else
            come_through(came_by, parsed);
        if (!esp.empty()) {
            say("parse",
                "ESP for the hub itself: what is in it cannot be imagined; explain it by its tunnel's attachment");
            walk_.consume(0);
            return finish();
        }
        if (!to_hub.empty()) {
            say("parse", "for the hub itself");
            local(walk_, to_hub);
            if (!ended())
                say("local", walk_.account.punted != 0 ? "the kernel's: by the attachment's TAP" : "answered here");
            return finish();
        }
        if (ended()) return finish();
        const Packet& packet = walk_.packets[0];
        const Attachment& attachment = tables_.attachments[packet.attachment.index()];
        say("parse", fmt::format("well formed; attachment {} of operator space {}",
                                 names_.attachment(packet.attachment), names_.vrf(attachment.vrf)));
        if (packet.is(Packet::kIpv6))
            forward<Ipv6Address>(ipv6, errors6);
        else
            forward<Ipv4Address>(ipv4, errors4);
        return finish();
    }

  private:
    void say(const char* stage, std::string words) { result_.steps.push_back({stage, std::move(words)}); }
    bool ended() const noexcept { return walk_.account.total_dropped() != 0; }

    // By a tunnel: what the packet would have been inside of.
    void come_through(AttachmentId came_by, ParseOut out) {
        const TunnelId id = tables_.attachments[came_by.index()].tunnel;
        Packet& packet = walk_.packets[0];
        packet.l3 = rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*);
        packet.l3_length = packet.mbuf->data_len;
        if (id.index() >= tables_.tunnels.size() || !tables_.tunnels[id.index()].exists || associations_ == nullptr)
            return walk_.drop(0, DropReason::sa_unknown);
        const Tunnel& tunnel = tables_.tunnels[id.index()];
        say("parse",
            fmt::format("inside ESP from {} to {}, by attachment {}", peer_text(tunnel, associations_->peer_word(id)),
                        tunnel.local.text(), names_.attachment(tunnel.underlay)));
        bool any = false, matches = false;
        for (const SaInfo& sa : associations_->list(id)) {
            if (sa.outbound) continue;
            const auto found = associations_->sad().at(sa.spi);
            const bool takes = found != nullptr && !sa.over && found->selectors().match_inbound(packet.ip());
            any = true;
            matches = matches || takes;
            std::string selectors;
            for (const crypto::Selector& selector : sa.selectors)
                selectors += (selectors.empty() ? "" : ", ") + words_of(selector);
            say("open", fmt::format("SA with {}; selectors {}: {}", words_of(sa), selectors,
                                    takes ? "may carry it" : "may not carry it"));
        }
        if (!any) return walk_.drop(0, DropReason::sa_unknown);
        if (!matches) return walk_.drop(0, DropReason::selector_mismatch);
        parse_inner(walk_, 0, came_by, packet.ip(), (*packet.l3 >> 4) == 6 ? Family::ipv6 : Family::ipv4, out);
    }

    // Into a tunnel: what would be put around the packet. Nothing is sealed.
    void leave_sealed(AttachmentId egress) {
        const TunnelId id = tables_.attachments[egress.index()].tunnel;
        const bool exists = id.index() < tables_.tunnels.size() && tables_.tunnels[id.index()].exists;
        if (!exists || associations_ == nullptr) return walk_.drop(0, DropReason::sa_missing);
        const Tunnel& tunnel = tables_.tunnels[id.index()];
        for (const SaInfo& sa : associations_->list(id)) {
            if (!sa.outbound) continue;
            say("seal", fmt::format("ESP from {} to {}, by attachment {}, MTU {}; SA with {}", tunnel.local.text(),
                                    peer_text(tunnel, associations_->peer_word(id)), names_.attachment(tunnel.underlay),
                                    std::uint16_t{tables_.attachments[tunnel.underlay.index()].mtu}, words_of(sa)));
            if (sa.over) return walk_.drop(0, DropReason::sa_expired);
            const std::size_t inner =
                std::min<std::size_t>(walk_.packets[0].l3_length, tables_.attachments[egress.index()].mtu);
            const UdpEndpoint peer = peer_of(tunnel, associations_->peer_word(id));
            const bool moved = peer.address != tunnel.peer;
            if (const auto reason = take_tunnel_way(tables_, walk_.packets[0], id, moved ? &peer.address : nullptr))
                return walk_.drop(0, *reason);
            if (crypto::OutboundSa::sealed_length(inner, tunnel.local.family()) +
                    (tunnel.in_udp ? sizeof(UdpHeader) : 0) >
                tables_.attachments[walk_.packets[0].egress.index()].mtu)
                return walk_.drop(0, DropReason::packet_too_big);
            const Nexthop& way = tables_.nexthops[walk_.packets[0].nexthop.index()];
            result_.egress = egress;
            result_.next_hop = way.kind != Nexthop::Kind::gateway ? peer.address.text()
                               : way.family == Family::ipv4       ? way.gateway4.text()
                                                                  : way.gateway6.text();
            say("depart",
                fmt::format("next hop {} on attachment {}", result_.next_hop, names_.attachment(way.attachment)));
            return;
        }
        walk_.drop(0, DropReason::sa_missing);
    }

    template <class Address>
    void forward(const Lane& in, const Lane& errors) {
        const FamilyTables<Address>& family = tables_.family<Address>();
        Packet& packet = walk_.packets[0];
        const Address source = address_of(header_of<Address>(packet).source);
        const Address destination = address_of(header_of<Address>(packet).destination);
        say_rows(family, packet, source, destination);
        Lane admitted, unsettled;
        admit<Address>(walk_, in, {admitted, unsettled});
        if (!unsettled.empty()) {
            if (says_behind<Address>(family, packet))
                say("recall",
                    "by a session, which holds addresses and ports: passes if it opens one, or is of one that "
                    "there is; none is imagined");
            else
                say("recall", walk_.reasons[0] == DropReason::no_session
                                  ? "of a tracked agreement: passes if it opens a session, or is of one that there is"
                                  : "passes if it is of a session that there is; none is imagined");
            recall<Address>(walk_, unsettled, admitted);
        }
        admit_errors<Address>(walk_, errors, admitted);
        if (admitted.empty()) return;
        say("admit", "an agreement lets it pass");
        Lane fitting, too_long, tunnelled;
        fit<Address>(walk_, admitted, {fitting, too_long, tunnelled});
        if (fitting.empty() && too_long.empty() && tunnelled.empty()) return;
        const Nexthop& nexthop = tables_.nexthops[packet.nexthop.index()];
        const Attachment& egress = tables_.attachments[packet.egress.index()];
        say("fit", fmt::format("TTL {} is enough; leaves by attachment {}, MTU {}, {}", ttl_,
                               names_.attachment(packet.egress), std::uint16_t{egress.mtu},
                               !tunnelled.empty()                       ? "through its tunnel"
                               : nexthop.kind == Nexthop::Kind::gateway ? "by a gateway"
                                                                        : "to a neighbour"));
        say_group<Address>(family, packet, target_of<Address>(walk_, 0));
        if (packet.l3_length > egress.mtu) say("fit", "longer than that: leaves in fragments");
        translate<Address>(walk_, !fitting.empty() ? fitting : !too_long.empty() ? too_long : tunnelled);
        result_.source = address_of(header_of<Address>(packet).source).text();
        result_.destination = address_of(header_of<Address>(packet).destination).text();
        say("translate", fmt::format("{} -> {} becomes {} -> {}{}", source.text(), destination.text(), result_.source,
                                     result_.destination, ports_words(packet)));
        if (!tunnelled.empty()) return leave_sealed(packet.egress);
        result_.egress = packet.egress;
        if (nexthop.kind == Nexthop::Kind::connected)
            result_.next_hop = result_.destination;
        else
            result_.next_hop = nexthop.family == Family::ipv4 ? nexthop.gateway4.text() : nexthop.gateway6.text();
        say("depart", fmt::format("next hop {}", result_.next_hop));
    }

    template <class Address>
    bool says_behind(const FamilyTables<Address>& family, const Packet& packet) const {
        return family.who_rows[packet.who_row].is_behind() || family.hub_rows[packet.hub_row].is_pool();
    }
    // The port of a block is one that could have been lent.
    std::string ports_words(const Packet& packet) const {
        if (!packet.is(Packet::kBySession)) return "";
        const auto& rewrite = walk_.worker.rewrites[0];
        return fmt::format(", ports {} -> {} become {}{} -> {}", packet.source_port.value(),
                           packet.destination_port.value(), state_.imagined_ports ? "one of its block, like " : "",
                           rewrite.source_port, rewrite.destination_port);
    }

    // Where the way has several nexthops: which there are, and what they are worth now.
    template <class Address>
    void say_group(const FamilyTables<Address>& family, const Packet& packet, const Address& target) {
        const HubRow<Address>& row = family.hub_rows[packet.hub_row];
        NexthopId way = row.nexthop;
        if (way == kResolve) way = NexthopId(family.where.find(row.vrf.value(), target));
        if (tables_.nexthops[way.index()].kind != Nexthop::Kind::group) return;
        const std::uint32_t number = tables_.nexthops[way.index()].group;
        const NexthopGroup& group = tables_.groups[number];
        const unsigned usable = tables_.usable_members[number].load(std::memory_order_relaxed);
        const unsigned in_use = group.in_use(static_cast<NexthopGroup::Usable>(usable));
        std::string words;
        for (std::size_t m = 0; m < group.size(); ++m) {
            const Nexthop& member = tables_.nexthops[group.member(m).nexthop.index()];
            const std::string by = member.kind == Nexthop::Kind::connected ? "connected"
                                   : member.kind == Nexthop::Kind::tunnel  ? "a tunnel"
                                   : member.family == Family::ipv4         ? member.gateway4.text()
                                                                           : member.gateway6.text();
            words += fmt::format("{}{} on {} ({}{}{})", m == 0 ? "" : ", ", by, names_.attachment(member.attachment),
                                 group.member(m).backup ? "backup, " : "",
                                 (usable >> m & 1) == 0   ? "withdrawn"
                                 : (in_use >> m & 1) != 0 ? "in use"
                                                          : "usable",
                                 group.member(m).nexthop == packet.nexthop ? ", this flow's" : "");
        }
        say("fit", fmt::format("one of {} nexthops, by the flow: {}", group.size(), words));
    }

    template <class Address>
    std::string closed_words(const FamilyTables<Address>& family, lpm::Row who) const {
        return tables_.is_closed(family.who_rows[who].institution) ? ", closed by a gate" : "";
    }
    // Of a row that is a pool's, or behind one.
    template <class Address>
    std::string behind_words(const HubRow<Address>& row) const {
        const PortPoolRow& pool = tables_.port_pools[row.pool - 1U];
        return fmt::format("behind port block {} ({}, {} blocks each {}, filtering {})", pool.shares->name(),
                           pool.shares->addresses().text(), pool.rules.blocks_each,
                           pool.shares->by_institution() ? "institution" : "host",
                           nat::kFilteringNames[static_cast<std::size_t>(pool.rules.filtering)]);
    }

    // What the two lookups give, whatever admit makes of it.
    template <class Address>
    void say_rows(const FamilyTables<Address>& family, const Packet& packet, const Address& source,
                  const Address& destination) {
        const lpm::Row who = family.who.find(packet.vrf.value(), source);
        const lpm::Row hub = family.hub.find(lpm::TableId{0}, destination);
        ttl_ = ttl_of(packet);
        say("admit", who == lpm::kNoRow ? fmt::format("who: {} belongs to no institution", source.text())
                                        : fmt::format("who: {} is {} of institution {}{}", source.text(),
                                                      family.who_rows[who].is_behind()
                                                          ? behind_words(family.hub_rows[family.who_rows[who].behind])
                                                          : family.who_rows[who].to_hub.apply(source).text(),
                                                      names_.institution(family.who_rows[who].institution),
                                                      closed_words(family, who)));
        if (hub == lpm::kNoRow)
            say("admit", fmt::format("hub: {} is nobody's", destination.text()));
        else if (family.hub_rows[hub].is_pool())
            say("admit", fmt::format("hub: {} is shared, {}: a session, a static map or a lent port says whose",
                                     destination.text(), behind_words(family.hub_rows[hub])));
        else
            say("admit",
                fmt::format("hub: {} is {} of institution {}, operator space {}{}", destination.text(),
                            family.hub_rows[hub].to_operator.apply(destination).text(),
                            names_.institution(family.hub_rows[hub].institution), names_.vrf(family.hub_rows[hub].vrf),
                            tables_.is_closed(family.hub_rows[hub].institution) ? ", closed by a gate" : ""));
        if (who == lpm::kNoRow || hub == lpm::kNoRow || family.hub_rows[hub].is_pool()) return;
        const Matrix& matrix = tables_.matrices[packet.vrf.index()];
        const auto permission = matrix.cell(family.who_rows[who].matrix_row, family.hub_rows[hub].group);
        say("admit",
            fmt::format("matrix: row {}, group {}: {}", family.who_rows[who].matrix_row, family.hub_rows[hub].group,
                        permission == Permissions::kNothing ? std::string("no agreement")
                                                            : fmt::format("permission {}", permission)));
    }
    static int ttl_of(const Packet& packet) noexcept {
        return packet.is(Packet::kIpv6) ? header_of<Ipv6Address>(packet).hop_limit : header_of<Ipv4Address>(packet).ttl;
    }

    Explanation finish() {
        if (ended()) {
            result_.dropped = walk_.reasons[0];
            const DropReasonText& text = text_of(walk_.reasons[0]);
            say("drop", fmt::format("{}: {} (rule {})", text.name, text.sentence, text.rule));
            if (walk_.account.made != 0) result_.error = error_text();
        } else if (result_.egress) {
            rte_pktmbuf_free(walk_.packets[0].mbuf);
        }
        return std::move(result_);
    }
    // Type and code of the error that was made.
    std::string error_text() {
        Packet error;
        if (!state_.resume[walk_.origin.index()].pop(error)) return "";
        const bool ipv6 = error.is(Packet::kIpv6);
        const std::uint8_t* const icmp = error.l3 + (ipv6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header));
        std::string text = fmt::format("{} {}/{}", ipv6 ? "ICMPv6" : "ICMP", icmp[0], icmp[1]);
        rte_pktmbuf_free(error.mbuf);
        return text;
    }

    const Tables& tables_;
    const Associations* associations_;
    const Explanation::Names& names_;
    WorkerState state_;
    Walk walk_;
    Explanation result_;
    int ttl_ = 0;
};

}  // namespace

Expected<Explanation> explain(const Tables& tables, const Associations* associations, const ImaginedPacket& imagined,
                              const Explanation::Names& names, rte_mempool* pool) {
    if (imagined.source.family() != imagined.destination.family())
        return Error{ErrorCode::invalid, "source " + imagined.source.text() + " and destination " +
                                             imagined.destination.text() + " are not of one family"};
    if (imagined.attachment.index() >= tables.attachments.size())
        return Error{ErrorCode::not_found, "no such attachment in the running generation"};
    const Attachment& attachment = tables.attachments[imagined.attachment.index()];
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool);
    if (mbuf == nullptr) return Error{ErrorCode::unavailable, "no packet buffer is free"};
    const bool tunnelled = attachment.tunnel != TunnelId();
    const std::size_t length =
        write_frame(imagined, attachment, rte_pktmbuf_mtod(mbuf, std::uint8_t*), rte_pktmbuf_tailroom(mbuf));
    const std::size_t link = tunnelled ? sizeof(EthernetHeader) : 0;  // there is none inside a tunnel
    mbuf->data_off = static_cast<std::uint16_t>(mbuf->data_off + link);
    mbuf->data_len = static_cast<std::uint16_t>(length - link);
    mbuf->pkt_len = mbuf->data_len;
    const auto journey = std::make_unique<Journey>(tables, associations, names, pool, attachment.port);
    journey->walk().packets[0].mbuf = mbuf;
    journey->walk().received = journey->walk().count = 1;
    return journey->run(imagined.attachment);
}

}  // namespace sekisho::dataplane

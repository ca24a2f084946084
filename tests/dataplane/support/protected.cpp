// The hub's SAs, and what its peer sees.
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {

ProtectedHub::ProtectedHub(const Policy& policy, const ProtectedOptions& options, bool with_associations)
    : StandardHub(policy),
      in(esp_key(0x1001, options.suite, options.esn)),
      out(esp_key(0x2001, options.suite, options.esn)),
      options_(options),
      peer_address_(policy.line("higashi").peer) {
    tailroom(crypto::OutboundSa::kTailroom);
    know("higashi-line", "203.0.113.2", kHigashiGateway);
    know("higashi-line", "2001:db8:99::2", kHigashiGateway);
    if (policy.line("higashi").local_port != 0) REQUIRE(associations()->let_peer_move(kHigashiTunnel, true));
    if (!with_associations) return;
    install_inbound(in);
    install_outbound(out);
}

void ProtectedHub::install_inbound(const EspKey& key, TunnelId tunnel) {
    crypto::InboundConfig config{key.spi, key.suite, key.esn};
    config.selectors = options_.selectors;
    config.tunnel = tunnel;
    config.lifetime = options_.lifetime;
    const auto added = associations()->add_inbound(config, Secret(key.keying), {});
    INFO((added ? "" : added.error().words));
    REQUIRE(added);
}

void ProtectedHub::install_outbound(const EspKey& key, TunnelId tunnel, std::uint64_t start) {
    crypto::OutboundConfig config{key.spi, key.suite, key.esn};
    config.local = address(ends().hub);
    config.peer = address(ends().peer);
    config.lifetime = options_.lifetime;
    config.marks = options_.marks;
    auto sa = associations()->make_outbound(config, Secret(key.keying));
    INFO((sa ? "" : sa.error().words));
    REQUIRE(sa);
    (*sa)->sequence().begin(start, (*sa)->last_sequence());
    (*sa)->sequence().extend((*sa)->last_sequence());
    REQUIRE(associations()->switch_outbound(tunnel, *sa, {}));
    expected_ = static_cast<std::uint32_t>(start);
}

Frame ProtectedHub::carried(const Bytes& esp) const {
    const unsigned local = policy().line("higashi").local_port;
    if (local == 0) return packet(ends().peer, ends().hub, kProtocolEsp, esp);
    Frame frame = udp(at(peer_address_, peer_port_), at(ends().hub, local)).payload(esp);
    if (frame.source().is_ipv4()) frame.checksum(0);
    return frame;
}

Frame ProtectedHub::to_peer(const Bytes& esp) const {
    const unsigned local = policy().line("higashi").local_port;
    if (local == 0) return packet(ends().hub, ends().peer, kProtocolEsp, esp);
    Frame frame = udp(at(ends().hub, local), at(peer_address_, peer_port_)).payload(esp);
    if (frame.source().is_ipv4()) frame.checksum(0);
    return frame;
}

std::vector<Bytes> ProtectedHub::opened() {
    std::vector<Bytes> packets;
    for (const Sent& sent : left()) {
        INFO(hex_of(sent.frame));
        CHECK(sent.port == 3);
        const auto outer = outer_of(sent.frame);
        REQUIRE(outer);
        const Line& line = policy().line("higashi-line");
        CHECK(by("higashi-line", to_peer(outer->esp)
                                     .to(kHigashiGateway)
                                     .id(0)
                                     .ttl(outer->ttl)
                                     .dscp_ecn(outer->marks)
                                     .dont_fragment(outer->dont_fragment)
                                     .id(outer->dont_fragment ? 0 : expected_))
                  .frame == sent.frame);
        CHECK(get16(sent.frame, 14) == line.vlan_id);
        const auto inner = open_esp(out, outer->esp);
        REQUIRE(inner);
        CHECK(inner->sequence == expected_++);
        CHECK(inner->next_header == (inner->inner.at(0) >> 4 == 6 ? 41U : 4U));
        packets.push_back(inner->inner);
    }
    return packets;
}

}  // namespace sekisho::test

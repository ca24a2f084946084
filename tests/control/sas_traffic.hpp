// What goes through the SAs of a SaHub: a worker's part at the hub, and the peer at the other end of the tunnel.
//
// The peer has SAs and an engine of its own, IPsec-MB's: what it makes is what a stranger's gateway would send. The
// hub's part takes SAs from where workers take them, seals and opens with the worker's engine, and counts what was
// refused as the stages `seal` and `open` do.
#pragma once

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/control/sas_support.hpp"
#include "tests/crypto/esp_support.hpp"

namespace sekisho::control::test {

// What became of packets, in their order: "done", or the reason of a drop.
using Fates = std::vector<std::string>;

class SaTraffic {
  public:
    using Bytes = sekisho::test::Bytes;
    using InnerPacket = sekisho::test::InnerPacket;
    static constexpr std::uint64_t kCipherBytes = 68;  // that an inner packet of 64 bytes costs of a lifetime

    // `pair` is what hub.pair() gave, or a part of it; `id` is the tunnel's number.
    SaTraffic(SaHub& hub, const nlohmann::json& pair, TunnelId id = TunnelId(1), bool esn = true)
        : associations_(*hub.hub.associations),
          tunnel_(id),
          esp_(associations_.engine_of(WorkerId(0))),
          engine_(sekisho::test::engine_of(crypto::EngineKind::ipsec_mb)),
          store_(crypto::prepared_bytes(crypto::EngineKind::ipsec_mb)),
          peers_esp_(*engine_) {
        if (!pair.contains("inbound")) return;
        spi_ = Spi(pair["inbound"]["spi"].get<std::uint32_t>());
        crypto::OutboundConfig config{spi_, crypto::Suite::aes_gcm_256, esn};
        config.local = *IpAddress::parse("192.0.2.2");
        config.peer = *IpAddress::parse("192.0.2.1");
        auto made = crypto::OutboundSa::make(config, secret(pair["inbound"]["key"]), *engine_, store_);
        REQUIRE(made);
        peers_ = std::move(*made);
        peers_->sequence().begin(1, peers_->last_sequence());
        peers_->sequence().extend(peers_->last_sequence() + 1);
    }

    // From the peer's network to the hub's, as the tunnel's selectors want it.
    static InnerPacket welcome() {
        InnerPacket inner;
        inner.source = "10.1.0.7";
        inner.destination = "100.64.1.9";
        return inner;
    }
    // From the hub's to the peer's.
    static InnerPacket leaving(std::size_t length = 64) {
        InnerPacket inner;
        std::tie(inner.source, inner.destination) = std::pair("100.64.1.9", "10.1.0.7");
        inner.length = length;
        return inner;
    }

    // What the peer sends for an inner packet: from the ESP header on.
    Bytes sent_by_peer(const InnerPacket& inner = welcome()) {
        sekisho::test::ToSeal one(peers_.get(), inner.bytes(), peers_->headroom());
        peers_esp_.seal({&one.packet, 1});
        REQUIRE(one.packet.outcome == crypto::EspOutcome::done);
        Bytes outer = one.result();
        outer.erase(outer.begin(), outer.begin() + sizeof(Ipv4Header));
        return outer;
    }
    // The hub opens these, as one burst.
    Fates open(std::vector<Bytes> burst) {
        std::vector<crypto::OpenPacket> packets(burst.size());
        for (std::size_t i = 0; i < burst.size(); ++i) {
            packets[i].esp = burst[i].data();
            packets[i].length = static_cast<std::uint32_t>(burst[i].size());
            packets[i].sa = associations_.sad().find(crypto::spi_of(burst[i]));
        }
        esp_.open(packets);
        return fates_of(packets);
    }
    // Of the peer, `count` packets in one burst.
    Fates open(std::size_t count) {
        std::vector<Bytes> burst;
        while (burst.size() < count) burst.push_back(sent_by_peer());
        return open(std::move(burst));
    }
    // The hub seals these, as one burst, each in a buffer with `headroom` before it.
    Fates seal(std::size_t count, const InnerPacket& inner = leaving(), std::size_t headroom = 64) {
        std::vector<sekisho::test::ToSeal> burst;
        std::vector<crypto::SealPacket> packets;
        for (std::size_t i = 0; i < count; ++i) burst.emplace_back(outbound(), inner.bytes(), headroom);
        for (const auto& one : burst) packets.push_back(one.packet);
        esp_.seal(packets);
        return fates_of(packets);
    }

    crypto::OutboundSa* outbound() const { return associations_.outbound(tunnel_); }  // the hub's
    crypto::InboundSa* inbound() const { return associations_.sad().find(spi_); }

  private:
    static Secret secret(const std::string& hexadecimal) {
        Bytes bytes;
        for (std::size_t i = 0; i < hexadecimal.size(); i += 2)
            bytes.push_back(static_cast<std::uint8_t>(std::stoul(hexadecimal.substr(i, 2), nullptr, 16)));
        return Secret(bytes);
    }
    template <class Packet>
    static Fates fates_of(const std::vector<Packet>& packets) {
        Fates fates;
        for (const Packet& packet : packets) {
            const bool done = packet.outcome == crypto::EspOutcome::done;
            if (!done) packet.sa->failures().count(packet.reason);  // dataplane/seal.cpp, open.cpp
            fates.push_back(done ? "done" : std::string(name_of(packet.reason)));
        }
        return fates;
    }

    dataplane::Associations& associations_;
    const TunnelId tunnel_;
    crypto::Esp esp_;  // the hub's worker's
    std::unique_ptr<crypto::AeadEngine> engine_;
    crypto::KeyStore store_;
    crypto::Esp peers_esp_;
    std::unique_ptr<crypto::OutboundSa> peers_;
    Spi spi_;
};

// Packets that are refused for three reasons: a copy twice, a forged one, and three that the tunnel is not for.
inline void be_attacked(SaTraffic& traffic) {
    const SaTraffic::Bytes once = traffic.sent_by_peer();
    REQUIRE(traffic.open({once}) == Fates{"done"});
    CHECK(traffic.open({once, once}) == Fates{"replay_duplicate", "replay_duplicate"});
    SaTraffic::Bytes forged = traffic.sent_by_peer();
    forged.back() ^= 1;
    CHECK(traffic.open({forged}) == Fates{"icv_wrong"});
    auto strange = SaTraffic::welcome();
    strange.source = "10.2.0.7";
    std::vector<SaTraffic::Bytes> three;
    while (three.size() < 3) three.push_back(traffic.sent_by_peer(strange));
    CHECK(traffic.open(three) == Fates(3, "selector_mismatch"));
}

}  // namespace sekisho::control::test

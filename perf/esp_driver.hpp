// One worker that walks bursts of ESP, to be sealed or opened, through the whole path.
//
// A walk's packets are made, and its frames given back, outside of what is timed. Packets are as hot as a burst that
// was just written is.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "crypto/esp_header.hpp"
#include "dataplane/path.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"
#include "perf/bare_gcm.hpp"
#include "perf/esp_node.hpp"

namespace sekisho::perf {

inline constexpr std::size_t kFrames = kBurst;  // of a walk

// Traffic of one direction: what a walk's frames are.
struct Traffic {
    bool seal;
    std::vector<std::size_t> sizes;  // of frames, in turn
    std::uint32_t tunnels = 1;       // or SAs to open, a random one for each frame
    PortId port() const { return PortId(seal ? 0 : 3); }
};

// One worker's share of a measurement.
class Driver {
  public:
    Driver(Node& node, const Peer& peer, const Traffic& traffic, std::size_t worker)
        : node_(node),
          peer_(peer),
          traffic_(traffic),
          state_(*node.states[worker]),
          engine_(peer.engine()),
          esp_(*engine_) {
        random_ ^= worker * 0x9e37'79b9'7f4a'7c15;
        for (const std::size_t size : traffic.sizes) {
            Frame frame =
                traffic.seal ? udp("10.0.0.7:4000", "100.64.32.7:5000") : udp("10.0.0.7:4000", "100.64.3.8:5000");
            frames_.push_back(frame.payload(size - 14 - 28).to(node.tables->attachments[0].mac).bytes());
        }
    }

    // Cycles a packet of one walk.
    double walk() {
        std::array<rte_mbuf*, kFrames> burst;
        expect(rte_pktmbuf_alloc_bulk(node_.pool.get(), burst.data(), kFrames) == 0, "buffers");
        fill(burst);
        double cost = 0;
        {
            const std::uint64_t before = rte_rdtsc();
            Walk walk(*node_.tables, state_, traffic_.port(), before);
            for (std::size_t i = 0; i < kFrames; ++i) walk.packets[i].mbuf = burst[i];
            walk.received = kFrames;
            take_resumed(walk);
            walk_path(walk);
            cost = static_cast<double>(rte_rdtsc() - before) / kFrames;
            walk.account.received += kFrames;
        }
        Outbox& outbox = state_.outbox[traffic_.seal ? 3 : 2];
        expect(outbox.count == kFrames, "every packet leaves");
        if (traffic_.seal) note_cipher(outbox);
        rte_pktmbuf_free_bulk(outbox.frames.data(), static_cast<unsigned>(outbox.count));
        outbox.count = 0;
        return cost;
    }
    // The bare call on what the last walk sealed or opened, in buffers of the same kind.
    double bare(BareGcm& bare) {
        const std::uint64_t before = rte_rdtsc();
        bare.run(cipher_, lengths_, traffic_.seal);
        return static_cast<double>(rte_rdtsc() - before) / kFrames;
    }
    const StageCounters& stage(Stage stage) const { return state_.counters.stages[static_cast<std::size_t>(stage)]; }

  private:
    std::uint64_t next_random() noexcept {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        return random_ ^= random_ << 17;
    }

    void fill(std::span<rte_mbuf* const> burst) {
        std::array<crypto::SealPacket, kFrames> to_seal;
        cipher_.clear();
        lengths_.clear();
        for (std::size_t i = 0; i < kFrames; ++i) {
            const Bytes& frame = frames_[i % frames_.size()];
            auto* const at = rte_pktmbuf_mtod(burst[i], std::uint8_t*);
            std::memcpy(at, frame.data(), frame.size());
            burst[i]->data_len = static_cast<std::uint16_t>(frame.size());
            burst[i]->pkt_len = burst[i]->data_len;
            const auto which = static_cast<std::uint32_t>(next_random() % traffic_.tunnels);
            if (traffic_.seal) {
                if (traffic_.tunnels > 1) set_destination(at + 14, 0x6460'0000U + which);
                continue;
            }
            to_seal[i].data = at + 14;
            to_seal[i].length = static_cast<std::uint32_t>(frame.size() - 14);
            to_seal[i].headroom = static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + 14);
            to_seal[i].tailroom = 64;
            to_seal[i].sa = peer_[which];
        }
        if (traffic_.seal) return;
        esp_.seal(to_seal);
        const Attachment& line = node_.tables->attachments[node_.tables->tunnels[1].underlay.index()];
        for (std::size_t i = 0; i < kFrames; ++i) {
            std::uint8_t* const ip = to_seal[i].data;
            auto& ethernet = *reinterpret_cast<EthernetHeader*>(ip - 18);
            ethernet.destination = line.mac;
            ethernet.ether_type = Be16::from_host(0x8100);
            auto& tag = *reinterpret_cast<VlanTag*>(ip - 4);
            tag.control = Be16::from_host(line.vlan.value());
            tag.ether_type = Be16::from_host(0x0800);
            burst[i]->data_off = static_cast<std::uint16_t>(ip - 18 - static_cast<std::uint8_t*>(burst[i]->buf_addr));
            burst[i]->data_len = static_cast<std::uint16_t>(to_seal[i].length + 18);
            burst[i]->pkt_len = burst[i]->data_len;
            cipher_.push_back(ip + 20 + sizeof(crypto::EspHeader));
            lengths_.push_back(static_cast<std::uint32_t>(to_seal[i].length - 20 - sizeof(crypto::EspHeader) - 16));
        }
    }
    // 100.96.0.0 on: tunnel by tunnel.
    static void set_destination(std::uint8_t* at, std::uint32_t destination) {
        auto& ip = *reinterpret_cast<Ipv4Header*>(at);
        const Be32 wire = Be32::from_host(destination);
        ip.checksum = ChecksumDelta::replace(ip.destination, wire).apply(ip.checksum);
        ip.destination = wire;
    }
    void note_cipher(const Outbox& outbox) {
        for (std::size_t i = 0; i < outbox.count; ++i) {
            auto* const frame = rte_pktmbuf_mtod(outbox.frames[i], std::uint8_t*);
            cipher_.push_back(frame + 18 + 20 + sizeof(crypto::EspHeader));
            lengths_.push_back(
                static_cast<std::uint32_t>(outbox.frames[i]->data_len - 18 - 20 - sizeof(crypto::EspHeader) - 16));
        }
    }

    Node& node_;
    const Peer& peer_;
    const Traffic traffic_;
    WorkerState& state_;
    std::unique_ptr<crypto::AeadEngine> engine_;
    crypto::Esp esp_;
    std::vector<Bytes> frames_;
    std::vector<std::uint8_t*> cipher_;  // of the last walk's packets
    std::vector<std::uint32_t> lengths_;
    std::uint64_t random_ = 88172645463325252ULL;
};

}  // namespace sekisho::perf

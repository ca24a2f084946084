// Hashing frames, and sorting a burst by worker.
#include "dataplane/spread.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <rte_hash_crc.h>

#include "dataplane/run.hpp"
#include "net/headers.hpp"
#include "net/prefetch.hpp"

namespace sekisho::dataplane {
namespace {

std::uint64_t load(const std::uint8_t* at, std::size_t bytes) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, at, bytes);
    return word;
}

// The same for (a, b) and (b, a), and without a comparison: of random flows it would be guessed wrong half the time.
std::uint64_t of_both(std::uint32_t a, std::uint32_t b) noexcept {
    return std::uint64_t{a + b} << 32 | (a ^ b);
}

std::uint32_t crc(std::uint64_t first, std::uint64_t second) noexcept {
    return rte_hash_crc_8byte(second, rte_hash_crc_8byte(first, 0));
}

constexpr std::uint16_t wire(EtherType type) noexcept {
    return std::bit_cast<std::uint16_t>(Be16::from_host(static_cast<std::uint16_t>(type)));
}
constexpr std::uint16_t kFragmentBits =
    std::bit_cast<std::uint16_t>(Be16::from_host(static_cast<std::uint16_t>(kIpv4MoreFragments | kIpv4OffsetMask)));

std::uint64_t ports_of(std::uint8_t protocol, const std::uint8_t* l4, std::size_t room) noexcept {
    if (room < 4) return 0;
    if (protocol == kProtocolEsp) return load(l4, 4);  // the SPI: one SA is one worker's
    if (protocol != kProtocolTcp && protocol != kProtocolUdp) return 0;
    return of_both(static_cast<std::uint32_t>(load(l4, 2)), static_cast<std::uint32_t>(load(l4 + 2, 2)));
}

[[gnu::always_inline]] inline std::uint32_t hash_of(std::span<const std::uint8_t> frame) noexcept {
    std::size_t l3 = sizeof(EthernetHeader);
    if (frame.size() < l3 + sizeof(VlanTag) + sizeof(Ipv4Header)) return 0;
    auto ether_type = static_cast<std::uint16_t>(load(frame.data() + 12, 2));
    if (ether_type == wire(EtherType::vlan)) {
        ether_type = static_cast<std::uint16_t>(load(frame.data() + 16, 2));
        l3 += sizeof(VlanTag);
    }
    const std::uint8_t* const ip = frame.data() + l3;
    const std::size_t room = frame.size() - l3;
    std::uint64_t addresses = 0;
    std::uint64_t ports = 0;
    if (ether_type == wire(EtherType::ipv4)) {
        addresses = of_both(static_cast<std::uint32_t>(load(ip + 12, 4)), static_cast<std::uint32_t>(load(ip + 16, 4)));
        const std::size_t header = std::size_t{4} * (ip[0] & 0x0fU);
        if ((load(ip + 6, 2) & kFragmentBits) == 0 && header <= room)
            ports = ports_of(ip[9], ip + header, room - header);
    } else if (ether_type == wire(EtherType::ipv6) && room >= sizeof(Ipv6Header)) {
        addresses = of_both(crc(load(ip + 8, 8), load(ip + 16, 8)), crc(load(ip + 24, 8), load(ip + 32, 8)));
        ports = ports_of(ip[6], ip + sizeof(Ipv6Header), room - sizeof(Ipv6Header));
    } else {
        return 0;
    }
    return crc(addresses, ports);
}

}  // namespace

std::uint32_t flow_hash(std::span<const std::uint8_t> frame) noexcept {
    return hash_of(frame);
}

Spread::Spread(std::span<const unsigned> weights) {
    // Bucket by bucket to the worker that is furthest behind its share.
    const unsigned total = std::accumulate(weights.begin(), weights.end(), 0U);
    std::vector<std::size_t> given(weights.size(), 0);
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
        std::size_t next = 0;
        std::ptrdiff_t furthest = std::numeric_limits<std::ptrdiff_t>::min();
        for (std::size_t worker = 0; worker < weights.size(); ++worker) {
            const auto behind = static_cast<std::ptrdiff_t>((bucket + 1) * weights[worker]) -
                                static_cast<std::ptrdiff_t>(given[worker] * total);
            if (weights[worker] == 0 || behind <= furthest) continue;
            furthest = behind;
            next = worker;
        }
        ++given[next];
        workers_[bucket] = WorkerId(static_cast<std::uint16_t>(next));
    }
}

std::size_t spread(Walk& walk, std::span<rte_mbuf*> frames) noexcept {
    constexpr std::size_t kAhead = 8;
    WorkerState& state = walk.worker;
    const Spread& buckets = state.team.spread;
    std::array<WorkerId, kBurst> workers;
    std::array<rte_mbuf*, kBurst> others;
    std::size_t kept = 0;
    std::size_t given = 0;
    run<Stage::spread>(walk, frames.size(), [&] {
        for (std::size_t i = 0; i < frames.size(); ++i) {
            if (i + kAhead < frames.size()) prefetch(rte_pktmbuf_mtod(frames[i + kAhead], const void*));
            rte_mbuf* const mbuf = frames[i];
            const std::span<const std::uint8_t> bytes(rte_pktmbuf_mtod(mbuf, const std::uint8_t*),
                                                      rte_pktmbuf_data_len(mbuf));
            const WorkerId worker = buckets.worker_of(hash_of(bytes));
            const bool other = worker != state.self;  // without a branch: it would be guessed wrong half the time
            workers[given] = worker;
            others[given] = mbuf;
            frames[kept] = mbuf;
            given += other ? 1U : 0U;
            kept += other ? 0U : 1U;
        }
    });
    run<Stage::hand_over>(walk, given, [&] {
        for (std::size_t i = 0; i < given; ++i)
            state.handover.give(workers[i], {others[i], walk.origin, PortId(), Entry::parse});
    });
    return kept;
}

}  // namespace sekisho::dataplane

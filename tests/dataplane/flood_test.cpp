// Mutated packets by the hundred million, in full bursts through the whole path, in tunnels and out of them.
//
// After every walk each account balances and exactly what is held has a buffer; what leaves is whole: its length is the
// frame's, its IPv4 header checksum right. What may leave at all is hostile_test.cpp's, which asks an oracle about each
// of fewer packets. SEKISHO_SEED and SEKISHO_TEST_PACKETS set seed and number:
//
//   SEKISHO_TEST_PACKETS=100000000 build/tests/dataplane/flood_test "[flood]"
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>

#include <catch2/catch.hpp>
#include <rte_mbuf.h>

#include "dataplane/path.hpp"
#include "dataplane/stages.hpp"
#include "dataplane/walk.hpp"
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/mutation.hpp"
#include "tests/dataplane/support/protected.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::uint64_t kPackets = sekisho::test::kAddressSanitizer ? 100'000 : 1'000'000;
constexpr unsigned kUnderlay = 3;  // higashi's port
constexpr std::size_t kLink = sizeof(EthernetHeader);
constexpr unsigned kBuffers = 8191;
constexpr unsigned kWalksOfOneHub = 4096;  // as packets teach it neighbours that are none
constexpr unsigned kWalksBetweenTimers = 50;
constexpr std::uint64_t kTicksOfWalk = TestHub::kHz / 1000;

struct FreePool {
    void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using Pool = std::unique_ptr<rte_mempool, FreePool>;

// Why what left should not have; nullptr: it is whole.
const char* not_whole(const rte_mbuf& mbuf) {
    if (mbuf.nb_segs != 1 || mbuf.pkt_len != mbuf.data_len) return "in several segments";
    const std::span frame(rte_pktmbuf_mtod(&mbuf, const std::uint8_t*), mbuf.data_len);
    const std::size_t ip = frame.size() >= 18 && get16(frame, 12) == 0x8100 ? 18 : 14;
    if (frame.size() < ip + 20) return "shorter than any packet";
    const unsigned type = get16(frame, ip - 2);
    if (type == 0x0806) return nullptr;
    if (type == 0x0800) {
        if (frame[ip] >> 4 != 4 || ip + get16(frame, ip + 2) > frame.size()) return "an IPv4 packet that is cut";
        const std::size_t header = 4 * (frame[ip] & std::size_t{15});
        if (header < 20 || ip + header > frame.size()) return "an IPv4 header that is cut";
        return sum_of_words({frame.subspan(ip, header)}) == 0xffff ? nullptr : "a wrong IPv4 header checksum";
    }
    if (type != 0x86dd) return "of an ether type that the hub does not send";
    if (frame.size() < ip + 40 || frame[ip] >> 4 != 6) return "an IPv6 header that is cut";
    return ip + 40 + get16(frame, ip + 4) <= frame.size() ? nullptr : "an IPv6 packet that is cut";
}

class Flood {
  public:
    Flood()
        : pool_(rte_pktmbuf_pool_create("flood", kBuffers, 0, dataplane::kPrivateRoom, RTE_MBUF_DEFAULT_BUF_SIZE,
                                        SOCKET_ID_ANY)) {
        REQUIRE(pool_ != nullptr);
    }

    void run(std::uint64_t packets) {
        INFO("SEKISHO_SEED=" << random_.seed());
        for (unsigned walks = 0; done_ < packets; ++walks) {
            if (walks % kWalksOfOneHub == 0) renew();
            const std::size_t count = std::min<std::uint64_t>(1 + random_.below(dataplane::kBurst), packets - done_);
            const unsigned port = static_cast<unsigned>(random_.below(by_port_.size()));
            for (std::size_t i = 0; i < count; ++i) burst_[i] = port == kUnderlay ? make_esp() : make(by_port_[port]);
            now_ += kTicksOfWalk;
            walk(port, count, walks % kWalksBetweenTimers == 0);
            done_ += count;
        }
        renew();
    }
    const dataplane::PortCounters& total() const { return total_; }
    std::uint64_t opened() const { return opened_; }
    std::uint64_t sealed() const { return sealed_; }
    unsigned in_use() const { return rte_mempool_in_use_count(pool_.get()); }

  private:
    rte_mbuf* make(const std::vector<Specimen>& kinds) {
        rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool_.get());
        REQUIRE(mbuf != nullptr);
        if (random_.one_in(64)) mbuf->data_off = 0;  // a port that leaves no headroom
        const std::span room(rte_pktmbuf_mtod(mbuf, std::uint8_t*), std::size_t{mbuf->buf_len} - mbuf->data_off);
        const Bytes& frame = kinds[random_.below(kinds.size())].frame;
        std::copy(frame.begin(), frame.end(), room.begin());
        const std::size_t length = mutator_.mutate(room, frame.size());
        mbuf->data_len = static_cast<std::uint16_t>(length);
        mbuf->pkt_len = mbuf->data_len;
        if (length > 1 && random_.one_in(64)) split(*mbuf, random_.below(length));
        return mbuf;
    }
    // A mutated packet of kita's, whose addresses higashi has too, inside ESP that is mutated now and then.
    rte_mbuf* make_esp() {
        rte_mbuf* const mbuf = make(by_port_[0]);
        const std::span inner(rte_pktmbuf_mtod(mbuf, const std::uint8_t*), mbuf->data_len);
        Bytes bytes;
        if (inner.size() > kLink) bytes.assign(inner.begin() + kLink, inner.end());
        EspOptions options;
        options.damage = random_.one_in(32);
        options.tfc = random_.one_in(8) ? random_.below(64) : 0;
        if (random_.one_in(16)) options.next_header = static_cast<unsigned>(random_.below(256));
        const Line& line = hub_->policy().line("higashi-line");
        const Bytes frame = hub_->from_peer(bytes, options).to(line.mac_address).vlan(line.vlan_id).bytes();
        if (mbuf->next != nullptr) rte_pktmbuf_free(std::exchange(mbuf->next, nullptr));
        rte_pktmbuf_reset(mbuf);
        const std::span room(rte_pktmbuf_mtod(mbuf, std::uint8_t*), std::size_t{mbuf->buf_len} - mbuf->data_off);
        const std::size_t copied = std::min(frame.size(), room.size());
        std::copy_n(frame.begin(), copied, room.begin());
        mbuf->data_len = static_cast<std::uint16_t>(random_.one_in(8) ? mutator_.mutate(room, copied) : copied);
        mbuf->pkt_len = mbuf->data_len;
        return mbuf;
    }
    void split(rte_mbuf& mbuf, std::size_t at) {
        rte_mbuf* const rest = rte_pktmbuf_alloc(pool_.get());
        REQUIRE(rest != nullptr);
        rest->data_len = static_cast<std::uint16_t>(mbuf.data_len - at);
        std::memcpy(rte_pktmbuf_mtod(rest, void*), rte_pktmbuf_mtod_offset(&mbuf, void*, at), rest->data_len);
        mbuf.data_len = static_cast<std::uint16_t>(at);
        mbuf.next = rest;
        mbuf.nb_segs = 2;
    }
    void walk(unsigned port, std::size_t count, bool timers) {
        once(port, count);
        if (timers) {
            dataplane::Walk walk(hub_->tables(), hub_->worker(), PortId(0), now_);
            dataplane::retry_neighbours(walk);
            dataplane::expire_fragments(walk);
        }
        for (unsigned other = 0; other < by_port_.size(); ++other)
            while (!hub_->worker().resume[other].empty()) once(other, 0);
    }
    void once(unsigned port, std::size_t count) {
        dataplane::WorkerState& worker = hub_->worker();
        {
            dataplane::Walk walk(hub_->tables(), worker, PortId(static_cast<std::uint16_t>(port)), now_);
            for (std::size_t i = 0; i < count; ++i) {
                walk.packets[i].mbuf = burst_[i];
                walk.account.received_bytes += burst_[i]->pkt_len;
            }
            walk.account.received += count;
            walk.received = count;
            dataplane::take_resumed(walk);
            dataplane::walk_path(walk);
            for (dataplane::Outbox& outbox : worker.outbox) {
                for (std::size_t i = 0; i < outbox.count; ++i) {
                    if (const char* const wrong = not_whole(*outbox.frames[i]))
                        FAIL("packets " << done_ << " and after: one left " << wrong);
                    rte_pktmbuf_free(outbox.frames[i]);
                }
                walk.account.sent += outbox.count;
                outbox.count = 0;
            }
        }
        std::uint64_t held = 0;
        for (const dataplane::PortCounters& each : worker.counters.ports) {
            if (each.unaccounted() != 0)
                FAIL("packets " << done_ << " and after: " << each.unaccounted() << " unaccounted");
            held += each.held;
        }
        const std::uint64_t buffers = in_use() + rte_mempool_in_use_count(Eal::made());
        if (buffers != held) FAIL("packets " << done_ << " and after: " << held << " held, " << buffers << " buffers");
    }
    // The next hub; the account of the one before joins the total.
    void renew() {
        if (hub_ != nullptr) {
            const dataplane::Counters& counters = hub_->worker().counters;
            total_ += counters.node();
            opened_ += counters.stages[static_cast<std::size_t>(dataplane::Stage::open)].packets;
            sealed_ += counters.stages[static_cast<std::size_t>(dataplane::Stage::seal)].packets;
        }
        hub_.reset();
        REQUIRE(in_use() == 0);
        hub_ = std::make_unique<ProtectedHub>();
        if (!by_port_.empty()) return;
        const Policy& policy = hub_->policy();
        std::vector<Specimen> all = specimens_of(policy);
        const std::size_t kita = policy.line_index("kita");
        for (Frame frame : {udp("10.0.0.7:4000", std::string(kHigashiHub4) + ":9").payload(40),
                            tcp("[fd00:0:0:1::7]:4000", "[2001:db8:4000:401::7]:9").syn().payload(40),
                            udp("10.0.0.7:4000", std::string(kHigashiHub4) + ":9").dont_fragment(false).payload(1450)})
            all.push_back({kita, frame.to(policy.lines[kita].mac_address).bytes()});
        by_port_.resize(kUnderlay + 1);
        for (Specimen& specimen : all) {
            const unsigned port = policy.lines[specimen.line].port;
            if (by_port_.size() <= port) by_port_.resize(port + 1);
            specimens_.push_back(specimen);
            by_port_[port].push_back(std::move(specimen));
        }
    }

    Pool pool_;
    Random random_{"flood"};
    std::vector<Specimen> specimens_;
    std::vector<std::vector<Specimen>> by_port_;
    FrameMutator mutator_{specimens_, random_};
    std::unique_ptr<ProtectedHub> hub_;
    std::array<rte_mbuf*, dataplane::kBurst> burst_{};
    std::uint64_t now_ = 1000 * TestHub::kHz, done_ = 0;
    std::uint64_t opened_ = 0, sealed_ = 0;
    dataplane::PortCounters total_;
};

}  // namespace

TEST_CASE("flood: mutated packets in full bursts crash nothing, and every one is accounted for", "[flood]") {
    const char* const number = std::getenv("SEKISHO_TEST_PACKETS");
    const std::uint64_t packets = number != nullptr ? std::strtoull(number, nullptr, 10) : kPackets;
    Flood flood;
    flood.run(packets);
    const dataplane::PortCounters& all = flood.total();
    std::size_t reasons = 0;
    std::cout << "flood: " << all.received << " packets, " << all.made << " made, " << all.sent << " sent, "
              << all.consumed << " consumed, " << all.punted << " punted, " << all.held
              << " held when their hub ended, " << all.total_dropped() << " dropped\n";
    for (std::size_t i = 0; i < all.dropped.size(); ++i) {
        if (all.dropped[i] == 0) continue;
        ++reasons;
        std::cout << "   " << all.dropped[i] << ' ' << name_of(static_cast<DropReason>(i)) << '\n';
    }
    CHECK(all.received == packets);
    CHECK(all.unaccounted() == 0);
    CHECK(all.sent > packets / 10);
    CHECK(flood.opened() > packets / 10);
    CHECK(flood.sealed() > packets / 1000);
    CHECK(all.consumed > packets / 1000);
    CHECK(reasons > 30);
}

// Walking frames without ports.
#include "tests/dataplane/support/test_hub.hpp"

#include "dataplane/esp_udp.hpp"
#include "dataplane/kernel/punt.hpp"
#include "dataplane/path.hpp"
#include "dataplane/stages.hpp"
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/explained.hpp"

namespace sekisho::test {

using dataplane::PortCounters;
using dataplane::Walk;

std::set<DropReason>& provoked_reasons() {
    static std::set<DropReason> reasons;
    return reasons;
}

namespace {
std::size_t hoarded = 0;

std::uint64_t buffers_in_use() {
    return std::uint64_t{rte_mempool_in_use_count(Eal::frames())} + rte_mempool_in_use_count(Eal::made()) - hoarded;
}
std::size_t ports_of(const Policy& policy) {
    std::size_t count = 1;
    for (const Line& line : policy.lines) count = std::max<std::size_t>(count, line.port + 1);
    return count;
}
PortId port_id(std::size_t port) {
    return PortId(static_cast<std::uint16_t>(port));
}
std::unique_ptr<dataplane::Associations> associations_for(const Policy& policy) {
    const auto is_tunnel = [](const Line& line) { return line.tunnel_number != TunnelId(); };
    if (std::none_of(policy.lines.begin(), policy.lines.end(), is_tunnel)) return nullptr;
    auto made = dataplane::Associations::make(crypto::fastest_engine(), 1, [](auto) {});
    REQUIRE(made);
    return std::move(*made);
}
std::unique_ptr<dataplane::Team> team_of_one(const dataplane::Associations* associations) {
    constexpr unsigned kWeight = 1;
    auto team = std::make_unique<dataplane::Team>(std::span(&kWeight, 1), TestHub::kHz);
    team->associations = associations;
    return team;
}
}  // namespace

TestHub::TestHub(const Policy& policy)
    : policy_(policy),
      associations_(associations_for(policy)),
      team_(team_of_one(associations_.get())),
      state_(std::make_unique<dataplane::WorkerState>(ports_of(policy), Eal::made(), kHz, *team_, WorkerId(0))) {
    REQUIRE(buffers_in_use() == 0);
    state_->flow_cache = std::make_unique<dataplane::FlowCache>();
    commit(policy);
    begin();
}

TestHub::~TestHub() {
    state_->neighbours.drop_all([](dataplane::Neighbours::Held& held) noexcept { rte_pktmbuf_free(held.packet.mbuf); });
    state_->fragments.drop_all([](dataplane::Fragments::Held& held) noexcept { rte_pktmbuf_free(held.packet.mbuf); });
    state_->reassembly.expire(~std::uint64_t{0},
                              [](dataplane::Reassembly::Datagram& late) noexcept { rte_pktmbuf_free(late.mbuf); });
    for (auto& queue : state_->resume)
        for (dataplane::Packet packet; queue.pop(packet);) rte_pktmbuf_free(packet.mbuf);
    if (std::uncaught_exceptions() == 0) CHECK(buffers_in_use() == 0);
}

void TestHub::know(std::string_view line, std::string_view neighbour, std::string_view mac_address) {
    const AttachmentId attachment(static_cast<std::uint16_t>(policy_.line_index(line)));
    const IpAddress ip = address(neighbour);
    const std::uint32_t number = ip.is_ipv4() ? state_->neighbours.find_or_add(attachment, ip.ipv4())
                                              : state_->neighbours.find_or_add(attachment, ip.ipv6());
    REQUIRE(number != dataplane::Neighbours::kNone);
    state_->neighbours.confirm(number, mac(mac_address), now_);
}

void TestHub::keep_neighbours() {
    for (std::uint32_t i = 0; i < state_->neighbours.size(); ++i)
        if (state_->neighbours.entry(i) && state_->neighbours.is_known(i))
            state_->neighbours.confirm(i, state_->neighbours.link(i).mac(), now_);
}

void TestHub::commit(const Policy& policy) {
    policy_ = policy;
    generations_.push_back(policy.tables());
    generations_.back()->generation = generations_.size();
}

void TestHub::begin() {
    left_.clear();
    before_ = state_->counters.node();
}

void TestHub::wait(double seconds) {
    begin();
    const auto tenths = static_cast<int>(seconds * 10 + 0.5);
    for (int i = 0; i < tenths; ++i) {
        now_ += kHz / 10;
        {
            Walk timers(tables(), *state_, PortId(0), now_);
            dataplane::retry_neighbours(timers);
            dataplane::judge_nexthops(timers);
            if (announces_) dataplane::announce_attachments(timers);
            state_->neighbours.grace_passed(std::span(tables().neighbour_hints.get(), tables().nexthops.size()));
            dataplane::send_keepalives(timers);
            dataplane::expire_fragments(timers);
            dataplane::expire_reassembly(timers);
            dataplane::expire_sessions(timers);
        }
        settle();
    }
    drops();
}

Frame TestHub::arriving(std::string_view name, Frame frame) const {
    const Line& line = policy_.lines[policy_.line_index(name)];
    if (!frame.has_destination()) frame.to(line.mac_address);
    if (!frame.has_tags() && line.vlan_id != 0) frame.vlan(line.vlan_id);
    return frame;
}

Sent TestHub::by(std::string_view name, Frame frame) const {
    const Line& line = policy_.lines[policy_.line_index(name)];
    frame.from(line.mac_address);
    if (line.vlan_id != 0) frame.vlan(line.vlan_id);
    return {line.port, frame.bytes()};
}

void TestHub::send(std::string_view name, const std::vector<Frame>& frames) {
    std::vector<Bytes> bytes;
    for (const Frame& frame : frames) bytes.push_back(arriving(name, frame).bytes());
    const std::size_t line = policy_.line_index(name);
    send_bytes(policy_.lines[line].port, bytes, kHeadroom);
    if (explains_ && bytes.size() == 1 && hoarded == 0) check_explained(*this, line, bytes.front());
}

void TestHub::send_bytes(unsigned port, const std::vector<Bytes>& frames, std::size_t headroom) {
    begin();
    for (std::size_t sent = 0; sent < frames.size();) {
        std::vector<rte_mbuf*> burst;
        for (; sent < frames.size() && burst.size() < dataplane::kBurst; ++sent) {
            burst.push_back(exact_buffer(Eal::frames(), frames[sent], headroom, tailroom_));
            REQUIRE(burst.back() != nullptr);
        }
        walk(port, burst);
    }
    settle();
    drops();
}

void TestHub::send_buffer(unsigned port, rte_mbuf* mbuf) {
    begin();
    walk(port, std::span(&mbuf, 1));
    settle();
    drops();
}

void TestHub::walk(unsigned port, std::span<rte_mbuf* const> frames) {
    {
        Walk walk(tables(), *state_, port_id(port), now_);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            walk.packets[i].mbuf = frames[i];
            walk.account.received_bytes += frames[i]->pkt_len;
        }
        walk.account.received += frames.size();
        walk.received = frames.size();
        dataplane::take_resumed(walk);
        dataplane::walk_path(walk);
        transmit(walk);
    }
    check_accounts();
}

void TestHub::transmit(Walk& walk) {
    for (std::size_t out = 0; out < state_->outbox.size(); ++out) {
        dataplane::Outbox& outbox = state_->outbox[out];
        for (std::size_t i = 0; i < outbox.count; ++i) {
            rte_mbuf* const mbuf = outbox.frames[i];
            const auto* const at = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
            CHECK(mbuf->pkt_len == mbuf->data_len);
            left_.push_back({static_cast<unsigned>(out), Bytes(at, at + mbuf->data_len)});
            state_->counters.ports[out].transmitted += 1;
            rte_pktmbuf_free(mbuf);
        }
        walk.account.sent += outbox.count;
        outbox.count = 0;
    }
}

void TestHub::kernel_sends(std::string_view name, const Bytes& frame) {
    begin();
    const Line& line = policy_.line(name);
    const AttachmentId attachment(static_cast<std::uint16_t>(policy_.line_index(name)));
    {
        Walk walk(tables(), *state_, port_id(line.port), now_);
        dataplane::take_from_kernel(walk, {line.kernel_port, attachment, frame});
        transmit(walk);
    }
    check_accounts();
    drops();
}

std::vector<std::pair<TapId, Bytes>> TestHub::to_kernel() {
    std::vector<std::pair<TapId, Bytes>> frames;
    dataplane::FrameRing& ring = state_->team.kernel.from(state_->self);
    while (const auto frame = ring.front()) {
        frames.emplace_back(frame->tap, Bytes(frame->bytes.begin(), frame->bytes.end()));
        ring.pop();
    }
    return frames;
}

void TestHub::settle() {
    const auto waiting = [this] {
        for (const auto& queue : state_->resume)
            if (!queue.empty()) return true;
        return false;
    };
    for (int rounds = 0; !paused_ && waiting(); ++rounds) {
        REQUIRE(rounds < 1000);
        for (std::size_t port = 0; port < state_->resume.size(); ++port) walk(static_cast<unsigned>(port), {});
    }
}

void TestHub::check_accounts() const {
    for (const PortCounters& port : state_->counters.ports) REQUIRE(port.unaccounted() == 0);
    REQUIRE(buffers_in_use() == held());
}

PortCounters TestHub::since() const {
    PortCounters now = state_->counters.node();
    for (std::size_t i = 0; i < now.dropped.size(); ++i) now.dropped[i] -= before_.dropped[i];
    now.punted -= before_.punted;
    now.consumed -= before_.consumed;
    now.made -= before_.made;
    now.not_made_rate -= before_.not_made_rate;
    now.not_made_buffer -= before_.not_made_buffer;
    return now;
}

Drops TestHub::drops() const {
    Drops drops;
    const PortCounters counters = since();
    for (std::size_t i = 0; i < counters.dropped.size(); ++i) {
        if (counters.dropped[i] == 0) continue;
        drops[static_cast<DropReason>(i)] = counters.dropped[i];
        provoked_reasons().insert(static_cast<DropReason>(i));
    }
    return drops;
}

std::uint64_t TestHub::punted() const {
    return since().punted;
}
std::uint64_t TestHub::consumed() const {
    return since().consumed;
}
std::uint64_t TestHub::made() const {
    return since().made;
}
std::uint64_t TestHub::not_made_rate() const {
    return since().not_made_rate;
}
std::uint64_t TestHub::not_made_buffer() const {
    return since().not_made_buffer;
}
std::uint64_t TestHub::held() const {
    return state_->counters.node().held;
}

NoBuffers::NoBuffers() {
    while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(Eal::made())) hoard_.push_back(mbuf);
    hoarded = hoard_.size();
}

NoBuffers::~NoBuffers() {
    for (rte_mbuf* const mbuf : hoard_) rte_pktmbuf_free(mbuf);
    hoarded = 0;
}

StandardHub::StandardHub(const Policy& policy) : TestHub(policy) {
    know("kita", "10.255.0.2", kKitaGateway);
    know("kita", "fd00:ffff::2", kKitaGateway);
    know("kita-backup", "10.255.1.2", kBackupGateway);
    know("kita-backup", "fd00:fffe::2", kBackupGateway);
    know("minami", "10.255.0.2", kMinamiGateway);
    know("minami", "fd00:ffff::2", kMinamiGateway);
    know("center", "192.168.9.2", kCenterGateway);
    know("center", "fd99::2", kCenterGateway);
    know("center", "192.168.9.9", kPortal);
    know("center", "fd99::9", kPortal);
}

}  // namespace sekisho::test

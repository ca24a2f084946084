// Sessions through the whole path, the port apart: walks of 64 established packets in random order, from parse to the
// outbox, tracked without translation and behind a port block, in both directions; and what a new session costs.
//
//   session_bench [--json FILE] [--runs N] [--sessions N]
//
// UDP of 64-byte frames. Cycles are TSC's; a figure is the median over the walks of a run, and then over the runs. A
// walk's packets are made, and its frames given back, outside of what is timed. Sessions are counted as such: one
// behind a port block is two records.
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <rte_cycles.h>

#include "dataplane/behind.hpp"
#include "dataplane/path.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"
#include "perf/report.hpp"
#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/policy.hpp"

using namespace sekisho;
using namespace sekisho::test;
using namespace sekisho::dataplane;
using namespace sekisho::perf;

namespace {

constexpr int kWalks = 2000;  // of a run
constexpr std::size_t kFrames = kBurst;
constexpr std::uint32_t kPortsEach = 64;  // sessions of a host, each from a port of its own

struct Flow {  // as its packets arrive
    std::uint32_t source = 0, destination = 0;
    std::uint16_t source_port = 0, destination_port = 0;
};

void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "not as it should be: %s\n", what);
    std::exit(1);
}

// Clients of kita, 10.16.0.0/14, by a prefix map or behind a port block, and the portal, by gateways.
Policy bench_policy(bool behind) {
    Policy policy = standard_policy();
    policy.house("kita", "ward").uses("kita");
    if (behind) {
        policy.house("ward").behind("10.16.0.0/14");
        policy.block("kita", "100.100.0.0/25").quota(4);
    } else {
        policy.house("ward").map("10.16.0.0/14", "100.80.0.0/14");
    }
    policy.agreement("ward", "archive").udp(53).tracked();
    policy.way("kita", "10.16.0.0/14").by("kita", "10.255.0.2");
    return policy;
}

class Driver {
  public:
    Driver(bool behind, std::uint32_t sessions)
        : tables_(bench_policy(behind).tables()), state_(std::make_unique<WorkerState>(8, nullptr, rte_get_tsc_hz())) {
        tables_->generation = 1;
        state_->flow_cache = std::make_unique<FlowCache>();
        pool_.reset(
            rte_pktmbuf_pool_create("bench", 8191, 256, kPrivateRoom, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY));
        expect(pool_ != nullptr, "a pool");
        state_->pool = pool_.get();
        state_->tracker.make_room({sessions * (behind ? std::size_t{2} : 1), 64});
        state_->tracker.budget().set({sessions, sessions});
        know_all();
        opening_first_ = open(sessions);
    }

    // Cycles a packet that opens a session: where none was before, and so memory comes from the system as it is
    // touched; and where it is there.
    double opening_first() const noexcept { return opening_first_; }
    double open_again() {
        const auto sessions = static_cast<std::uint32_t>(questions_.size());
        end_all();
        return open(sessions);
    }
    // Each session has one answer: what follows is of flows whose both directions were seen.
    void answer_all() {
        for (std::size_t n = 0; n + kFrames <= replies_.size(); n += kFrames)
            walk(std::span(replies_).subspan(n, kFrames), true);
    }
    // Cycles a packet of a walk of established packets.
    double walk(bool replies) {
        std::array<Flow, kFrames> flows;
        for (Flow& flow : flows) flow = (replies ? replies_ : questions_)[next_random() % questions_.size()];
        return walk(flows, replies);
    }
    const StageCounters& stage(Stage stage) const { return state_->counters.stages[static_cast<std::size_t>(stage)]; }

  private:
    void know(AttachmentId attachment, const char* neighbour) {
        const auto number = state_->neighbours.find_or_add(attachment, *Ipv4Address::parse(neighbour));
        state_->neighbours.confirm(number, MacAddress({2, 0, 0, 0, 0x0c, 1}), now());
    }

    void know_all() {
        know(AttachmentId(0), "10.255.0.2");
        know(AttachmentId(3), "192.168.9.2");
    }

    // And an hour goes by, in which ports have rested.
    void end_all() {
        auto& sessions = state_->tracker.of<Ipv4Address>();
        std::vector<nat::Slot> slots;
        sessions.for_each([&](nat::Slot slot) {
            if (!sessions[slot].core.is(nat::SessionMarks::kReverse)) slots.push_back(slot);
        });
        const std::uint32_t second = second_of(now(), state_->tsc_hz);
        for (const nat::Slot slot : slots) end_session<Ipv4Address>(*state_, *tables_, slot, second);
        expect(sessions.records() == 0, "every session has ended");
        for (const PortPoolRow& pool : tables_->port_pools)  // as control does
            for (nat::BlockRecord record; pool.shares->of(WorkerId(0)).log().pop(record);) {
            }
        past_ += 3600 * state_->tsc_hz;
        know_all();
        questions_.clear();
        replies_.clear();
    }
    std::uint64_t now() const noexcept { return rte_rdtsc() + past_; }

    double open(std::uint32_t sessions) {
        const std::uint32_t archive = Ipv4Address::parse("100.64.3.8")->value();
        for (std::uint32_t n = 0; n < sessions; ++n)
            questions_.push_back(
                {0x0a10'0000U + n / kPortsEach, archive, static_cast<std::uint16_t>(20'000 + n % kPortsEach), 53});
        std::vector<double> costs;
        for (std::uint32_t n = 0; n + kFrames <= sessions; n += kFrames) {
            std::array<Flow, kFrames> flows;
            std::copy_n(questions_.begin() + n, kFrames, flows.begin());
            noting_ = true;
            costs.push_back(walk(flows, false));
            noting_ = false;
        }
        expect(replies_.size() == questions_.size(), "every session is opened");
        return median(costs);
    }

    double walk(std::span<const Flow> flows, bool replies) {
        std::array<rte_mbuf*, kFrames> burst;
        expect(rte_pktmbuf_alloc_bulk(pool_.get(), burst.data(), kFrames) == 0, "buffers");
        const Attachment& from = tables_->attachments[replies ? 3 : 0];
        for (std::size_t i = 0; i < kFrames; ++i) write(burst[i], flows[i], from.mac);
        double cost = 0;
        {
            const std::uint64_t before = rte_rdtsc();
            Walk walk(*tables_, *state_, from.port, before + past_);
            for (std::size_t i = 0; i < kFrames; ++i) walk.packets[i].mbuf = burst[i];
            walk.received = kFrames;
            take_resumed(walk);
            walk_path(walk);
            cost = static_cast<double>(rte_rdtsc() - before) / kFrames;
            walk.account.received += kFrames;
        }
        Outbox& outbox = state_->outbox[tables_->attachments[replies ? 0 : 3].port.index()];
        expect(outbox.count == kFrames, "every packet leaves");
        if (noting_)
            for (std::size_t i = 0; i < outbox.count; ++i) note(rte_pktmbuf_mtod(outbox.frames[i], std::uint8_t*));
        rte_pktmbuf_free_bulk(outbox.frames.data(), static_cast<unsigned>(outbox.count));
        outbox.count = 0;
        return cost;
    }

    static void write(rte_mbuf* mbuf, const Flow& flow, const MacAddress& to) {
        constexpr std::uint16_t kLength = 46;  // of the IP packet: 60 bytes with Ethernet's header
        auto* const at = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
        std::memset(at, 0, sizeof(EthernetHeader) + kLength);
        auto& ethernet = *reinterpret_cast<EthernetHeader*>(at);
        ethernet.destination = to;
        ethernet.ether_type = Be16::from_host(0x0800);
        auto& ip = *reinterpret_cast<Ipv4Header*>(at + sizeof(EthernetHeader));
        ip.version_ihl = 0x45;
        ip.total_length = Be16::from_host(kLength);
        ip.ttl = 64;
        ip.protocol = kProtocolUdp;
        ip.source = Be32::from_host(flow.source);
        ip.destination = Be32::from_host(flow.destination);
        ip.checksum = checksum_of({reinterpret_cast<const std::uint8_t*>(&ip), sizeof ip});
        auto& udp = *reinterpret_cast<UdpHeader*>(at + sizeof(EthernetHeader) + sizeof ip);
        udp.source_port = Be16::from_host(flow.source_port);
        udp.destination_port = Be16::from_host(flow.destination_port);
        udp.length = Be16::from_host(kLength - sizeof ip);
        udp.checksum = Be16::from_host(0x1234);  // carried on, never looked at
        mbuf->data_len = sizeof(EthernetHeader) + kLength;
        mbuf->pkt_len = mbuf->data_len;
    }
    // What left is answered.
    void note(const std::uint8_t* frame) {
        const auto& ip = *reinterpret_cast<const Ipv4Header*>(frame + sizeof(EthernetHeader));
        const auto& udp = *reinterpret_cast<const UdpHeader*>(frame + sizeof(EthernetHeader) + sizeof ip);
        replies_.push_back(
            {ip.destination.to_host(), ip.source.to_host(), udp.destination_port.to_host(), udp.source_port.to_host()});
    }
    std::uint64_t next_random() noexcept {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        return random_ ^= random_ << 17;
    }

    Mempool pool_;
    std::unique_ptr<Tables> tables_;
    std::unique_ptr<WorkerState> state_;
    std::vector<Flow> questions_, replies_;
    bool noting_ = false;
    double opening_first_ = 0;
    std::uint64_t past_ = 0;  // cycles that went by at once
    std::uint64_t random_ = 88172645463325252ULL;
};

void measure(Report& report, bool behind, std::uint32_t sessions, int runs) {
    const std::string name = std::string(behind ? "port block" : "tracked") + ", " + std::to_string(sessions);
    Driver driver(behind, sessions);
    report.add({name + ": open, where none was before", figure_of({driver.opening_first()}), "cycles/packet"});
    std::vector<double> openings;
    for (int run = 0; run < runs; ++run) openings.push_back(driver.open_again());
    report.add({name + ": open", figure_of(openings), "cycles/packet", {}, 0, 1200});
    driver.answer_all();
    for (const bool replies : {false, true}) {
        std::vector<double> path, recall, translate;
        for (int run = -1; run < runs; ++run) {
            std::vector<double> walks;
            std::array<std::vector<double>, 2> stages;
            for (int i = 0; i < kWalks; ++i) {
                const std::array before = {driver.stage(Stage::recall), driver.stage(Stage::translate)};
                walks.push_back(driver.walk(replies));
                const std::array now = {driver.stage(Stage::recall), driver.stage(Stage::translate)};
                for (std::size_t s = 0; s < stages.size(); ++s)  // one walk in sixteen is timed
                    if (now[s].timed_packets != before[s].timed_packets)
                        stages[s].push_back(static_cast<double>(now[s].timed_cycles - before[s].timed_cycles) /
                                            static_cast<double>(now[s].timed_packets - before[s].timed_packets));
            }
            if (run < 0) continue;
            path.push_back(median(walks));
            recall.push_back(median(stages[0]));
            translate.push_back(median(stages[1]));
        }
        const std::string way = name + (replies ? ": answers" : ": questions");
        report.add({way + ", path", figure_of(path), "cycles/packet", {}, 0, 100});
        report.add({way + ", recall", figure_of(recall), "cycles/packet"});
        report.add({way + ", translate", figure_of(translate), "cycles/packet", {}, 0, 60});
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::string json;
    int runs = 7;
    std::vector<std::uint32_t> sizes = {65'536, 1'048'576};
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view option(argv[i]);
        if (option == "--json") json = argv[i + 1];
        if (option == "--runs") runs = std::atoi(argv[i + 1]);
        if (option == "--sessions") sizes = {static_cast<std::uint32_t>(std::strtoul(argv[i + 1], nullptr, 10))};
    }
    const Eal eal("session_bench", Eal::Pages::huge_if_free);
    expect(eal.why_not().empty(), eal.why_not().c_str());
    fmt::print("packet buffers in {} pages; medians of {} runs; TSC cycles\n\n",
               eal.has_huge_pages() ? "huge" : "small", runs);
    Report report("session");
    for (const std::uint32_t sessions : sizes)
        for (const bool behind : {false, true}) measure(report, behind, sessions, runs);
    return json.empty() || report.write(json) ? 0 : 1;
}

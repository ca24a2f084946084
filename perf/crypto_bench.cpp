// ESP seal and open beside the bare cipher call, in one process: what the stage costs above its floor.
//
//   crypto_bench [--json FILE] [--runs N] [--only stage|keys|engines]
// Sizes are Ethernet frames without FCS, before sealing or after opening; so the cipher works on the frame less 14
// bytes, plus padding and trailer. The floor is IPsec-MB's direct call on as many bytes of the same buffers, with AAD
// and nonce prepared. Packets are as hot as 512 buffers are. Cycles are TSC's.
#include <cstring>
#include <optional>

#include "crypto/esp.hpp"
#include "crypto/esp_header.hpp"
#include "net/headers.hpp"
#include "perf/bare_gcm.hpp"
#include "perf/bench.hpp"
#include "perf/report.hpp"

using namespace sekisho;
using namespace sekisho::crypto;
using namespace sekisho::perf;

namespace {

constexpr std::size_t kPackets = 512;
constexpr std::size_t kBurst = 32;
constexpr std::size_t kStride = 2048 + 128 + 64;
constexpr std::size_t kHead = 128;
constexpr std::size_t kOuter = sizeof(Ipv4Header);

// Buffers with an inner packet of `length` bytes each, UDP over IPv4.
class Packets {
  public:
    explicit Packets(std::uint32_t length) : length_(length), memory_(kPackets * kStride) {
        for (std::size_t i = 0; i < kPackets; ++i) {
            Ipv4Header ip{};
            ip.version_ihl = 0x45;
            ip.total_length = Be16::from_host(static_cast<std::uint16_t>(length));
            ip.ttl = 64;
            ip.protocol = kProtocolUdp;
            ip.source = Ipv4Address(0x0a010001).wire();
            ip.destination = Ipv4Address(0x0a020001).wire();
            std::memcpy(inner(i), &ip, sizeof ip);
        }
    }
    std::uint8_t* inner(std::size_t i) noexcept { return memory_.data() + i * 237 % kPackets * kStride + kHead; }
    std::uint32_t length() const noexcept { return length_; }
    std::uint32_t cipher_length() const noexcept { return (length_ + 2 + 3) / 4 * 4; }

  private:
    std::uint32_t length_;
    std::vector<std::uint8_t> memory_;
};

// `count` pairs of SAs with a worker's engine.
struct Node {
    Node(EngineKind kind, Suite suite, std::size_t count)
        : engine(must(make_engine(kind))), store(prepared_bytes(kind)), esp(*engine) {
        const Selector any[] = {{Prefix4(), Prefix4()}};
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<std::uint8_t> material(text_of(suite).key_length + kSaltLength);
            for (std::size_t j = 0; j < material.size(); ++j)
                material[j] = static_cast<std::uint8_t>(i >> (j % 3) * 8 ^ j);
            OutboundConfig outbound{Spi(static_cast<std::uint32_t>(1000 + i)), suite, true};
            outbound.local = Ipv4Address(0xc0000201);
            outbound.peer = Ipv4Address(0xc6336402);
            out.push_back(must(OutboundSa::make(outbound, Secret(material), *engine, store)));
            out.back()->sequence().begin(1, out.back()->last_sequence());
            out.back()->sequence().extend(out.back()->last_sequence() + 1);
            InboundConfig inbound{outbound.spi, suite, true};
            inbound.selectors.assign(std::begin(any), std::end(any));
            if (count > 1) inbound.replay_window = 64;
            in.push_back(must(InboundSa::make(inbound, Secret(material), *engine, store)));
        }
    }
    std::unique_ptr<AeadEngine> engine;
    KeyStore store;
    Esp esp;
    std::vector<std::unique_ptr<OutboundSa>> out;
    std::vector<std::unique_ptr<InboundSa>> in;
};

void seal_burst(Node& node, Packets& packets, std::size_t first, const std::vector<std::uint32_t>& which) {
    SealPacket burst[kBurst];
    for (std::size_t i = 0; i < kBurst; ++i) {
        burst[i].data = packets.inner(first + i);
        burst[i].length = packets.length();
        burst[i].headroom = kHead;
        burst[i].tailroom = 64;
        burst[i].sa = node.out[which[first + i]].get();
        if (i == 0 || burst[i].sa != burst[i - 1].sa) burst[i].sa->prefetch();  // as the path does
    }
    node.esp.seal(burst);
    expect(burst[0].outcome == EspOutcome::done && burst[kBurst - 1].outcome == EspOutcome::done, "sealed");
}

void open_burst(Node& node, Packets& packets, std::size_t first, const std::vector<std::uint32_t>& which) {
    OpenPacket burst[kBurst];
    for (std::size_t i = 0; i < kBurst; ++i) {
        burst[i].esp = packets.inner(first + i) - sizeof(EspHeader);
        burst[i].length = static_cast<std::uint32_t>(sizeof(EspHeader) + packets.cipher_length() + kIcvLength);
        burst[i].sa = node.in[which[first + i]].get();
        if (i == 0 || burst[i].sa != burst[i - 1].sa) burst[i].sa->prefetch();
    }
    for (std::size_t i = 0; i < kBurst; ++i)
        if (i == 0 || burst[i].sa != burst[i - 1].sa) burst[i].sa->prefetch_behind();
    node.esp.open(burst);
    expect(burst[0].outcome == EspOutcome::done && burst[kBurst - 1].outcome == EspOutcome::done, "opened");
}

void bare_burst(BareGcm& bare, Packets& packets, std::size_t first, bool seal) {
    std::uint8_t* at[kBurst];
    std::uint32_t lengths[kBurst];
    for (std::size_t i = 0; i < kBurst; ++i) {
        at[i] = packets.inner(first + i);
        lengths[i] = packets.cipher_length();
    }
    bare.run(at, lengths, seal);
}

// Passes over all packets: each seals and then opens, timed apart, the bare calls between. Cycles a packet.
struct Costs {
    std::vector<double> seal, open, bare_seal, bare_open;
};

Costs measure(Node& node, Packets& packets, Suite suite, int runs) {
    BareGcm bare(suite);
    Costs costs;
    // Each pass has SAs at random of its own: of many, none was met lately.
    std::vector<std::uint32_t> which(kPackets);
    std::uint64_t random = 1;
    const auto pass = [](auto work) {
        std::vector<double> slices;
        constexpr std::size_t kSlice = 128;
        for (std::size_t first = 0; first < kPackets; first += kSlice) {
            const std::uint64_t before = cycles();
            for (std::size_t i = first; i < first + kSlice; i += kBurst) work(i);
            slices.push_back(static_cast<double>(cycles() - before) / kSlice);
        }
        return median(slices);
    };
    constexpr int kPassesARun = 60;
    for (int run = -1; run < runs; ++run) {
        std::vector<double> each[4];
        for (int i = 0; i < kPassesARun; ++i) {
            for (std::uint32_t& one : which) {
                random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                one = static_cast<std::uint32_t>((random >> 33) % node.in.size());
            }
            each[0].push_back(pass([&](std::size_t first) { seal_burst(node, packets, first, which); }));
            each[1].push_back(pass([&](std::size_t first) { open_burst(node, packets, first, which); }));
            // An even number of passes over a stream cipher leaves the inner packets as they were.
            each[2].push_back(pass([&](std::size_t first) { bare_burst(bare, packets, first, true); }));
            each[3].push_back(pass([&](std::size_t first) { bare_burst(bare, packets, first, false); }));
        }
        if (run < 0) continue;
        costs.seal.push_back(median(each[0]));
        costs.open.push_back(median(each[1]));
        costs.bare_seal.push_back(median(each[2]));
        costs.bare_open.push_back(median(each[3]));
    }
    return costs;
}

void add(Report& report, const std::string& name, const std::vector<double>& ours, const std::vector<double>& floor,
         std::optional<double> goal) {
    report.add({name, figure_of(ours), "cycles/packet", kBareCall, figure_of(floor).median, goal});
}

// One SA: the goal is at most 20 cycles above the floor at 64 B and 20 % above it at 1,400 B.
void stages(Report& report, const Options& options) {
    for (const Suite suite : {Suite::aes_gcm_128, Suite::aes_gcm_256}) {
        for (const std::uint32_t frame : {64U, 512U, 1400U}) {
            Node node(fastest_engine(), suite, 1);
            Packets packets(frame - 14);
            const Costs costs = measure(node, packets, suite, options.runs);
            const auto goal = [&](const std::vector<double>& floor) -> std::optional<double> {
                if (suite != Suite::aes_gcm_128 || frame == 512) return std::nullopt;
                return frame == 64 ? median(floor) + 20 : median(floor) * 1.2;
            };
            const std::string name = fmt::format("{}, {} B", name_of(suite), frame);
            add(report, "seal " + name, costs.seal, costs.bare_seal, goal(costs.bare_seal));
            add(report, "open " + name, costs.open, costs.bare_open, goal(costs.bare_open));
        }
    }
}

// SAs at random, a packet each: their keys come from memory.
void many_keys(Report& report, const Options& options) {
    constexpr std::size_t kSas = 100'000;
    Node node(fastest_engine(), Suite::aes_gcm_128, kSas);
    Packets packets(50);
    const Costs costs = measure(node, packets, Suite::aes_gcm_128, options.runs);
    add(report, "seal 64 B, a random SA of 100,000 each", costs.seal, costs.bare_seal, std::nullopt);
    add(report, "open 64 B, a random SA of 100,000 each", costs.open, costs.bare_open, std::nullopt);
}

void all_engines(Report& report, const Options& options) {
    for (const EngineKind kind : engines_here()) {
        for (const std::uint32_t frame : {64U, 1400U}) {
            Node node(kind, Suite::aes_gcm_128, 1);
            Packets packets(frame - 14);
            const Costs costs = measure(node, packets, Suite::aes_gcm_128, options.runs);
            add(report, fmt::format("seal by {}, {} B", name_of(kind), frame), costs.seal, costs.bare_seal, {});
            add(report, fmt::format("open by {}, {} B", name_of(kind), frame), costs.open, costs.bare_open, {});
        }
    }
}

}  // namespace

int main(int count, char** words) {
    const Options options = options_of(count, words, 5, "stage|keys|engines");
    fmt::print("{}; bursts of {}; medians of {} runs; TSC cycles a packet\n\n",
               must(make_engine(fastest_engine()))->description(), kBurst, options.runs);
    Report report("crypto");
    if (options.wants("stage")) stages(report, options);
    if (options.wants("keys")) many_keys(report, options);
    if (options.wants("engines")) all_engines(report, options);
    return written(report, options);
}

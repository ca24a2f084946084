// kill -9 at random, again and again, under traffic: every sealed packet's key and IV is collected, and none repeats.
//
// A child opens the ledger, asks for the same three manual keys each time, and two threads seal bursts while a third
// renews reserves that are kept so small that they end all the time. What was sealed is written into memory shared with
// the parent before it counts as sent; that memory and the witness outlive the child. Prints its seed.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/crypto/esp_support.hpp"
#include "tests/crypto/ledger_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr int kUnderTraffic = 200;  // kills, and how many in all until then at most
constexpr int kMostKills = 400;
constexpr std::size_t kKeys = 3;
constexpr std::size_t kRoom = 1 << 22;
constexpr std::uint64_t kRoundRoom = 15'000;
constexpr int kIvBits = 56;  // no IV here comes near

struct Sent {
    std::uint64_t key;
    std::uint64_t iv;
    friend auto operator<=>(const Sent&, const Sent&) = default;
};

// Shared with the children; outlives them.
struct Shared {
    std::atomic<std::uint64_t> count;
    std::atomic<std::uint64_t> witnessed;         // number of the one ledger's epoch
    std::array<std::uint8_t, 16> marks[1 << 16];  // by number, written before it
    std::atomic<std::uint64_t> renewals;
    std::atomic<std::uint64_t> exhausted;
    std::atomic<std::uint64_t> failures;  // a child that could not do its work
    // The key's number above the IV: one store, so that a kill leaves all of it or zero.
    std::atomic<std::uint64_t> sent[kRoom];
};

class SharedWitness : public Witness {
  public:
    explicit SharedWitness(Shared& shared) : shared_(shared) {}
    Expected<std::optional<LedgerEpoch>> epoch_of(const LedgerId&) override { return std::optional(known()); }
    Expected<void> record(const LedgerId&, const LedgerEpoch& epoch) override {
        if (epoch == known()) return {};
        if (epoch.number <= known().number) return Error{ErrorCode::invalid, "an epoch of a clone"};
        shared_.marks[epoch.number % std::size(shared_.marks)] = epoch.mark;
        shared_.witnessed.store(epoch.number);
        return {};
    }
    Expected<void> claim(const LedgerId&, std::span<const Fingerprint>) override { return {}; }

  private:
    LedgerEpoch known() const {
        const std::uint64_t number = shared_.witnessed.load();
        return {number, shared_.marks[number % std::size(shared_.marks)]};
    }

    Shared& shared_;
};

void seal_traffic(Shared& shared, EngineKind kind, const std::vector<std::unique_ptr<OutboundSa>>& sas,
                  std::uint64_t seed, std::uint64_t room_until) {
    std::mt19937_64 random(seed);
    const auto engine = std::move(*make_engine(kind));
    Esp esp(*engine);
    const Bytes inner = InnerPacket{}.bytes();
    for (;;) {
        std::vector<ToSeal> several;
        std::vector<SealPacket> burst;
        std::vector<std::size_t> keys;
        for (std::size_t i = 1 + random() % 40; i > 0; --i) {
            keys.push_back(random() % 4 == 0 || keys.empty() ? random() % kKeys : keys.back());
            several.emplace_back(sas[keys.back()].get(), inner, 64);
        }
        for (ToSeal& one : several) burst.push_back(one.packet);
        esp.seal(burst);
        for (std::size_t i = 0; i < burst.size(); ++i) {
            if (burst[i].outcome == EspOutcome::dropped) {
                if (burst[i].reason == DropReason::nonce_reserve_exhausted) ++shared.exhausted;
                continue;
            }
            const auto* const header = reinterpret_cast<const EspHeader*>(burst[i].data + 20);
            const std::uint64_t at = shared.count.fetch_add(1);
            if (at < kRoom) shared.sent[at].store((keys[i] + 1) << kIvBits | header->iv.to_host());
        }
        if (shared.count.load() > room_until) std::this_thread::sleep_for(1ms);
        if (random() % 8 == 0) std::this_thread::yield();
    }
}

[[noreturn]] void child(Shared& shared, const std::string& path, std::uint64_t seed) {
    SharedWitness witness(shared);
    LedgerOptions options{path, &witness};
    options.smallest_reserve = 64;
    options.largest_reserve = 512;
    const auto ledger = Ledger::open(options);
    const EngineKind kind = fastest_engine();
    KeyStore store(prepared_bytes(kind));
    auto engine = make_engine(kind);
    std::vector<std::unique_ptr<OutboundSa>> sas;
    std::vector<NumberRequest> requests;
    for (std::uint8_t i = 0; engine && i < kKeys; ++i) {
        OutboundConfig config{Spi(1000U + i), Suite::aes_gcm_128, i != 0};
        config.local = *IpAddress::parse("192.0.2.1");
        config.peer = *IpAddress::parse("198.51.100.2");
        const Secret material(Bytes(20, static_cast<std::uint8_t>(0x40 + i)));
        auto sa = OutboundSa::make(config, material, **engine, store);
        if (!sa) break;
        sas.push_back(std::move(*sa));
        requests.push_back({fingerprint_of(config.suite, material), KeyOrigin::manual, kNow,
                            sas.back()->last_sequence(), &sas.back()->sequence()});
    }
    const auto admitted = ledger->admit(requests, kNow, std::chrono::steady_clock::now());
    if (!admitted || sas.size() != kKeys) {
        std::fprintf(stderr, "child: %s\n", admitted ? "no SAs" : admitted.error().words.c_str());
        ++shared.failures;
        _exit(1);
    }
    const std::uint64_t room_until = shared.count.load() + kRoundRoom;
    std::thread first([&] { seal_traffic(shared, kind, sas, seed, room_until); });
    std::thread second([&] { seal_traffic(shared, kind, sas, seed + 1, room_until); });
    for (;;) {
        if (!ledger->renew(std::chrono::steady_clock::now())) ++shared.failures;
        ++shared.renewals;
    }
}

}  // namespace

int main() {
    Random random("kill -9 under traffic");
    void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    Shared& shared = *new (memory) Shared;
    const Directory directory;
    const std::string path = directory.file("ledger");
    SharedWitness witness(shared);
    if (!Ledger::make(LedgerOptions{path, &witness}, kBirth)) return 1;

    int kills = 0, with_traffic = 0;
    for (; with_traffic < kUnderTraffic && kills < kMostKills; ++kills) {
        const std::uint64_t before = shared.count.load();
        const std::uint64_t seed = random.word();
        const pid_t pid = fork();
        if (pid == 0) child(shared, path, seed);
        // One in four at any moment of its start, the others while packets flow.
        if (!random.one_in(4))
            for (int i = 0; i < 5000 && shared.count.load() == before && shared.failures == 0; ++i)
                std::this_thread::sleep_for(std::chrono::microseconds(200));
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(12'000)));
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        with_traffic += shared.count.load() != before;
    }

    const std::size_t count = std::min<std::size_t>(shared.count.load(), kRoom);
    std::vector<Sent> all;
    for (std::size_t i = 0; i < count; ++i)
        if (const std::uint64_t word = shared.sent[i];
            word != 0)  // else killed between taking the place and filling it
            all.push_back({word >> kIvBits, word & ((std::uint64_t{1} << kIvBits) - 1)});
    std::sort(all.begin(), all.end());
    const auto repeated = std::adjacent_find(all.begin(), all.end());
    std::printf("%d kills, %d of them under traffic; %zu packets, %llu renewals, %llu packets met a spent reserve\n",
                kills, with_traffic, all.size(), static_cast<unsigned long long>(shared.renewals.load()),
                static_cast<unsigned long long>(shared.exhausted.load()));
    bool fine = true;
    const auto expect = [&fine](bool holds, const char* what) {
        if (!holds) std::printf("FAILED: %s\n", what);
        fine = fine && holds;
    };
    expect(repeated == all.end(), "no (key, IV) repeats");
    if (repeated != all.end())
        std::printf("key %llu, IV %llu\n", static_cast<unsigned long long>(repeated->key),
                    static_cast<unsigned long long>(repeated->iv));
    expect(shared.failures == 0, "every child could open the ledger and renew");
    expect(with_traffic >= kUnderTraffic, "200 kills under traffic");
    expect(shared.count <= kRoom, "every packet was kept");
    expect(all.size() > 10'000, "10,000 packets");
    expect(shared.exhausted > 0, "reserves ended under traffic");
    return fine ? 0 : 1;
}

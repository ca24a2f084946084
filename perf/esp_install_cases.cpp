// How fast SAs are installed, without the control socket: their keys prepared, their numbers from a ledger on disk.
#include <filesystem>

#include "crypto/ledger.hpp"
#include "perf/esp_cases.hpp"
#include "perf/esp_node.hpp"

namespace sekisho::perf {

// Half of the SAs inbound, half outbound with their numbers from a ledger on disk, 4,096 a commit.
void installs(Report& report, const Options& options) {
    constexpr std::uint32_t kSas = 288'000, kBatch = 4096;
    std::vector<double> rates;
    for (int run = 0; run < std::min(3, options.runs); ++run) {
        Node node(bench_policy().tables());
        const auto file = std::filesystem::temp_directory_path() / fmt::format("sekisho-bench-{}.ledger", getpid());
        const auto wall = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
        crypto::LedgerOptions ledger_options;
        ledger_options.path = file;
        ledger_options.local_ledger = true;
        const auto begin = std::chrono::steady_clock::now();
        {
            expect(crypto::Ledger::make(ledger_options, wall - std::chrono::hours(2)).has_value(), "a new ledger");
            const auto ledger = crypto::Ledger::open(ledger_options);
            for (std::uint32_t first = 0; first < kSas / 2; first += kBatch) {
                std::vector<Associations::Outbound> batch;
                std::vector<crypto::NumberRequest> requests;
                for (std::uint32_t i = first; i < std::min(first + kBatch, kSas / 2); ++i) {
                    inbound(node, i);
                    crypto::OutboundConfig config{Spi(1000 + i)};
                    config.local = address(kOuter4.hub);
                    config.peer = address(kOuter4.peer);
                    const Secret key = key_of(1'000'000 + i);
                    batch.push_back(must(node.associations->make_outbound(config, key)));
                    requests.push_back({crypto::fingerprint_of(config.suite, key), crypto::KeyOrigin::manual,
                                        wall - std::chrono::hours(1), batch.back()->last_sequence(),
                                        &batch.back()->sequence()});
                }
                expect(ledger->admit(requests, wall, std::chrono::steady_clock::now()).has_value(), "numbers");
                for (std::size_t i = 0; i < batch.size(); ++i)
                    expect(node.associations
                               ->switch_outbound(TunnelId(static_cast<std::uint32_t>(1 + first + i)), batch[i], {})
                               .has_value(),
                           "installed");
            }
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
            rates.push_back(kSas / took.count());
            expect(node.associations->size() == kSas, "all of them");
        }
        std::filesystem::remove(file);
    }
    report.add({"288,000 SAs installed, ledger and all", figure_of(rates), "SAs/s", "", 0, 50'000, true});
}

}  // namespace sekisho::perf

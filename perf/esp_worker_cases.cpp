// Two workers on one SA.
#include <barrier>
#include <thread>

#include "perf/esp_cases.hpp"
#include "perf/esp_driver.hpp"

namespace sekisho::perf {

// Both workers on one SA, each walking what came to its own queue. The window is wide, for whoever has a core taken
// away would find the other beyond a usual one.
void two_workers(Report& report, const Options& options) {
    for (const Size& size : kSizes)
        for (const bool seal : {true, false}) {
            std::vector<double> ratios;
            for (int run = 0; run < options.runs; ++run) {
                double cost[2];
                for (const std::size_t workers : {1U, 2U}) {
                    Node node(bench_policy().tables(), workers);
                    introduce(node);
                    inbound(node, 0, 1U << 20);
                    expect(node.associations->switch_outbound(kHigashiTunnel, outbound(node, 1), {}).has_value(),
                           "an SA");
                    const Peer peer(1);
                    std::barrier start(static_cast<std::ptrdiff_t>(workers));
                    std::vector<std::vector<double>> walks(workers);
                    std::vector<std::thread> threads;
                    for (std::size_t w = 0; w < workers; ++w)
                        threads.emplace_back([&, w] {
                            cpu_set_t cpus;
                            CPU_ZERO(&cpus);
                            CPU_SET(w, &cpus);
                            pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
                            expect(rte_thread_register() == 0, "an lcore number, and so a cache of buffers");
                            Driver driver(node, peer, {seal, size.sizes}, w);
                            start.arrive_and_wait();
                            for (int i = 0; i < 5 * kWalks; ++i) walks[w].push_back(driver.walk());
                            rte_thread_unregister();
                        });
                    for (std::thread& thread : threads) thread.join();
                    double sum = 0;
                    for (const auto& each : walks) sum += median(each);
                    cost[workers - 1] = sum / static_cast<double>(workers);
                }
                ratios.push_back(2 * cost[0] / cost[1]);
            }
            const bool named = size.sizes[0] == 1400 || size.sizes.size() > 1;
            report.add({fmt::format("two workers on one SA, {} {}", seal ? "seal" : "open", size.name),
                        figure_of(ratios), "times one worker", "one worker", 1,
                        named ? std::optional(1.8) : std::nullopt, true});
        }
}

}  // namespace sekisho::perf

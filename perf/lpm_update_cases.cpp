// The update cases: bulk loads, and a writer that erases and inserts while a reader looks up.
#include <atomic>
#include <deque>
#include <thread>

#include "perf/lpm_cases.hpp"

namespace sekisho::perf {

namespace {

// Keeps what a Fib lets go until the one reader has been between two batches since.
class Grace {
  public:
    void quiescent() noexcept { walks_.fetch_add(1, std::memory_order_release); }

    void retire(std::shared_ptr<const void> held) {
        const std::uint64_t now = walks_.load(std::memory_order_acquire);
        while (!held_.empty() && held_.front().first + 1 < now) held_.pop_front();
        held_.emplace_back(now, std::move(held));
    }

  private:
    std::atomic<std::uint64_t> walks_ = 0;
    std::deque<std::pair<std::uint64_t, std::shared_ptr<const void>>> held_;
};

// What a peer takes in: routes a second.
struct PeerRate {
    std::string name = {};  // empty: not measured
    double value = 0;
};

// Routes a second that one thread erases and inserts again, with another looking up all the while.
template <class Address>
void churn(Bench& bench, const std::string& name, const Routes<Address>& routes, const PeerRate& peer,
           std::size_t view_every) {
    lpm::Fib<Address> fib = filled<Address>({routes});
    Random random(5);
    const auto stream = draw<Address>("1 M addresses", {routes}, kMany, kMany, random);
    Grace grace;
    const lpm::FibView<Address> view =
        fib.follow([&grace](std::shared_ptr<const void> held) { grace.retire(std::move(held)); });
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> looked_up = 0;
    double reader_seconds = 0;
    std::thread reader([&] {
        const Subject subject = asking(view, stream, false).subject;
        const double before = thread_seconds();
        for (std::size_t i = 0; !stop.load(std::memory_order_relaxed); i = (i + kBatch) % stream.keys.size()) {
            subject.work(i, kBatch);
            grace.quiescent();
            looked_up.fetch_add(kBatch, std::memory_order_relaxed);
        }
        reader_seconds = thread_seconds() - before;
    });
    std::vector<double> rates;
    constexpr std::size_t kUpdates = 100'000;
    std::size_t failed = 0;
    lpm::FibView<Address> snapshot;
    for (int run = 0; run < bench.options.runs; ++run) {
        const double before = thread_seconds();
        for (std::size_t i = 0; i < kUpdates; i += 2) {
            const auto& route = routes[random() % routes.size()];
            bool fine = fib.erase(0, route.prefix).has_value();
            fine = fib.insert(0, route.prefix, route.row).has_value() && fine;
            failed += !fine;
            if (view_every != 0 && i % view_every == 0) snapshot = fib.view();
        }
        rates.push_back(static_cast<double>(kUpdates) / (thread_seconds() - before));
    }
    stop = true;
    reader.join();
    if (failed != 0) bench.fault(fmt::format("{}: {} were refused", name, failed));
    bench.report.add({name, figure_of(rates), "routes/s", peer.name, peer.value, 500'000.0, true});
    bench.report.add({name + ": the reader meanwhile",
                      exact_figure(reader_seconds * 1e9 / static_cast<double>(looked_up.load())), "ns/lookup"});
    bench.report.add({name + ": memory after", exact_figure(mebibytes(fib.memory())), "MiB"});
}

template <class Address>
double load_seconds(Bench& bench, const Routes<Address>& routes) {
    lpm::Fib<Address> fib(1);
    const double before = thread_seconds();
    const auto loaded = fib.load(0, routes);
    const double taken = thread_seconds() - before;
    if (!loaded) bench.fault("bulk load: " + loaded.error().words);
    return taken;
}

// The family's updates beside what its peer takes in, which has no readers meanwhile.
template <class Address>
void updates_of(Bench& bench, const std::string& family, const std::string& peer, Routes<Address> routes) {
    if (routes.empty()) return;
    number_rows(routes, 1000);
    Random random(7);
    std::vector<double> adds;
    std::vector<double> changes;
    for (int run = 0; bench.options.peers && run < bench.options.runs; ++run) {
        const auto rates = Peers<Address>::update_rates(routes, random);
        if (!rates) break;
        adds.push_back(rates->adds);
        changes.push_back(rates->changes);
    }
    PeerRate peer_rate;
    if (!adds.empty()) {
        bench.report.add({peer + " delete and add, full " + family, figure_of(changes), "routes/s"});
        bench.report.add({peer + " add, full " + family, figure_of(adds), "routes/s"});
        // The same work: an add to a table that is being filled is less of it.
        peer_rate = {peer + " delete and add", figure_of(changes).median};
    }
    churn(bench, "updates, full " + family + ", followed", routes, peer_rate, 0);
    churn(bench, "updates, full " + family + ", a view each 10,000", routes, peer_rate, 10'000);
}

}  // namespace

void updates(Bench& bench, const FullTables& full) {
    Random random(6);
    const Routes4 many4 = random_routes<Ipv4Address>(1'000'000, random);
    const Routes6 many6 = random_routes<Ipv6Address>(1'000'000, random);
    std::vector<double> random_loads;
    std::vector<double> full_loads;
    for (int run = 0; run < 5; ++run) {
        random_loads.push_back(load_seconds(bench, many4) + load_seconds(bench, many6));
        full_loads.push_back(load_seconds(bench, full.ipv4) + load_seconds(bench, full.ipv6));
    }
    bench.report.add({"bulk load, 1 M + 1 M random routes", figure_of(random_loads), "s", "", 0, 2.0});
    if (!full.ipv4.empty() && !full.ipv6.empty())
        bench.report.add({"bulk load, full IPv4 + full IPv6", figure_of(full_loads), "s"});
    updates_of(bench, "IPv4", "rte_fib", full.ipv4);
    updates_of(bench, "IPv6", "rte_fib6", full.ipv6);
}

}  // namespace sekisho::perf

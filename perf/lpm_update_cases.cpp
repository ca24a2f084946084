// The update cases: bulk loads, and a writer that erases and inserts while a reader looks up.
#include <atomic>
#include <ctime>
#include <deque>
#include <thread>

#include "perf/lpm_cases.hpp"

namespace sekisho::perf {

namespace {

// Processor time of this thread: what is left out is what others took of the core.
double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

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

// Routes a second that one thread erases and inserts again, with another looking up all the while.
template <class Address>
void churn(Report& report, const Options& options, const std::string& name, const Routes<Address>& routes,
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
        const Subject subject = asking("ours", view, stream, false);
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
    lpm::FibView<Address> snapshot;
    for (int run = 0; run < options.runs; ++run) {
        const double before = thread_seconds();
        for (std::size_t i = 0; i < kUpdates; i += 2) {
            const auto& route = routes[random() % routes.size()];
            bool fine = fib.erase(0, route.prefix).has_value();
            fine = fib.insert(0, route.prefix, route.row).has_value() && fine;
            if (!fine) fmt::print("!! an update failed\n");
            if (view_every != 0 && i % view_every == 0) snapshot = fib.view();
        }
        rates.push_back(static_cast<double>(kUpdates) / (thread_seconds() - before));
    }
    stop = true;
    reader.join();
    report.add({name, figure_of(rates), "routes/s", "", 0, 500'000.0, true});
    report.add({name + ": the reader meanwhile",
                exact_figure(reader_seconds * 1e9 / static_cast<double>(looked_up.load())), "ns/lookup"});
    report.add({name + ": memory after", exact_figure(mebibytes(fib.memory())), "MiB"});
}

template <class Address>
double load_seconds(const Routes<Address>& routes) {
    lpm::Fib<Address> fib(1);
    const double before = thread_seconds();
    if (!fib.load(0, routes)) fmt::print("!! the load failed\n");
    return thread_seconds() - before;
}

}  // namespace

void updates(Report& report, const Options& options, const Routes4& full4, const Routes6& full6) {
    Random random(6);
    const Routes4 many4 = random_routes<Ipv4Address>(1'000'000, random);
    const Routes6 many6 = random_routes<Ipv6Address>(1'000'000, random);
    std::vector<double> random_loads;
    std::vector<double> full_loads;
    for (int run = 0; run < 5; ++run) {
        random_loads.push_back(load_seconds(many4) + load_seconds(many6));
        full_loads.push_back(load_seconds(full4) + load_seconds(full6));
    }
    report.add({"bulk load, 1 M + 1 M random routes", figure_of(random_loads), "s", "", 0, 2.0});
    report.add({"bulk load, full IPv4 + full IPv6", figure_of(full_loads), "s"});
    Routes4 rows4 = full4;
    Routes6 rows6 = full6;
    number_rows(rows4, 1000);
    number_rows(rows6, 1000);
    churn(report, options, "updates, full IPv4, followed", rows4, 0);
    churn(report, options, "updates, full IPv6, followed", rows6, 0);
    churn(report, options, "updates, full IPv6, a view each 10,000", rows6, 10'000);
    churn(report, options, "updates, full IPv4, a view each 10,000", rows4, 10'000);
    if (options.peers) {
        Peers<Ipv4Address> peers(rows4);
        report.add({"rte_fib add, full IPv4", exact_figure(peers.add_cycles()), "cycles/route"});
    }
}

}  // namespace sekisho::perf

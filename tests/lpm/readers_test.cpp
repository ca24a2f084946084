// Readers while a writer changes tables under them: no wrong answer, no answer from memory that was let go.
//
// Under ThreadSanitizer the scalar version is used: the others read whole cache lines, and with them neighbours that
// the writer may be filling, whose bytes they mask out.
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include "net/simd.hpp"
#include "tests/lpm/oracle.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

constexpr int kChanges = sekisho::test::kSanitized ? 3'000 : 20'000;

// What rte_rcu_qsbr is in the hub: readers say when they hold nothing; what was let go waits for all of them.
class Grace {
  public:
    explicit Grace(std::size_t readers) : seen_(readers) {}

    void quiescent(std::size_t reader) noexcept {
        seen_[reader].store(now_.load(std::memory_order_acquire), std::memory_order_release);
    }
    void retire(std::shared_ptr<const void> held) {
        held_.emplace_back(now_.fetch_add(1, std::memory_order_acq_rel) + 1, std::move(held));
        std::uint64_t all = ~std::uint64_t{0};
        for (const auto& seen : seen_) all = std::min(all, seen.load(std::memory_order_acquire));
        while (!held_.empty() && held_.front().first <= all) held_.pop_front();
    }
    std::size_t waiting() const noexcept { return held_.size(); }

  private:
    std::atomic<std::uint64_t> now_ = 1;
    std::vector<std::atomic<std::uint64_t>> seen_;
    std::deque<std::pair<std::uint64_t, std::shared_ptr<const void>>> held_;
};

// Nested prefixes of a small tree that come and go over a route that stays. The row of a prefix says its length, so a
// right answer is the length of some prefix over the address: any else is torn, or from memory used again. `others`
// more routes of `region` are there from the start: with enough of them the root is wide.
template <class Address>
void follow_under_churn(const char* name, const Prefix<Address>& region = {}, std::size_t others = 0) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    const Simd before = simd();
    if (sekisho::test::kThreadSanitizer) (void)use_simd(Simd::scalar);
    constexpr std::size_t kReaders = 2;
    Fib<Address> fib(2);
    Grace grace(kReaders);
    std::vector<Address> centres;
    for (int i = 0; i < 12; ++i) centres.push_back(inside(random, region));
    std::vector<Route<Address>> routes = {{{}, 0}};
    while (routes.size() <= others) {
        const Prefix<Address> prefix =
            near_prefix<Address>(random, {inside(random, region), centres[routes.size() % 12]});
        if (region.contains(prefix)) routes.push_back({prefix, static_cast<Row>(prefix.length())});
    }
    REQUIRE(fib.load(1, routes));
    const FibView<Address> view = fib.follow([&](std::shared_ptr<const void> held) { grace.retire(std::move(held)); });
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> wrong = 0;
    std::atomic<std::size_t> asked = 0;
    std::vector<std::thread> readers;
    for (std::size_t reader = 0; reader < kReaders; ++reader) {
        readers.emplace_back([&, reader] {
            Random mine(seed + reader + 1);
            std::vector<typename KeyOf<Address>::type> keys(64);
            std::vector<Row> rows(64);
            const std::vector<TableId> tables(64, 1);
            while (!stop.load(std::memory_order_relaxed)) {
                for (auto& key : keys) {
                    const Address& centre = centres[below(mine, centres.size())];
                    key = KeyOf<Address>::of(inside(mine, Prefix<Address>(centre, static_cast<int>(below(mine, 33)))));
                }
                view.find(tables.data(), keys.data(), rows.data(), keys.size());
                for (const Row row : rows) wrong += row > static_cast<Row>(Address::kBits);
                asked += rows.size();
                grace.quiescent(reader);
            }
        });
    }
    std::map<Prefix<Address>, bool> there;
    // Short prefixes touch most of the table each: few of them.
    for (int i = 0; i < kChanges; ++i) {
        const Prefix<Address> prefix = near_prefix(random, centres);
        if (prefix.length() == 0 || (prefix.length() < 16 && i % 16 != 0)) continue;
        bool& here = there[prefix];
        here = !here;
        const auto row = static_cast<Row>(prefix.length());
        const bool done = here ? fib.insert(1, prefix, row).has_value() : fib.erase(1, prefix).has_value();
        if (!done) ++wrong;
        if (i % 1000 == 0) (void)fib.view();
    }
    stop = true;
    for (std::thread& reader : readers) reader.join();
    (void)use_simd(before);
    CHECK(asked > 0);
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("readers: a followed IPv4 view shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv4Address>("ipv4 followed");
}

TEST_CASE("readers: a followed IPv6 view shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv6Address>("ipv6 followed");
}

TEST_CASE("readers: a followed IPv4 view of a wide root shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv4Address>("ipv4 wide followed", {}, 250'000);
}

TEST_CASE("readers: a followed IPv6 view of a top with groups shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv6Address>("ipv6 top followed", *Prefix6::parse("2a00::/12"), 30'000);
}

TEST_CASE("readers: a followed view has every change when the writer is done", "[lpm]") {
    const std::uint64_t seed = test_seed("followed");
    CAPTURE(seed);
    Random random(seed);
    Fib4 fib(2);
    Oracle<Ipv4Address> oracle(2);
    std::size_t retired = 0;
    const FibView4 view = fib.follow([&](const std::shared_ptr<const void>&) { ++retired; });
    const auto centres = some_centres<Ipv4Address>(random, 5);
    for (int i = 0; i < 5000; ++i) {
        const auto table = static_cast<TableId>(below(random, 2));
        const Prefix4 prefix = near_prefix(random, centres);
        if (below(random, 3) == 0) {
            REQUIRE(fib.erase(table, prefix).has_value() == oracle.erase(table, prefix));
        } else {
            REQUIRE(fib.insert(table, prefix, static_cast<Row>(i)));
            oracle.insert(table, prefix, static_cast<Row>(i));
        }
        if (i % 100 == 0) REQUIRE(wrong_answers(random, oracle, view, 2, 200) == 0);
        if (i % 700 == 0) (void)fib.view();
    }
    CHECK(wrong_answers(random, oracle, view, 2, 5000) == 0);
    CHECK(retired > 0);
}

TEST_CASE("readers: views taken under churn are each of one moment", "[lpm]") {
    const Simd before = simd();
    if (sekisho::test::kThreadSanitizer) (void)use_simd(Simd::scalar);
    Fib4 fib(1);
    std::mutex mutex;
    FibView4 current;
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> wrong = 0;
    const Prefix4 left = *Prefix4::parse("10.0.0.0/9");
    const Prefix4 right = *Prefix4::parse("192.168.7.0/24");
    REQUIRE(fib.insert(0, left, 0));
    REQUIRE(fib.insert(0, right, 0));
    current = fib.view();
    std::thread reader([&] {
        while (!stop.load(std::memory_order_relaxed)) {
            FibView4 mine;
            {
                const std::lock_guard lock(mutex);
                mine = current;
            }
            const Key4 keys[] = {left.first().value(), right.last().value(), left.last().value()};
            Row rows[3] = {};
            for (int i = 0; i < 20; ++i) {
                mine.find(TableId{0}, keys, rows, 3);
                wrong += rows[0] != rows[1] || rows[1] != rows[2];
            }
        }
    });
    for (Row generation = 1; generation < (sekisho::test::kThreadSanitizer ? 500U : 5'000U); ++generation) {
        bool done = fib.insert(0, left, generation).has_value();
        done = fib.insert(0, right, generation).has_value() && done;
        if (!done) ++wrong;
        FibView4 fresh = fib.view();
        const std::lock_guard lock(mutex);
        std::swap(current, fresh);
    }
    stop = true;
    reader.join();
    (void)use_simd(before);
    CHECK(wrong == 0);
}

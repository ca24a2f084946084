// Readers while a writer changes tables under them: no wrong answer, no answer from memory that was let go.
//
// Under ThreadSanitizer the scalar version is used: the others read whole cache lines, and with them neighbours that
// the writer may be filling, whose bytes they mask out.
#include <array>
#include <atomic>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include "net/simd.hpp"
#include "tests/lpm/oracle.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

// Of each version; a quarter of them where a change may cost a wide root's.
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

std::uint64_t folded(Ipv4Address address) {
    return address.value();
}
std::uint64_t folded(const Ipv6Address& address) {
    return address.high() * 0xff51'afd7'ed55'8ccdU ^ address.low();
}

// The row of a prefix, of two that it may have: its length and what its bits come to. A long one's may be too large to
// be kept in a value. So a row tells what prefix it is of, and of each address whether that covers it.
template <class Address>
Row row_of(const Prefix<Address>& prefix, Row version) {
    const auto length = static_cast<std::uint64_t>(prefix.length());
    std::uint64_t mixed = (folded(prefix.address()) + length) * 0x9e37'79b9'7f4a'7c15U;
    mixed = (mixed ^ mixed >> 32) * 0xd6e8'feb8'6659'fd93U;
    const Row large =
        mixed >> 60 == 0 && length >= 24 ? Row{1} << 31 : 0;  // of shorter ones there would be a copy a slot
    return large | static_cast<Row>(mixed >> 20 & 0x3f'ffff) << 9 | version << 8 | static_cast<Row>(prefix.length());
}
template <class Address>
bool covers(Row row, const Address& address) {
    const Row length = row & 0xff;
    return length <= static_cast<Row>(Address::kBits) &&
           row == row_of(Prefix<Address>(address, static_cast<int>(length)), row >> 8 & 1);
}

// What a table begins with: routes that stay, one of all addresses and one around each centre; and with `others` more
// in the region, so that the root is what the test is about.
template <class Address>
struct Start {
    Prefix<Address> region = {};
    std::size_t others = 0;
    typename Fib<Address>::Root root = Fib<Address>::Root::slots;
};

template <class Address>
class Churn {
  public:
    static constexpr int kAround = Address::kBits / 2;  // bits of the routes around centres
    static constexpr TableId kTables = 2;               // the first one begins with what stays, and nothing else

    Churn(const Start<Address>& start, Random& random) : start_(start), random_(random) {
        while (centres.size() < 12) centres.push_back(in_region());
        stay_[Prefix<Address>()] = 0;
        for (const Address& centre : centres) stay_[Prefix<Address>(centre, kAround)] = 0;
        there_[0] = there_[1] = stay_;
        while (there_[1].size() <= start.others) {
            const Prefix<Address> prefix = near_prefix<Address>(random, {in_region(), centres[below(random, 12)]});
            if (start.region.contains(prefix)) there_[1].try_emplace(prefix, 0);
        }
        for (TableId table = 0; table < kTables; ++table) REQUIRE(fib.load(table, routes(there_[table])));
        REQUIRE(fib.root(1) == start.root);
    }

    // A route comes, goes, or has its other row; now and then all of the small table begins again. True: as it should.
    bool step(int n) {
        const auto table = static_cast<TableId>(below(random_, kTables));
        if (n % 500 == 499) {
            there_[0] = stay_;
            there_[0][Prefix<Address>()] = static_cast<Row>(n / 500 % 2);
            return fib.load(0, routes(there_[0])).has_value();
        }
        const Prefix<Address> prefix = near_prefix(random_, centres);
        // Short prefixes touch most of the table each: few of them.
        if (!start_.region.contains(prefix) || (prefix.length() < 16 && n % 128 != 0)) return true;
        const auto [at, is_new] = there_[table].try_emplace(prefix, 0);
        if (!is_new && !stay_.contains(prefix) && below(random_, 3) != 0) {
            there_[table].erase(at);
            return fib.erase(table, prefix).has_value();
        }
        if (!is_new) at->second ^= 1;
        return fib.insert(table, prefix, row_of(prefix, at->second)).has_value();
    }

    // How many of these answers cannot be: of no prefix that covers the address, or shorter than one that stays.
    std::size_t wrong(const std::vector<Address>& addresses, const std::vector<std::size_t>& centre_of,
                      const std::vector<Row>& rows) const {
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const bool around = Prefix<Address>(centres[centre_of[i]], kAround).contains(addresses[i]);
            wrong += !covers(rows[i], addresses[i]) || (around && (rows[i] & 0xff) < static_cast<Row>(kAround));
        }
        return wrong;
    }

    Fib<Address> fib{kTables};
    std::vector<Address> centres;

  private:
    using There = std::map<Prefix<Address>, Row>;  // and which of its rows

    Address in_region() { return start_.region.address() | (any_address(random_, Address()) & ~start_.region.mask()); }
    static std::vector<Route<Address>> routes(const There& there) {
        std::vector<Route<Address>> all;
        for (const auto& [prefix, version] : there) all.push_back({prefix, row_of(prefix, version)});
        return all;
    }

    const Start<Address> start_;
    Random& random_;
    There stay_;
    There there_[kTables];
};

// Readers ask for addresses near the centres in both tables, each in one of its own and all in one, while they change.
template <class Address>
void follow_under_churn(Simd version, const char* name, const Start<Address>& start) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed, name_of(version));
    Random random(seed);
    constexpr std::size_t kReaders = 2;
    Churn<Address> churn(start, random);
    Grace grace(kReaders);
    const FibView<Address> view =
        churn.fib.follow([&](std::shared_ptr<const void> held) { grace.retire(std::move(held)); });
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> wrong = 0;
    std::atomic<std::size_t> asked = 0;
    std::vector<std::thread> readers;
    for (std::size_t reader = 0; reader < kReaders; ++reader) {
        readers.emplace_back([&, reader] {
            constexpr std::size_t kCount = 64;
            Random mine(seed + reader + 1);
            std::vector<Address> addresses(kCount);
            std::vector<std::size_t> centre_of(kCount);
            std::vector<typename KeyOf<Address>::type> keys(kCount);
            std::vector<TableId> tables(kCount);
            std::vector<Row> rows(kCount);
            while (!stop.load(std::memory_order_relaxed)) {
                for (std::size_t i = 0; i < kCount; ++i) {
                    centre_of[i] = below(mine, churn.centres.size());
                    const auto shared = static_cast<int>(below(mine, Address::kBits + 1));
                    addresses[i] = inside(mine, Prefix<Address>(churn.centres[centre_of[i]], shared));
                    keys[i] = KeyOf<Address>::of(addresses[i]);
                    tables[i] = static_cast<TableId>(below(mine, Churn<Address>::kTables));
                }
                view.find(tables.data(), keys.data(), rows.data(), kCount);
                wrong += churn.wrong(addresses, centre_of, rows);
                view.find(tables[0], keys.data(), rows.data(), kCount);
                wrong += churn.wrong(addresses, centre_of, rows);
                asked += 2 * kCount;
                grace.quiescent(reader);
            }
        });
    }
    std::size_t refused = 0;
    for (int n = 0; n < (start.others == 0 ? kChanges : kChanges / 4); ++n) {
        refused += !churn.step(n);
        if (n % 1000 == 0) (void)churn.fib.view();
    }
    stop = true;
    for (std::thread& reader : readers) reader.join();
    CHECK(asked > 0);
    CHECK(wrong == 0);
    CHECK(refused == 0);
    CHECK(churn.fib.root(1) == start.root);
}

// Each version that this processor has. Under ThreadSanitizer only the scalar one.
template <class Address>
void follow_under_churn(const char* name, const Start<Address>& start) {
    const Simd before = simd();
    for (const Simd version : {Simd::scalar, Simd::avx2, Simd::avx512})
        if ((version == Simd::scalar || !sekisho::test::kThreadSanitizer) && use_simd(version))
            follow_under_churn(version, name, start);
    (void)use_simd(before);
}

}  // namespace

TEST_CASE("readers: a followed IPv4 view shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv4Address>("ipv4 followed", {});
}

TEST_CASE("readers: a followed IPv6 view shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv6Address>("ipv6 followed", {});
}

TEST_CASE("readers: a followed IPv4 view of a wide root shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv4Address>("ipv4 wide followed", {{}, 201'000, Fib4::Root::words});
}

TEST_CASE("readers: a followed IPv6 view of a top with groups shows a row that covers, never another", "[lpm]") {
    follow_under_churn<Ipv6Address>("ipv6 top followed", {*Prefix6::parse("2a00::/12"), 30'000, Fib6::Root::top});
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
            const Key4 asked[] = {left.first().value(), right.last().value(), left.last().value()};
            std::array<Key4, 24> keys;  // enough for the vectors
            std::array<Row, 24> rows;
            for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = asked[i % std::size(asked)];
            for (int i = 0; i < 20; ++i) {
                mine.find(TableId{0}, keys.data(), rows.data(), keys.size());
                for (const Row row : rows) wrong += row != rows[0];
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

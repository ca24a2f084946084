// Random tables against the oracle: every operation, both families, many tables at once, views along the way.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/lpm/oracle.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

// Each round draws anew; the address sanitizer makes one take many times as long. SEKISHO_TEST_ROUNDS sets the number.
int rounds() {
    if (const char* const number = std::getenv("SEKISHO_TEST_ROUNDS")) return std::atoi(number);
    return sekisho::test::kAddressSanitizer ? 4 : 10;
}

// One random operation on both; fails the test where they disagree about its outcome.
template <class Address>
void step(Random& random, Fib<Address>& fib, Oracle<Address>& oracle, const std::vector<Address>& centres) {
    const auto table = static_cast<TableId>(below(random, fib.tables()));
    const auto row = static_cast<Row>(below(random, below(random, 2) == 0 ? 4 : 0xffff'fffeU));
    const Prefix<Address> prefix = near_prefix(random, centres);
    const auto& routes = oracle.routes(table);
    switch (below(random, 8)) {
        case 0:
        case 1: {
            auto known = routes.lower_bound(prefix);
            const Prefix<Address> gone = known == routes.end() ? prefix : known->first;
            REQUIRE(fib.erase(table, gone).has_value() == oracle.erase(table, gone));
            break;
        }
        case 2: {
            auto known = routes.lower_bound(prefix);
            if (known == routes.end()) break;
            REQUIRE(fib.insert(table, known->first, row));
            oracle.insert(table, known->first, row);
            break;
        }
        default:
            REQUIRE(fib.insert(table, prefix, row));
            oracle.insert(table, prefix, row);
            break;
    }
    REQUIRE(fib.size(table) == routes.size());
}

// All routes of the table, in pages of seven.
template <class Address>
std::vector<Route<Address>> listed(const Fib<Address>& fib, TableId table) {
    std::vector<Route<Address>> all;
    for (std::optional<Prefix<Address>> next = Prefix<Address>(); next;) {
        const Prefix<Address> from = *std::exchange(next, std::nullopt);
        const std::size_t full = all.size() + 7;
        fib.for_each_from(table, from, [&](const Route<Address>& route) {
            if (all.size() == full)
                next = route.prefix;
            else
                all.push_back(route);
            return !next;
        });
    }
    return all;
}

template <class Address>
void compare_routes(const Fib<Address>& fib, const Oracle<Address>& oracle) {
    for (std::size_t i = 0; i < fib.tables(); ++i) {
        const auto table = static_cast<TableId>(i);
        std::vector<Route<Address>> told;
        fib.for_each(table, [&](const Route<Address>& route) { told.push_back(route); });
        std::vector<Route<Address>> known;
        for (const auto& [prefix, row] : oracle.routes(table)) known.push_back({prefix, row});
        REQUIRE(told == known);
        REQUIRE(listed(fib, table) == known);
        for (const Route<Address>& route : known) REQUIRE(fib.exact(table, route.prefix) == route.row);
    }
}

template <class Address>
void churn(const char* name, std::size_t steps) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    constexpr std::size_t kTables = 5;
    Fib<Address> fib(kTables);
    Oracle<Address> oracle(kTables);
    const auto centres = some_centres<Address>(random, 3);
    std::vector<std::pair<FibView<Address>, Oracle<Address>>> kept;
    for (std::size_t i = 0; i < steps; ++i) {
        step(random, fib, oracle, centres);
        if (i % 64 != 0) continue;
        REQUIRE(wrong_answers(random, oracle, fib.view(), kTables, below(random, 300)) == 0);
        if (below(random, 8) == 0) kept.emplace_back(fib.view(), oracle);
        if (kept.size() > 4) kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(below(random, kept.size())));
        for (const auto& [view, then] : kept) REQUIRE(wrong_answers(random, then, view, kTables, 64) == 0);
    }
    compare_routes(fib, oracle);
    // Every block was let go once, and once only.
    for (std::size_t table = 0; table < kTables; ++table) fib.clear(static_cast<TableId>(table));
    CHECK(fib.memory() == Fib<Address>(kTables).memory());
}

template <class Address>
void bulk(const char* name) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    Fib<Address> fib(2);
    Oracle<Address> oracle(2);
    for (const std::size_t count : {0U, 1U, 40U, 3000U}) {
        const auto centres = some_centres<Address>(random, 1 + count / 50);
        oracle.clear(1);
        std::vector<Route<Address>> routes;
        for (std::size_t i = 0; i < count; ++i) {
            const Prefix<Address> prefix = near_prefix(random, centres);
            if (oracle.routes(1).contains(prefix)) continue;
            routes.push_back({prefix, static_cast<Row>(below(random, 500))});
            oracle.insert(1, prefix, routes.back().row);
        }
        std::shuffle(routes.begin(), routes.end(), random);
        REQUIRE(fib.load(1, routes));
        REQUIRE(wrong_answers(random, oracle, fib.view(), 2, 4000) == 0);
        compare_routes(fib, oracle);
        for (int i = 0; i < 200; ++i) step(random, fib, oracle, centres);
        REQUIRE(wrong_answers(random, oracle, fib.view(), 2, 4000) == 0);
    }
}

}  // namespace

TEST_CASE("fib: IPv4 answers as the oracle does under random changes", "[lpm]") {
    for (int round = 0; round < rounds(); ++round) churn<Ipv4Address>("ipv4 churn", 2000);
}

TEST_CASE("fib: IPv6 answers as the oracle does under random changes", "[lpm]") {
    for (int round = 0; round < rounds(); ++round) churn<Ipv6Address>("ipv6 churn", 2000);
}

TEST_CASE("fib: IPv4 loads answer as the oracle does", "[lpm]") {
    for (int round = 0; round < rounds() / 2; ++round) bulk<Ipv4Address>("ipv4 bulk");
}

TEST_CASE("fib: IPv6 loads answer as the oracle does", "[lpm]") {
    for (int round = 0; round < rounds() / 2; ++round) bulk<Ipv6Address>("ipv6 bulk");
}

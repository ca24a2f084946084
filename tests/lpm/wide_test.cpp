// Tables with wide roots, IPv4's words and IPv6's top, against the oracle: loads, changes in and around what they lay
// out, views along the way, memory given back.
#include <catch2/catch.hpp>

#include "tests/lpm/oracle.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

constexpr int kSteps = sekisho::test::kSanitized ? 1'500 : 6'000;

// What a table must have for its root to be wide, and where its routes lie.
template <class Address>
struct Shape;
template <>
struct Shape<Ipv4Address> {
    static constexpr auto kRoot = Fib4::Root::words;
    static constexpr std::size_t kRoutes = 201'000;
    static constexpr std::size_t kCentres = 25'000;
    static Prefix4 region() { return {}; }
    static Ipv4Address centre(Random& random) { return any_address(random, Ipv4Address()); }
};
template <>
struct Shape<Ipv6Address> {
    static constexpr auto kRoot = Fib6::Root::top;
    static constexpr std::size_t kRoutes = 17'000;
    static constexpr std::size_t kCentres = 1'500;
    static Prefix6 region() { return *Prefix6::parse("2000::/3"); }
    // Most lie in six /16s, so that these have groups.
    static Ipv6Address centre(Random& random) {
        const Ipv6Address any = any_address(random, Ipv6Address());
        const std::uint64_t high = below(random, 8) == 0 ? 0x2000 + below(random, 0x2000) : 0x2a00 + below(random, 6);
        return {high << 48 | any.high() >> 16, any.low()};
    }
};

// Some rows are too large to be kept in a value, and few are many, so that neighbours are often alike.
Row any_row(Random& random) {
    return static_cast<Row>(below(random, 10) == 0 ? below(random, kNoRow) : below(random, 4));
}

template <class Address>
void change(Random& random, Fib<Address>& fib, Oracle<Address>& oracle, const std::vector<Address>& centres) {
    Prefix<Address> prefix = near_prefix(random, centres);
    // Short prefixes cost a table each: few of them. One outside of the region has an IPv6 table laid out without a
    // top.
    if (prefix.length() < 12 && below(random, 40) != 0) return;
    if (prefix.length() != 0 && !Shape<Address>::region().contains(prefix)) return;
    const auto& routes = oracle.routes(0);
    if (below(random, 2) == 0) {
        if (const auto known = routes.lower_bound(prefix); known != routes.end()) prefix = known->first;
        if (prefix.length() < 12 && below(random, 40) != 0) return;
        REQUIRE(fib.erase(0, prefix).has_value() == oracle.erase(0, prefix));
        return;
    }
    const Row row = any_row(random);
    REQUIRE(fib.insert(0, prefix, row));
    oracle.insert(0, prefix, row);
}

template <class Address>
void churn_wide(const char* name) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    std::vector<Address> centres;
    while (centres.size() < Shape<Address>::kCentres) centres.push_back(Shape<Address>::centre(random));
    Fib<Address> fib(1);
    Oracle<Address> oracle(1);
    std::vector<Route<Address>> routes;
    while (routes.size() < Shape<Address>::kRoutes) {
        const Prefix<Address> prefix = near_prefix(random, centres);
        if (!Shape<Address>::region().contains(prefix) || oracle.routes(0).contains(prefix)) continue;
        routes.push_back({prefix, any_row(random)});
        oracle.insert(0, prefix, routes.back().row);
    }
    REQUIRE(fib.load(0, routes));
    REQUIRE(fib.root(0) == Shape<Address>::kRoot);
    REQUIRE(wrong_answers(random, oracle, fib.view(), 1, 20'000) == 0);
    const FibView<Address> loaded = fib.view();
    const Oracle<Address> then = oracle;
    for (int i = 0; i < kSteps; ++i) {
        change(random, fib, oracle, centres);
        if (i % 100 == 0) REQUIRE(wrong_answers(random, oracle, fib.view(), 1, 500) == 0);
    }
    REQUIRE(fib.root(0) == Shape<Address>::kRoot);
    CHECK(wrong_answers(random, oracle, fib.view(), 1, 20'000) == 0);
    CHECK(wrong_answers(random, then, loaded, 1, 20'000) == 0);
    // As told route by route, so from the start.
    Fib<Address> fresh(1);
    routes.clear();
    fib.for_each(0, [&](const Route<Address>& route) { routes.push_back(route); });
    REQUIRE(routes.size() == oracle.routes(0).size());
    REQUIRE(fresh.load(0, routes));
    CHECK(wrong_answers(random, oracle, fresh.view(), 1, 20'000) == 0);
    fib.clear(0);
    CHECK(fib.memory() == Fib<Address>(1).memory());
}

}  // namespace

TEST_CASE("wide: an IPv4 table of words answers as the oracle does under random changes", "[lpm]") {
    churn_wide<Ipv4Address>("ipv4 wide churn");
}

TEST_CASE("wide: an IPv6 table with a top answers as the oracle does under random changes", "[lpm]") {
    churn_wide<Ipv6Address>("ipv6 top churn");
}

TEST_CASE("wide: a route outside of an IPv6 top's region has the table laid out without one", "[lpm]") {
    const std::uint64_t seed = test_seed("ipv6 top left");
    CAPTURE(seed);
    Random random(seed);
    Fib6 fib(1);
    Oracle<Ipv6Address> oracle(1);
    std::vector<Route<Ipv6Address>> routes;
    while (routes.size() < 17'000) {
        const Prefix6 prefix(Shape<Ipv6Address>::centre(random), 48);
        if (oracle.routes(0).contains(prefix)) continue;
        routes.push_back({prefix, any_row(random)});
        oracle.insert(0, prefix, routes.back().row);
    }
    REQUIRE(fib.load(0, routes));
    REQUIRE(fib.root(0) == Fib6::Root::top);
    const Prefix6 outside = *Prefix6::parse("fd00::/8");
    REQUIRE(fib.insert(0, outside, 7));
    oracle.insert(0, outside, 7);
    CHECK(fib.root(0) == Fib6::Root::slots);
    CHECK(wrong_answers(random, oracle, fib.view(), 1, 20'000) == 0);
    REQUIRE(fib.erase(0, outside));
    oracle.erase(0, outside);
    CHECK(wrong_answers(random, oracle, fib.view(), 1, 20'000) == 0);
}

TEST_CASE("wide: an IPv6 top has groups where routes are many, and values for the rest", "[lpm]") {
    // 8,192 routes in one /16 and one in each of 8,191 others: one group of 16 KiB, a top of 64 KiB, and values.
    std::vector<Route<Ipv6Address>> routes;
    for (std::uint64_t i = 0; i < 8'192; ++i)
        routes.push_back({Prefix6(Ipv6Address(0x2a00'0000'0000'0000U | i << 24, 0), 48), static_cast<Row>(i)});
    for (std::uint64_t i = 0; i < 8'192; ++i)
        routes.push_back({Prefix6(Ipv6Address((0x2000 + i) << 48, 0), 20), static_cast<Row>(i)});
    Fib6 fib(1);
    REQUIRE(fib.load(0, routes));
    REQUIRE(fib.root(0) == Fib6::Root::top);
    const FibView6 view = fib.view();
    for (const auto& route : routes) REQUIRE(view.find(0, route.prefix.last()) == route.row);
    CHECK(fib.memory() < (std::size_t{700} << 10));
}

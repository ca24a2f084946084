// Every version of the lookups that this processor has gives the oracle's answers, on every kind of node.
#include "net/simd.hpp"

#include <catch2/catch.hpp>

#include "tests/lpm/oracle.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

// Puts back the version that was in use.
struct SimdGuard {
    Simd before = simd();
    ~SimdGuard() { (void)use_simd(before); }
};

Prefix4 wide_region(Ipv4Address) {
    return {};
}
Prefix6 wide_region(const Ipv6Address&) {
    return *Prefix6::parse("2a00::/12");
}

void cannot(Simd version) {
    test::skip(std::string("this processor cannot ") + name_of(version));
}

// Tables of very different sizes; with `large`, the last one's root is wide: words, or a top, whose routes lie in few
// /16s.
template <class Address>
void compare(Simd version, const char* name, bool large) {
    const SimdGuard guard;
    if (!use_simd(version)) return cannot(version);
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    constexpr bool kIpv4 = Address::kBits == 32;
    const std::size_t sizes[] = {0, 1, 3, 40, 700, 9000, large && kIpv4 ? 230'000U : 20'000U};
    Fib<Address> fib(std::size(sizes));
    Oracle<Address> oracle(std::size(sizes));
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
        const auto table = static_cast<TableId>(i);
        const Prefix<Address> region = large && i + 1 == std::size(sizes) ? wide_region(Address()) : Prefix<Address>();
        auto centres = some_centres<Address>(random, 1 + sizes[i] / 8);
        for (Address& centre : centres) centre = region.address() | (centre & ~region.mask());
        std::vector<Route<Address>> routes;
        while (routes.size() < sizes[i]) {
            const Prefix<Address> prefix = near_prefix(random, centres);
            if (oracle.routes(table).contains(prefix) || !region.contains(prefix)) continue;
            // Some rows are too large to be kept in a value.
            const auto row = static_cast<Row>(below(random, 10) == 0 ? below(random, kNoRow) : below(random, 900));
            routes.push_back({prefix, row});
            oracle.insert(table, prefix, row);
        }
        REQUIRE(fib.load(table, routes));
    }
    using Root = typename Fib<Address>::Root;
    REQUIRE(fib.root(std::size(sizes) - 1) == (!large ? Root::slots : kIpv4 ? Root::words : Root::top));
    const FibView<Address> view = fib.view();
    for (int i = 0; i < 40; ++i)
        REQUIRE(wrong_answers(random, oracle, view, std::size(sizes) - (i % 2 == 0 ? 1U : 0U), below(random, 700)) ==
                0);
}

// One table for each depth: all its routes begin with the same so many bits, and differ in the 40 bits after them, so
// that all of a batch meets the same kinds of node there, step after step.
template <class Address>
void compare_depths(Simd version, const char* name) {
    const SimdGuard guard;
    if (!use_simd(version)) return cannot(version);
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    constexpr int kSpread = Address::kBits == 32 ? 24 : 40;
    constexpr int kTables = (Address::kBits - kSpread) / 4 + 1;
    Fib<Address> fib(kTables);
    Oracle<Address> oracle(kTables);
    for (int i = 0; i < kTables; ++i) {
        const Prefix<Address> shared(any_address(random, Address()), 4 * i);
        std::vector<Route<Address>> routes;
        for (std::size_t k = 0; k < 400; ++k) {
            const Address address = shared.address() | (any_address(random, Address()) & ~shared.mask());
            const int length = shared.length() + kSpread - static_cast<int>(below(random, 1 + below(random, kSpread)));
            const Prefix<Address> prefix(address, length);
            if (oracle.routes(static_cast<TableId>(i)).contains(prefix)) continue;
            routes.push_back({prefix, static_cast<Row>(k)});
            oracle.insert(static_cast<TableId>(i), prefix, static_cast<Row>(k));
        }
        REQUIRE(fib.load(static_cast<TableId>(i), routes));
    }
    const FibView<Address> view = fib.view();
    REQUIRE(wrong_answers(random, oracle, view, kTables, 700) == 0);
    for (int i = 0; i < kTables; ++i) {
        const auto table = static_cast<TableId>(i);
        CAPTURE(table);
        std::vector<Address> addresses;
        std::vector<typename KeyOf<Address>::type> keys;
        for (int k = 0; k < 150; ++k) {
            auto route = oracle.routes(table).begin();
            std::advance(route, below(random, oracle.routes(table).size()));
            addresses.push_back(inside(random, route->first));
            keys.push_back(KeyOf<Address>::of(addresses.back()));
        }
        for (const std::size_t count : {std::size_t{9}, std::size_t{64}, std::size_t{65}, addresses.size()}) {
            std::vector<Row> rows(count);
            view.find(table, keys.data(), rows.data(), count);
            std::size_t wrong = 0;
            for (std::size_t k = 0; k < count; ++k) wrong += rows[k] != oracle.find(table, addresses[k]);
            CHECK(wrong == 0);
        }
    }
}

// Batches of every length, of different routes: each row in its place, and nothing written behind the last.
template <class Address>
void compare_batches(Simd version) {
    const SimdGuard guard;
    if (!use_simd(version)) return cannot(version);
    constexpr std::size_t kRoutes = 13;
    constexpr Row kUntouched = 0x5e5e'5e5eU;
    Random random(1);
    Fib<Address> fib(2);
    std::vector<Address> addresses;
    for (Row row = 0; row < kRoutes; ++row) {
        addresses.push_back(any_address(random, Address()));
        REQUIRE(fib.insert(1, Prefix<Address>(addresses.back(), Address::kBits), row));
    }
    const FibView<Address> view = fib.view();
    for (std::size_t count = 0; count < 600; ++count) {
        const std::vector<TableId> tables(count, 1);
        std::vector<typename KeyOf<Address>::type> keys;
        std::vector<Row> expected;
        for (std::size_t i = 0; i < count; ++i) {
            keys.push_back(KeyOf<Address>::of(addresses[i * 5 % kRoutes]));
            expected.push_back(static_cast<Row>(i * 5 % kRoutes));
        }
        expected.push_back(kUntouched);
        std::vector<Row> rows(count + 1, kUntouched);
        view.find(tables.data(), keys.data(), rows.data(), count);
        REQUIRE(rows == expected);
        std::fill(rows.begin(), rows.end(), kUntouched);
        view.find(TableId{1}, keys.data(), rows.data(), count);
        REQUIRE(rows == expected);
    }
}

}  // namespace

TEST_CASE("simd: the scalar version answers as the oracle does for IPv4", "[lpm]") {
    compare<Ipv4Address>(Simd::scalar, "ipv4 scalar", false);
}

TEST_CASE("simd: the scalar version answers as the oracle does for IPv4 with a wide root", "[lpm]") {
    compare<Ipv4Address>(Simd::scalar, "ipv4 scalar, wide", true);
}

TEST_CASE("simd: the scalar version answers as the oracle does for IPv6", "[lpm]") {
    compare<Ipv6Address>(Simd::scalar, "ipv6 scalar", false);
}

TEST_CASE("simd: the scalar version answers as the oracle does for IPv6 with a top", "[lpm]") {
    compare<Ipv6Address>(Simd::scalar, "ipv6 scalar, top", true);
}

TEST_CASE("simd: the scalar version answers as the oracle does where a batch goes deep together", "[lpm]") {
    compare_depths<Ipv4Address>(Simd::scalar, "ipv4 scalar, depths");
    compare_depths<Ipv6Address>(Simd::scalar, "ipv6 scalar, depths");
}

TEST_CASE("simd: the scalar version writes the rows of a batch of any length and no more", "[lpm]") {
    compare_batches<Ipv4Address>(Simd::scalar);
    compare_batches<Ipv6Address>(Simd::scalar);
}

TEST_CASE("simd: the AVX2 version answers as the oracle does for IPv4", "[lpm]") {
    compare<Ipv4Address>(Simd::avx2, "ipv4 avx2", false);
}

TEST_CASE("simd: the AVX2 version answers as the oracle does for IPv4 with a wide root", "[lpm]") {
    compare<Ipv4Address>(Simd::avx2, "ipv4 avx2, wide", true);
}

TEST_CASE("simd: the AVX2 version answers as the oracle does for IPv6", "[lpm]") {
    compare<Ipv6Address>(Simd::avx2, "ipv6 avx2", false);
}

TEST_CASE("simd: the AVX2 version answers as the oracle does for IPv6 with a top", "[lpm]") {
    compare<Ipv6Address>(Simd::avx2, "ipv6 avx2, top", true);
}

TEST_CASE("simd: the AVX2 version answers as the oracle does where a batch goes deep together", "[lpm]") {
    compare_depths<Ipv4Address>(Simd::avx2, "ipv4 avx2, depths");
    compare_depths<Ipv6Address>(Simd::avx2, "ipv6 avx2, depths");
}

TEST_CASE("simd: the AVX2 version writes the rows of a batch of any length and no more", "[lpm]") {
    compare_batches<Ipv4Address>(Simd::avx2);
    compare_batches<Ipv6Address>(Simd::avx2);
}

TEST_CASE("simd: the AVX-512 version answers as the oracle does for IPv4", "[lpm]") {
    compare<Ipv4Address>(Simd::avx512, "ipv4 avx512", false);
}

TEST_CASE("simd: the AVX-512 version answers as the oracle does for IPv4 with a wide root", "[lpm]") {
    compare<Ipv4Address>(Simd::avx512, "ipv4 avx512, wide", true);
}

TEST_CASE("simd: the AVX-512 version answers as the oracle does for IPv6", "[lpm]") {
    compare<Ipv6Address>(Simd::avx512, "ipv6 avx512", false);
}

TEST_CASE("simd: the AVX-512 version answers as the oracle does for IPv6 with a top", "[lpm]") {
    compare<Ipv6Address>(Simd::avx512, "ipv6 avx512, top", true);
}

TEST_CASE("simd: the AVX-512 version answers as the oracle does where a batch goes deep together", "[lpm]") {
    compare_depths<Ipv4Address>(Simd::avx512, "ipv4 avx512, depths");
    compare_depths<Ipv6Address>(Simd::avx512, "ipv6 avx512, depths");
}

TEST_CASE("simd: the AVX-512 version writes the rows of a batch of any length and no more", "[lpm]") {
    compare_batches<Ipv4Address>(Simd::avx512);
    compare_batches<Ipv6Address>(Simd::avx512);
}

TEST_CASE("simd: the scalar version can be chosen everywhere", "[lpm]") {
    const SimdGuard guard;
    CHECK(use_simd(Simd::scalar));
    CHECK(simd() == Simd::scalar);
}

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

void cannot(Simd version) {
    test::skip(std::string("this processor cannot ") + name_of(version));
}

// Tables of very different sizes; with `large`, one whose root is wide.
template <class Address>
void compare(Simd version, const char* name, bool large) {
    const SimdGuard guard;
    if (!use_simd(version)) return cannot(version);
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    const std::size_t sizes[] = {0, 1, 3, 40, 700, 9000, large ? 230'000U : 20'000U};
    Fib<Address> fib(std::size(sizes));
    Oracle<Address> oracle(std::size(sizes));
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
        const auto table = static_cast<TableId>(i);
        const auto centres = some_centres<Address>(random, 1 + sizes[i] / 8);
        std::vector<Route<Address>> routes;
        while (routes.size() < sizes[i]) {
            const Prefix<Address> prefix = near_prefix(random, centres);
            if (oracle.routes(table).contains(prefix)) continue;
            // Some rows are too large to be kept in a value.
            const auto row = static_cast<Row>(below(random, 10) == 0 ? below(random, kNoRow) : below(random, 900));
            routes.push_back({prefix, row});
            oracle.insert(table, prefix, row);
        }
        REQUIRE(fib.load(table, routes));
    }
    const FibView<Address> view = fib.view();
    for (int i = 0; i < 40; ++i)
        REQUIRE(wrong_answers(random, oracle, view, std::size(sizes) - (i % 2 == 0 ? 1U : 0U), below(random, 700)) ==
                0);
}

void compare_batches(Simd version) {
    const SimdGuard guard;
    if (!use_simd(version)) return cannot(version);
    Fib4 fib(2);
    REQUIRE(fib.insert(1, *Prefix4::parse("10.0.0.0/8"), 7));
    const FibView4 view = fib.view();
    for (std::size_t count = 0; count < 600; ++count) {
        const std::vector<TableId> tables(count, 1);
        const std::vector<Key4> keys(count, 0x0a000001U);
        std::vector<Row> rows(count + 1, 0x5e5e5e5eU);
        view.find(tables.data(), keys.data(), rows.data(), count);
        REQUIRE(std::count(rows.begin(), rows.end(), Row{7}) == static_cast<std::ptrdiff_t>(count));
        REQUIRE(rows[count] == 0x5e5e5e5eU);
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

TEST_CASE("simd: the scalar version writes the rows of a batch of any length and no more", "[lpm]") {
    compare_batches(Simd::scalar);
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

TEST_CASE("simd: the AVX2 version writes the rows of a batch of any length and no more", "[lpm]") {
    compare_batches(Simd::avx2);
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

TEST_CASE("simd: the AVX-512 version writes the rows of a batch of any length and no more", "[lpm]") {
    compare_batches(Simd::avx512);
}

TEST_CASE("simd: the scalar version can be chosen everywhere", "[lpm]") {
    const SimdGuard guard;
    CHECK(use_simd(Simd::scalar));
    CHECK(simd() == Simd::scalar);
}

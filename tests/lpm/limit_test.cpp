// The limit of memory: an error in words, nothing half done, and blocks used again as soon as no view shows them.
#include <functional>
#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

#include "lpm/arena.hpp"
#include "tests/lpm/oracle.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

template <class Address>
void fill_to_limit(const char* name) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    Fib<Address> fib(3, std::size_t{256} << 10);
    Oracle<Address> oracle(3);
    const auto centres = some_centres<Address>(random, 40);
    std::size_t refused = 0;
    // How many routes fill it depends on how the drawn ones nest: until well past the first refusal.
    for (int i = 0; i < 8'000 || (refused < 100 && i < 100'000); ++i) {
        const auto table = static_cast<TableId>(below(random, 3));
        const Prefix<Address> prefix = near_prefix(random, centres);
        const auto row = static_cast<Row>(below(random, 1000));
        const auto done = fib.insert(table, prefix, row);
        if (done) {
            oracle.insert(table, prefix, row);
        } else {
            REQUIRE(done.error().code == ErrorCode::limit);
            REQUIRE(done.error().words.find(prefix.text()) != std::string::npos);
            ++refused;
        }
        if (i % 1000 == 0) REQUIRE(wrong_answers(random, oracle, fib.view(), 3, 500) == 0);
    }
    REQUIRE(refused > 0);
    REQUIRE(wrong_answers(random, oracle, fib.view(), 3, 3000) == 0);
    std::vector<Route<Address>> many;
    // The row follows from the prefix, so that one drawn twice is given twice alike.
    for (int i = 0; i < 50'000; ++i) {
        const Prefix<Address> prefix = near_prefix(random, centres);
        const auto row = static_cast<Row>(std::hash<std::string>()(prefix.text()) % 100'000);
        many.push_back({prefix, row});
    }
    const auto loaded = fib.load(1, many);
    REQUIRE_FALSE(loaded);
    REQUIRE(loaded.error().code == ErrorCode::limit);
    REQUIRE(wrong_answers(random, oracle, fib.view(), 3, 3000) == 0);
    for (std::size_t i = 0; i < 3; ++i)
        REQUIRE(fib.size(static_cast<TableId>(i)) == oracle.routes(static_cast<TableId>(i)).size());
}

// What a view shows is copied to be changed, and at the limit there is no room for a copy: routes that cannot be taken
// away stay, and are answered with.
template <class Address>
void erase_at_limit(const char* name) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    Fib<Address> fib(1, std::size_t{256} << 10);
    Oracle<Address> oracle(1);
    const auto centres = some_centres<Address>(random, 40);
    for (std::size_t refused = 0; refused < 200;) {
        const Prefix<Address> prefix = near_prefix(random, centres);
        const auto row = static_cast<Row>(below(random, 1000));
        if (fib.insert(0, prefix, row))
            oracle.insert(0, prefix, row);
        else
            ++refused;
    }
    std::vector<FibView<Address>> held = {fib.view()};  // and one after each change: nothing comes back
    const Oracle<Address> then = oracle;
    std::size_t refused = 0;
    for (const auto& [prefix, row] : then.routes(0)) {
        const auto done = fib.erase(0, prefix);
        if (done) {
            oracle.erase(0, prefix);
            held.push_back(fib.view());
        } else {
            REQUIRE(done.error().code == ErrorCode::limit);
            REQUIRE(done.error().words.find(prefix.text()) != std::string::npos);
            REQUIRE(fib.exact(0, prefix) == row);
            ++refused;
        }
    }
    CHECK(refused > 0);
    CHECK(fib.size(0) == oracle.routes(0).size());
    CHECK(wrong_answers(random, oracle, fib.view(), 1, 3000) == 0);
    CHECK(wrong_answers(random, then, held[0], 1, 3000) == 0);
}

// Changes and views for ever in little memory: what views let go must come back.
template <class Address>
void churn_in_little(const char* name) {
    const std::uint64_t seed = test_seed(name);
    CAPTURE(seed);
    Random random(seed);
    Fib<Address> fib(2, std::size_t{2} << 20);
    const auto centres = some_centres<Address>(random, 20);
    std::vector<FibView<Address>> views;
    for (int i = 0; i < 10'000; ++i) {
        const Prefix<Address> prefix = near_prefix(random, centres);
        if (fib.size(0) > 500 || !fib.insert(0, prefix, static_cast<Row>(i))) {
            std::vector<Prefix<Address>> all;
            fib.for_each(0, [&](const Route<Address>& route) { all.push_back(route.prefix); });
            for (const auto& gone : all) REQUIRE(fib.erase(0, gone));
        }
        if (i % 10 == 0) views.push_back(fib.view());
        if (views.size() > 3) views.erase(views.begin() + static_cast<std::ptrdiff_t>(below(random, views.size())));
    }
    views.clear();
    fib.clear(0);
    CHECK(fib.memory() == Fib<Address>(2).memory());
}

}  // namespace

TEST_CASE("limit: IPv4 at the limit refuses and keeps answering", "[lpm]") {
    fill_to_limit<Ipv4Address>("ipv4 limit");
}

TEST_CASE("limit: IPv6 at the limit refuses and keeps answering", "[lpm]") {
    fill_to_limit<Ipv6Address>("ipv6 limit");
}

TEST_CASE("limit: a route that cannot be taken away stays", "[lpm]") {
    erase_at_limit<Ipv4Address>("ipv4 erase at the limit");
    erase_at_limit<Ipv6Address>("ipv6 erase at the limit");
}

TEST_CASE("limit: a table that has no room for a wide root keeps the root that it has", "[lpm]") {
    const std::uint64_t seed = test_seed("wide at the limit");
    CAPTURE(seed);
    Random random(seed);
    Oracle<Ipv4Address> oracle(1);
    std::vector<Route<Ipv4Address>> routes;
    while (routes.size() < 200'001) {
        const Prefix4 prefix(any_address(random, Ipv4Address()), 20 + static_cast<int>(below(random, 5)));
        if (oracle.routes(0).contains(prefix)) continue;
        routes.push_back({prefix, static_cast<Row>(below(random, 4))});
        oracle.insert(0, prefix, routes.back().row);
    }
    const Route<Ipv4Address> last = routes.back();
    routes.pop_back();
    oracle.erase(0, last.prefix);
    Fib4 free(1);
    REQUIRE(free.load(0, routes));
    REQUIRE(free.root(0) == Fib4::Root::slots);
    // Room for what there is and half of four MiB: one route more asks for words.
    Fib4 fib(1, free.memory() + (std::size_t{2} << 20));
    REQUIRE(fib.load(0, routes));
    const auto done = fib.insert(0, last.prefix, last.row);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == ErrorCode::limit);
    CHECK(fib.root(0) == Fib4::Root::slots);
    CHECK(fib.size(0) == 200'000);
    CHECK(wrong_answers(random, oracle, fib.view(), 1, 20'000) == 0);
    REQUIRE(free.insert(0, last.prefix, last.row));
    oracle.insert(0, last.prefix, last.row);
    CHECK(free.root(0) == Fib4::Root::words);
    CHECK(wrong_answers(random, oracle, free.view(), 1, 20'000) == 0);
}

TEST_CASE("limit: more tables than can be named are refused", "[lpm]") {
    CHECK_THROWS_AS(Fib4(Fib4::kMostTables + 1), std::length_error);
    CHECK(Fib4(Fib4::kMostTables).tables() == Fib4::kMostTables);
}

TEST_CASE("limit: what no view shows any more is used again", "[lpm]") {
    churn_in_little<Ipv4Address>("ipv4 little");
    churn_in_little<Ipv6Address>("ipv6 little");
}

TEST_CASE("arena: blocks never overlap, keep to their lines, and all come back", "[lpm]") {
    const std::uint64_t seed = test_seed("arena");
    CAPTURE(seed);
    Random random(seed);
    Arena arena(std::size_t{1} << 20);
    std::map<Unit, Block> held;
    for (int i = 0; i < 60'000; ++i) {
        if (below(random, 2) == 0 || held.empty()) {
            const std::size_t bytes = 1 + below(random, below(random, 8) == 0 ? 5000 : 190);
            const Block block = arena.allocate(bytes, 1);
            if (block.unit == 0) {
                arena.free(held.begin()->second);
                held.erase(held.begin());
                continue;
            }
            const std::size_t start = block.unit * kUnitBytes;
            if (bytes <= kLineBytes) REQUIRE(start / kLineBytes == (start + bytes - 1) / kLineBytes);
            if (bytes > kLineBytes) REQUIRE(start % kLineBytes == 0);
            const auto after = held.lower_bound(block.unit);
            if (after != held.end()) REQUIRE(start + whole_units(bytes) <= after->first * kUnitBytes);
            if (after != held.begin()) {
                const Block& before = std::prev(after)->second;
                REQUIRE(before.unit * kUnitBytes + whole_units(before.bytes) <= start);
            }
            held[block.unit] = block;
        } else {
            auto one = held.lower_bound(static_cast<Unit>(below(random, 65536)));
            if (one == held.end()) one = held.begin();
            arena.free(one->second);
            held.erase(one);
        }
    }
    for (const auto& [unit, block] : held) arena.free(block);
    CHECK(arena.allocate((std::size_t{1} << 20) - 2 * kLineBytes, 2).unit != 0);
}

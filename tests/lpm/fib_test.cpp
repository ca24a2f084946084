// What the interface of a Fib promises, one fact each.
#include "lpm/fib.hpp"

#include <vector>

#include <catch2/catch.hpp>

#include "tests/lpm/oracle.hpp"
#include "tests/lpm/text.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

TEST_CASE("fib: a view that was never made has no rows", "[lpm]") {
    const FibView4 view;
    const TableId tables[] = {0, 7};
    const Key4 keys[] = {0, 0xffffffffU};
    Row rows[] = {1, 2};
    view.find(tables, keys, rows, 2);
    CHECK(rows[0] == kNoRow);
    CHECK(rows[1] == kNoRow);
    CHECK(view.find(0, ipv4("10.0.0.1")) == kNoRow);
}

TEST_CASE("fib: a table that does not exist has no rows and takes none", "[lpm]") {
    Fib4 fib(2);
    REQUIRE(fib.insert(1, Prefix4(), 5));
    const auto refused = fib.insert(2, Prefix4(), 5);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::not_found);
    CHECK_FALSE(fib.load(2, {}));
    CHECK_FALSE(fib.erase(2, Prefix4()));
    CHECK(fib.view().find(2, ipv4("10.0.0.1")) == kNoRow);
    CHECK(fib.view().find(0xffff, ipv4("10.0.0.1")) == kNoRow);
    CHECK(fib.view().find(1, ipv4("10.0.0.1")) == 5);
}

TEST_CASE("fib: the longest prefix wins, whatever the order of insertion", "[lpm]") {
    Fib4 fib(1);
    REQUIRE(fib.insert(0, prefix4("10.1.2.3/32"), 32));
    REQUIRE(fib.insert(0, prefix4("0.0.0.0/0"), 0));
    REQUIRE(fib.insert(0, prefix4("10.1.2.0/24"), 24));
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 8));
    const FibView4 view = fib.view();
    CHECK(view.find(0, ipv4("10.1.2.3")) == 32);
    CHECK(view.find(0, ipv4("10.1.2.4")) == 24);
    CHECK(view.find(0, ipv4("10.1.3.3")) == 8);
    CHECK(view.find(0, ipv4("11.1.3.3")) == 0);
}

TEST_CASE("fib: IPv6 host routes and /0 live together", "[lpm]") {
    Fib6 fib(1);
    REQUIRE(fib.insert(0, prefix6("::/0"), 1));
    REQUIRE(fib.insert(0, prefix6("2001:db8::1/128"), 2));
    REQUIRE(fib.insert(0, prefix6("2001:db8::/64"), 3));
    const FibView6 view = fib.view();
    CHECK(view.find(0, ipv6("2001:db8::1")) == 2);
    CHECK(view.find(0, ipv6("2001:db8::2")) == 3);
    CHECK(view.find(0, ipv6("2001:db8:0:1::1")) == 1);
    CHECK(view.find(0, ipv6("::")) == 1);
    CHECK(view.find(0, ipv6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) == 1);
}

TEST_CASE("fib: the row kNoRow is refused", "[lpm]") {
    Fib4 fib(1);
    CHECK_FALSE(fib.insert(0, Prefix4(), kNoRow));
    const Route<Ipv4Address> routes[] = {{Prefix4(), kNoRow}};
    CHECK_FALSE(fib.load(0, routes));
    CHECK(fib.size(0) == 0);
}

TEST_CASE("fib: the largest row comes back whole", "[lpm]") {
    Fib4 fib(1);
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 0xffff'fffeU));
    CHECK(fib.view().find(0, ipv4("10.0.0.0")) == 0xffff'fffeU);
}

TEST_CASE("fib: erasing a prefix that is not there says so", "[lpm]") {
    Fib4 fib(1);
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 1));
    const auto refused = fib.erase(0, prefix4("10.0.0.0/9"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::not_found);
    CHECK(refused.error().words.find("10.0.0.0/9") != std::string::npos);
}

TEST_CASE("fib: erasing uncovers what the prefix hid", "[lpm]") {
    Fib4 fib(1);
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 1));
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/16"), 2));
    REQUIRE(fib.erase(0, prefix4("10.0.0.0/16")));
    CHECK(fib.view().find(0, ipv4("10.0.0.1")) == 1);
    REQUIRE(fib.erase(0, prefix4("10.0.0.0/8")));
    CHECK(fib.view().find(0, ipv4("10.0.0.1")) == kNoRow);
}

TEST_CASE("fib: a load that contradicts itself changes nothing and names the prefix", "[lpm]") {
    Fib4 fib(1);
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 1));
    const Route<Ipv4Address> routes[] = {
        {prefix4("11.0.0.0/8"), 2}, {prefix4("12.0.0.0/8"), 3}, {prefix4("12.0.0.0/8"), 4}};
    const auto refused = fib.load(0, routes);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().words.find("12.0.0.0/8") != std::string::npos);
    CHECK(fib.size(0) == 1);
    CHECK(fib.view().find(0, ipv4("10.0.0.1")) == 1);
    CHECK(fib.view().find(0, ipv4("11.0.0.1")) == kNoRow);
}

TEST_CASE("fib: a load takes the same route twice once", "[lpm]") {
    Fib4 fib(1);
    const Route<Ipv4Address> routes[] = {{prefix4("12.0.0.0/8"), 3}, {prefix4("12.0.0.0/8"), 3}};
    REQUIRE(fib.load(0, routes));
    CHECK(fib.size(0) == 1);
}

TEST_CASE("fib: a view keeps what it showed, after changes and after the Fib", "[lpm]") {
    FibView4 view;
    {
        Fib4 fib(1);
        REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 1));
        view = fib.view();
        REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 2));
        REQUIRE(fib.insert(0, prefix4("10.0.0.0/24"), 3));
        CHECK(fib.view().find(0, ipv4("10.0.0.1")) == 3);
        fib.clear(0);
    }
    CHECK(view.find(0, ipv4("10.0.0.1")) == 1);
}

TEST_CASE("fib: a moved Fib is the same Fib", "[lpm]") {
    Fib4 fib(1);
    REQUIRE(fib.insert(0, prefix4("10.0.0.0/8"), 1));
    Fib4 moved = std::move(fib);
    CHECK(moved.exact(0, prefix4("10.0.0.0/8")) == Row{1});
    CHECK_FALSE(moved.exact(0, prefix4("10.0.0.0/9")));
}

TEST_CASE("fib: a listing goes on from any prefix, whether it is there or not, until it is told to stop", "[lpm]") {
    Fib4 fib(1);
    const std::vector<Prefix4> there = {prefix4("0.0.0.0/0"),         prefix4("10.0.0.0/8"),  prefix4("10.0.0.0/16"),
                                        prefix4("10.1.0.0/16"),       prefix4("10.1.2.3/32"), prefix4("11.0.0.0/8"),
                                        prefix4("255.255.255.255/32")};
    for (const Prefix4& prefix : there) REQUIRE(fib.insert(0, prefix, 1));
    const auto from = [&](const char* text, std::size_t most) {
        std::vector<Prefix4> listed;
        fib.for_each_from(0, prefix4(text), [&](const Route<Ipv4Address>& route) {
            listed.push_back(route.prefix);
            return listed.size() < most;
        });
        return listed;
    };
    CHECK(from("0.0.0.0/0", 100) == there);
    CHECK(from("0.0.0.0/0", 2) == std::vector<Prefix4>{there[0], there[1]});
    CHECK(from("10.0.0.0/8", 2) == std::vector<Prefix4>{there[1], there[2]});
    CHECK(from("10.0.0.0/12", 2) == std::vector<Prefix4>{there[2], there[3]});
    CHECK(from("10.1.2.4/32", 1) == std::vector<Prefix4>{there[5]});
    CHECK(from("12.0.0.0/6", 100) == std::vector<Prefix4>{there[6]});
    CHECK(from("255.255.255.255/32", 100) == std::vector<Prefix4>{there[6]});
    std::size_t called = 0;
    fib.for_each_from(1, Prefix4(), [&called](const Route<Ipv4Address>&) { return ++called != 0; });
    CHECK(called == 0);
}

TEST_CASE("fib: the route that covers a prefix is the longest that contains it, itself included", "[lpm]") {
    Fib6 fib(1);
    CHECK_FALSE(fib.covering(0, prefix6("2001:db8::/32")));
    REQUIRE(fib.insert(0, prefix6("2001:db8::/32"), 1));
    REQUIRE(fib.insert(0, prefix6("2001:db8:0:1::/64"), 2));
    REQUIRE(fib.insert(0, prefix6("2001:db8:0:2::/64"), 3));
    CHECK(fib.covering(0, prefix6("2001:db8:0:1::7/128")) == Route<Ipv6Address>{prefix6("2001:db8:0:1::/64"), 2});
    CHECK(fib.covering(0, prefix6("2001:db8:0:2::/64")) == Route<Ipv6Address>{prefix6("2001:db8:0:2::/64"), 3});
    CHECK(fib.covering(0, prefix6("2001:db8:0:3::/64")) == Route<Ipv6Address>{prefix6("2001:db8::/32"), 1});
    CHECK_FALSE(fib.covering(0, prefix6("2001:db8::/31")));
    CHECK_FALSE(fib.covering(1, prefix6("2001:db8::/32")));
    REQUIRE(fib.insert(0, prefix6("::/0"), 4));
    CHECK(fib.covering(0, prefix6("2001:db8::/31")) == Route<Ipv6Address>{prefix6("::/0"), 4});
}

TEST_CASE("fib: ten thousand tables of fifty routes take less than 32 MiB", "[lpm]") {
    constexpr std::size_t kTables = 10'000, kRoutes = 50;
    const std::uint64_t seed = test_seed("small tables");
    CAPTURE(seed);
    Random random(seed);
    Fib4 fib(kTables);
    std::vector<Route<Ipv4Address>> routes(kRoutes);
    for (std::size_t table = 0; table < kTables; ++table) {
        for (auto& route : routes) {
            // As announced: most are a /24 or a little shorter.
            const int length = 24 - static_cast<int>(std::min(below(random, 9), below(random, 9)));
            const Prefix4 prefix(any_address(random, Ipv4Address()), length);
            route = {prefix, prefix.address().value() % 1000};  // one drawn twice has one row
        }
        REQUIRE(fib.load(static_cast<TableId>(table), routes));
    }
    CHECK(fib.memory() < (std::size_t{32} << 20));
}

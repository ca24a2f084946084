// Row numbers that stay with their prefixes, and what is left when a lookup structure refuses.
#include <catch2/catch.hpp>

#include "control/lookups.hpp"
#include "tests/control/compile_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;

namespace {

using Routes = TableRoutes<Ipv4Address>;

lpm::Route<Ipv4Address> route(std::string_view text, lpm::Row row = 0) {
    return {prefix(text).ipv4(), row};
}

// Three institutions of one operator that uses its hub numbers natively, without agreements.
Leaves<Ipv4Address> three_leaves() {
    Leaves<Ipv4Address> leaves;
    for (std::uint32_t n = 0; n < 3; ++n) {
        const Prefix4 whole = prefix("100.64.0.0/16").ipv4();
        const Prefix4 own(Ipv4Address(whole.address().value() | n << 8), 24);
        leaves.push_back({own, own, whole, whole, InstitutionId(n), VrfId(0), 0});
    }
    return leaves;
}
const std::vector<NexthopId> kNexthops(3, dataplane::kResolve);
const std::vector<dataplane::AttachmentSets::Name> kSets(3, 0);

Cells no_cells() {
    Cells cells;
    cells.matrices.resize(1);
    cells.numbers.group_of = {{0, 0}};
    cells.numbers.rows_of = {{{0, 0}}};
    return cells;
}

}  // namespace

TEST_CASE("rows: a prefix that stays keeps its row, and what is free is used again", "[compile]") {
    const Routes installed = {{route("10.0.0.0/8", 3), route("10.1.0.0/16", 0)}, {route("10.0.0.0/8", 1)}};
    const Routes wanted = {{route("10.0.0.0/8"), route("10.0.0.0/16")}, {route("10.0.0.0/8"), route("10.2.0.0/16")}};
    const RowNumbers numbers = number_rows(installed, wanted);
    CHECK(numbers.of == std::vector<std::vector<lpm::Row>>{{3, 0}, {1, 2}});
    CHECK(numbers.size == 4);
}

TEST_CASE("rows: a row far beyond what is wanted moves down, so that numbers do not grow for ever", "[compile]") {
    const Routes installed = {{route("10.0.0.0/8", 100'000), route("10.1.0.0/16", 0), route("10.2.0.0/16", 200)}};
    const RowNumbers numbers = number_rows(installed, installed);
    CHECK(numbers.of == std::vector<std::vector<lpm::Row>>{{1, 0, 200}});
    CHECK(numbers.size == 201);
}

TEST_CASE("rows: few changes and many come to the same routes", "[compile]") {
    lpm::Fib4 fib(3);
    Routes wanted(2);
    for (std::uint32_t n = 0; n < 64; ++n) wanted[0].push_back({Prefix4(Ipv4Address(n << 24), 8), n});
    wanted[1] = {route("10.0.0.0/8", 7)};
    REQUIRE(change(fib, routes_in(fib), wanted));  // loaded
    CHECK(routes_in(fib)[0] == wanted[0]);
    CHECK(routes_in(fib)[1] == wanted[1]);
    wanted[0].erase(wanted[0].begin() + 5);
    wanted[0][9].row = 99;
    wanted.pop_back();                             // a table less: it is emptied
    REQUIRE(change(fib, routes_in(fib), wanted));  // route by route
    CHECK(routes_in(fib)[0] == wanted[0]);
    CHECK(routes_in(fib)[1].empty());
}

TEST_CASE("lookups: after a refusal and forget() the next plan is whole, and readers noticed nothing", "[compile]") {
    const Leaves<Ipv4Address> leaves = three_leaves();
    Lookups<Ipv4Address> lookups(4);
    REQUIRE(lookups.apply(lookups.plan(leaves, kNexthops, kSets, no_cells(), {})));
    dataplane::FamilyTables<Ipv4Address> published;
    lookups.show(published);

    auto bad = lookups.plan({}, {}, kSets, no_cells(), {});
    bad.hub[0] = {route("100.64.0.0/24", lpm::kNoRow)};  // what no Fib takes: `who` has changed by then
    REQUIRE_FALSE(lookups.apply(bad));
    lookups.forget();
    const Ipv4Address inside = address("100.64.1.5").ipv4();
    CHECK(published.who.find(0, inside) == 1);
    CHECK(published.hub.find(0, inside) == 1);

    const auto again = lookups.plan(leaves, kNexthops, kSets, no_cells(), {});
    REQUIRE(lookups.apply(again));
    dataplane::FamilyTables<Ipv4Address> next;
    lookups.show(next);
    for (std::uint32_t n = 0; n < 3; ++n) {
        const Ipv4Address host(leaves[n].hub.address().value() | 5);
        CHECK(again.who_rows.at(next.who.find(0, host)).institution == InstitutionId(n));
        CHECK(again.hub_rows.at(next.hub.find(0, host)).institution == InstitutionId(n));
    }
}

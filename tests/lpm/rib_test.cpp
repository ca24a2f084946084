// The RIB and the pieces that it is cut into.
#include "lpm/rib.hpp"

#include <catch2/catch.hpp>

#include "tests/lpm/text.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

using Pieces4 = std::vector<Piece<Ipv4Address>>;

}  // namespace

TEST_CASE("rib: an empty table is one piece without a row", "[lpm]") {
    Pieces4 pieces;
    Rib<Ipv4Address>().pieces(Prefix4(), pieces);
    CHECK(pieces == Pieces4{{ipv4("0.0.0.0"), kNoRow}});
}

TEST_CASE("rib: a nested route cuts its parent in three", "[lpm]") {
    Rib<Ipv4Address> rib;
    rib.insert(prefix4("10.0.0.0/8"), 1);
    rib.insert(prefix4("10.1.0.0/16"), 2);
    Pieces4 pieces;
    rib.pieces(prefix4("10.0.0.0/8"), pieces);
    CHECK(pieces == Pieces4{{ipv4("10.0.0.0"), 1}, {ipv4("10.1.0.0"), 2}, {ipv4("10.2.0.0"), 1}});
}

TEST_CASE("rib: the last addresses of the space do not wrap", "[lpm]") {
    Rib<Ipv4Address> rib;
    rib.insert(prefix4("0.0.0.0/0"), 1);
    rib.insert(prefix4("255.255.255.255/32"), 2);
    Pieces4 pieces;
    rib.pieces(Prefix4(), pieces);
    CHECK(pieces == Pieces4{{ipv4("0.0.0.0"), 1}, {ipv4("255.255.255.255"), 2}});
}

TEST_CASE("rib: neighbours with the same row are one piece", "[lpm]") {
    Rib<Ipv4Address> rib;
    rib.insert(prefix4("10.0.0.0/9"), 1);
    rib.insert(prefix4("10.128.0.0/9"), 1);
    rib.insert(prefix4("10.7.0.0/16"), 1);
    Pieces4 pieces;
    rib.pieces(prefix4("10.0.0.0/8"), pieces);
    CHECK(pieces == Pieces4{{ipv4("10.0.0.0"), 1}});
}

TEST_CASE("rib: a block inside one route is one piece with that route's row", "[lpm]") {
    Rib<Ipv4Address> rib;
    rib.insert(prefix4("10.0.0.0/8"), 1);
    rib.insert(prefix4("10.1.1.0/24"), 2);
    Pieces4 pieces;
    rib.pieces(prefix4("10.200.0.0/16"), pieces);
    CHECK(pieces == Pieces4{{ipv4("10.200.0.0"), 1}});
    rib.pieces(prefix4("10.1.1.128/25"), pieces);
    CHECK(pieces == Pieces4{{ipv4("10.1.1.128"), 2}});
}

TEST_CASE("rib: erasing leaves nothing behind", "[lpm]") {
    Rib<Ipv4Address> rib;
    rib.insert(prefix4("10.0.0.0/9"), 1);
    rib.insert(prefix4("10.128.0.0/9"), 2);
    CHECK(rib.erase(prefix4("10.0.0.0/9")) == Row{1});
    CHECK_FALSE(rib.erase(prefix4("10.0.0.0/9")));
    CHECK_FALSE(rib.erase(prefix4("10.0.0.0/8")));
    CHECK(rib.erase(prefix4("10.128.0.0/9")) == Row{2});
    CHECK(rib.size() == 0);
    Pieces4 pieces;
    rib.pieces(Prefix4(), pieces);
    CHECK(pieces == Pieces4{{ipv4("0.0.0.0"), kNoRow}});
}

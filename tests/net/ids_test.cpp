// Ids: numbers that name things do not stand in for each other.
#include "net/ids.hpp"

#include <type_traits>
#include <unordered_set>

#include <catch2/catch.hpp>

using namespace sekisho;

TEST_CASE("ids: an operator's id is no VRF's id, though both hold a number", "[net]") {
    STATIC_REQUIRE_FALSE(std::is_same_v<OperatorId, VrfId>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<OperatorId, VrfId>);
    STATIC_REQUIRE_FALSE(std::is_constructible_v<VrfId, OperatorId>);
    STATIC_REQUIRE_FALSE(std::is_same_v<Spi, SaIndex>);
    STATIC_REQUIRE_FALSE(std::is_same_v<PortId, L4Port>);
}

TEST_CASE("ids: a number becomes an id only when asked, and never the other way round", "[net]") {
    STATIC_REQUIRE(std::is_constructible_v<VrfId, std::uint16_t>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::uint16_t, VrfId>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<VrfId, std::uint16_t>);
}

TEST_CASE("ids: compare and index as the numbers they hold", "[net]") {
    const AttachmentId id(7);
    CHECK(id.value() == 7);
    CHECK(id.index() == 7U);
    CHECK(id == AttachmentId(7));
    CHECK(id < AttachmentId(8));
    CHECK(AttachmentId{} == AttachmentId(0));
}

TEST_CASE("ids: take no more room than their number", "[net]") {
    STATIC_REQUIRE(sizeof(VrfId) == 2);
    STATIC_REQUIRE(sizeof(InstitutionId) == 4);
    STATIC_REQUIRE(std::is_trivially_copyable_v<InstitutionId>);
}

TEST_CASE("ids: can be keys of a hash table", "[net]") {
    std::unordered_set<Spi> seen{Spi(256), Spi(257), Spi(256)};
    CHECK(seen.size() == 2);
    CHECK(seen.count(Spi(257)) == 1);
}

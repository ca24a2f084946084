// Expected: a value, or an error in words that name what was tried.
#include "net/expected.hpp"

#include <memory>

#include <catch2/catch.hpp>

using namespace sekisho;

namespace {

Expected<int> half(int number) {
    if (number % 2 != 0) return Error{ErrorCode::invalid, std::to_string(number) + " is odd"};
    return number / 2;
}

Expected<void> check_even(int number) {
    if (number % 2 != 0) return Error{ErrorCode::invalid, std::to_string(number) + " is odd"};
    return {};
}

}  // namespace

TEST_CASE("expected: an error keeps its code and its words", "[net]") {
    const Expected<int> result = half(7);
    REQUIRE_FALSE(result.has_value());
    CHECK_FALSE(result);
    CHECK(result.error().code == ErrorCode::invalid);
    CHECK(result.error().words == "7 is odd");
}

TEST_CASE("expected: a value is reached by value(), * and ->", "[net]") {
    CHECK(half(8).value() == 4);
    CHECK(*half(8) == 4);
    const Expected<std::string> name = std::string("kita");
    CHECK(name->size() == 4);
}

TEST_CASE("expected: value_or gives the other one only for an error", "[net]") {
    CHECK(half(8).value_or(-1) == 4);
    CHECK(half(7).value_or(-1) == -1);
}

TEST_CASE("expected: what can only be moved moves out", "[net]") {
    Expected<std::unique_ptr<int>> made = std::make_unique<int>(3);
    const std::unique_ptr<int> taken = *std::move(made);
    REQUIRE(taken);
    CHECK(*taken == 3);
}

TEST_CASE("expected: a value can be changed in place", "[net]") {
    Expected<std::string> name = std::string("kita");
    *name += "-1";
    name->push_back('0');
    CHECK(name.value() == "kita-10");
}

TEST_CASE("expected: of nothing is good by default, or an error", "[net]") {
    CHECK(check_even(2).has_value());
    const Expected<void> result = check_even(3);
    CHECK_FALSE(result);
    CHECK(result.error().words == "3 is odd");
}

TEST_CASE("expected: an error on its way up gathers the places it passes", "[net]") {
    const Error error{ErrorCode::not_found, "no operator \"kita\""};
    const Error placed = error.at("vrf").at("routes[3]");
    CHECK(placed.words == "routes[3]: vrf: no operator \"kita\"");
    CHECK(placed.code == ErrorCode::not_found);
    CHECK(error.words == "no operator \"kita\"");
}

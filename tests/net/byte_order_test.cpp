// Byte order lives in the type: from_host and to_host are the only swaps.
#include "net/byte_order.hpp"

#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include <catch2/catch.hpp>

using namespace sekisho;

namespace {

template <class Value>
std::array<unsigned char, sizeof(Value)> in_memory(const Value& value) {
    std::array<unsigned char, sizeof(Value)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(Value));
    return bytes;
}

template <class Value>
concept Ordered = requires(Value a, Value b) {
    a < b;
};

}  // namespace

TEST_CASE("byte order: values lie in memory most significant byte first", "[net]") {
    CHECK(in_memory(Be16::from_host(0x1234)) == std::array<unsigned char, 2>{0x12, 0x34});
    CHECK(in_memory(Be32::from_host(0x12345678)) == std::array<unsigned char, 4>{0x12, 0x34, 0x56, 0x78});
    CHECK(in_memory(Be64::from_host(0x0123456789abcdef)) ==
          std::array<unsigned char, 8>{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef});
}

TEST_CASE("byte order: to_host gives back what from_host took", "[net]") {
    CHECK(Be16::from_host(0xfedc).to_host() == 0xfedc);
    CHECK(Be32::from_host(0xfedcba98U).to_host() == 0xfedcba98U);
    CHECK(Be64::from_host(0x0123456789abcdefULL).to_host() == 0x0123456789abcdefULL);
}

TEST_CASE("byte order: network bits are what a plain load of the bytes gives", "[net]") {
    const Be32 value = Be32::from_host(0x0a000001);
    std::uint32_t loaded;
    std::memcpy(&loaded, &value, sizeof loaded);
    CHECK(value.network_bits() == loaded);
    CHECK(Be32::from_network(loaded) == value);
}

TEST_CASE("byte order: a value that nobody set is zero", "[net]") {
    CHECK(Be16{}.to_host() == 0);
    CHECK(Be32{} == Be32::from_host(0));
    CHECK(Be64{}.to_host() == 0);
}

TEST_CASE("byte order: values are equal or not, and have no order", "[net]") {
    CHECK(Be16::from_host(443) == Be16::from_host(443));
    CHECK(Be16::from_host(443) != Be16::from_host(0xbb01));
    STATIC_REQUIRE_FALSE(Ordered<Be16>);
    STATIC_REQUIRE_FALSE(Ordered<Be64>);
}

TEST_CASE("byte order: nothing converts into or out of a value without being asked", "[net]") {
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::uint16_t, Be16>);
    STATIC_REQUIRE_FALSE(std::is_constructible_v<Be16, std::uint16_t>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<Be32, std::uint32_t>);
    STATIC_REQUIRE_FALSE(std::is_constructible_v<Be32, Be16>);
}

TEST_CASE("byte order: a value may lie at an odd address", "[net]") {
    alignas(8) std::array<unsigned char, 9> bytes{0xff, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
    Be64 value;
    std::memcpy(&value, bytes.data() + 1, sizeof value);
    CHECK(value.to_host() == 0x123456789abcdef0ULL);
    STATIC_REQUIRE(alignof(Be64) == 1);
}

TEST_CASE("byte order: everything is known at compile time", "[net]") {
    STATIC_REQUIRE(Be16::from_host(0x0800).to_host() == 0x0800);
    STATIC_REQUIRE(byte_swap(std::uint32_t{0x01020304}) == 0x04030201);
    STATIC_REQUIRE(std::is_trivially_copyable_v<Be32>);
}

// Byte order lives in the type: from_host and to_host are the only swaps.
#include "net/byte_order.hpp"

#include <cstring>

#include <catch2/catch.hpp>

using namespace sekisho;

TEST_CASE("byte order: a Be16 lies in memory most significant byte first", "[net]") {
    const Be16 value = Be16::from_host(0x1234);
    unsigned char bytes[2];
    std::memcpy(bytes, &value, 2);
    CHECK(bytes[0] == 0x12);
    CHECK(bytes[1] == 0x34);
}

TEST_CASE("byte order: to_host gives back what from_host took", "[net]") {
    CHECK(Be16::from_host(0xfedc).to_host() == 0xfedc);
    CHECK(Be32::from_host(0xfedcba98U).to_host() == 0xfedcba98U);
    CHECK(Be64::from_host(0x0123456789abcdefULL).to_host() == 0x0123456789abcdefULL);
}

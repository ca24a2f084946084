// Prefixes: text both ways, and the arithmetic that tables are made with.
#include "net/prefix.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "tests/support/random.hpp"

using namespace sekisho;

namespace {

Prefix4 four(const char* text) {
    const auto prefix = Prefix4::parse(text);
    REQUIRE(prefix);
    return *prefix;
}
Prefix6 six(const char* text) {
    const auto prefix = Prefix6::parse(text);
    REQUIRE(prefix);
    return *prefix;
}

// The oracle: bit for bit, the slow way.
bool bit_of(Ipv4Address address, int bit) {
    return (address.value() >> (31 - bit) & 1) != 0;
}
bool bit_of(const Ipv6Address& address, int bit) {
    return ((bit < 64 ? address.high() >> (63 - bit) : address.low() >> (127 - bit)) & 1) != 0;
}
template <class Address>
bool same_bits(const Address& a, const Address& b, int length) {
    for (int bit = 0; bit < length; ++bit)
        if (bit_of(a, bit) != bit_of(b, bit)) return false;
    return true;
}

Ipv4Address random_address(test::Random& random, Ipv4Address) {
    return Ipv4Address(random.word32());
}
Ipv6Address random_address(test::Random& random, const Ipv6Address&) {
    return {random.word(), random.word()};
}

}  // namespace

TEST_CASE("prefix text: is read and written alike", "[net]") {
    for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "192.0.2.128/25", "255.255.255.255/32"}) {
        INFO(text);
        CHECK(four(text).text() == text);
    }
    for (const char* text :
         {"::/0", "fd00::/8", "2001:db8::/32", "2001:db8:0:1::/64", "2001:db8::8000:0/97", "::1/128"}) {
        INFO(text);
        CHECK(six(text).text() == text);
    }
}

TEST_CASE("prefix text: a bare address is a host prefix", "[net]") {
    CHECK(four("10.0.0.7").text() == "10.0.0.7/32");
    CHECK(six("fd00::7").text() == "fd00::7/128");
}

TEST_CASE("prefix text: host bits are refused, and the error says what was probably meant", "[net]") {
    const auto prefix = Prefix4::parse("10.0.0.7/8");
    REQUIRE_FALSE(prefix);
    CHECK(prefix.error().code == ErrorCode::invalid);
    CHECK(prefix.error().words == "\"10.0.0.7/8\" has host bits set; the prefix would be 10.0.0.0/8");
    CHECK_FALSE(Prefix6::parse("fd00::1/64"));
    CHECK_FALSE(Prefix6::parse("8000::/0"));
    CHECK_FALSE(Prefix4::parse("0.0.0.1/31"));
}

TEST_CASE("prefix text: a length that is none is refused, and the error says what it may be", "[net]") {
    for (const char* text : {"10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "0.0.0.0/-0", "0.0.0.0/+0", "10.0.0.0/08",
                             "0.0.0.0/00", "10.0.0.0/8x", "10.0.0.0/ 8", "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0//8",
                             "10.0.0.0/4294967304", "10.0.0.0/255.0.0.0"}) {
        INFO(text);
        const auto prefix = Prefix4::parse(text);
        REQUIRE_FALSE(prefix);
        CHECK(prefix.error().words == "\"" + std::string(text) + "\": the length must be 0 to 32");
    }
    CHECK(Prefix6::parse("fd00::/129").error().words == "\"fd00::/129\": the length must be 0 to 128");
    CHECK_FALSE(Prefix6::parse("::/-0"));
}

TEST_CASE("prefix text: an address that is none is refused, and the error names the family", "[net]") {
    CHECK(Prefix4::parse("kita/8").error().words == "\"kita/8\" is not an IPv4 prefix");
    CHECK(Prefix6::parse("10.0.0.0/8").error().words == "\"10.0.0.0/8\" is not an IPv6 prefix");
    CHECK(IpPrefix::parse("kita").error().words == "\"kita\" is neither an IPv4 nor an IPv6 prefix");
    CHECK_FALSE(Prefix4::parse(""));
    CHECK_FALSE(Prefix4::parse("/8"));
    CHECK_FALSE(IpPrefix::parse(""));
    CHECK_FALSE(IpPrefix::parse("10.0.0.1/8"));
}

TEST_CASE("IP prefix text: the family follows from the text", "[net]") {
    const auto hub = IpPrefix::parse("100.64.0.0/10");
    REQUIRE(hub);
    CHECK(hub->is_ipv4());
    CHECK(hub->length() == 10);
    CHECK(hub->text() == "100.64.0.0/10");
    const auto wide = IpPrefix::parse("fd00::/8");
    REQUIRE(wide);
    CHECK(wide->family() == Family::ipv6);
    CHECK(wide->ipv6() == six("fd00::/8"));
}

TEST_CASE("prefix: host bits of an address are cleared when a prefix is made of it", "[net]") {
    CHECK(Prefix4(*Ipv4Address::parse("10.1.2.3"), 8) == four("10.0.0.0/8"));
    CHECK(Prefix6(*Ipv6Address::parse("fd00::ffff:1"), 112).text() == "fd00::ffff:0/112");
    CHECK(Prefix4() == four("0.0.0.0/0"));
}

TEST_CASE("prefix: masks are right at and around the word's border", "[net]") {
    CHECK(four("0.0.0.0/0").mask().text() == "0.0.0.0");
    CHECK(four("10.0.0.0/8").mask().text() == "255.0.0.0");
    CHECK(four("10.0.0.7/32").mask().text() == "255.255.255.255");
    CHECK(six("::/0").mask().text() == "::");
    CHECK(six("fd00::/63").mask() == Ipv6Address(0xfffffffffffffffe, 0));
    CHECK(six("fd00::/64").mask() == Ipv6Address(0xffffffffffffffff, 0));
    CHECK(six("fd00::/65").mask() == Ipv6Address(0xffffffffffffffff, 0x8000000000000000));
    CHECK(six("fd00::1/128").mask() == Ipv6Address(0xffffffffffffffff, 0xffffffffffffffff));
}

TEST_CASE("prefix: first and last are its ends", "[net]") {
    CHECK(four("10.64.0.0/10").first().text() == "10.64.0.0");
    CHECK(four("10.64.0.0/10").last().text() == "10.127.255.255");
    CHECK(four("0.0.0.0/0").last().text() == "255.255.255.255");
    CHECK(four("10.0.0.7/32").last().text() == "10.0.0.7");
    CHECK(six("fd00::/120").last().text() == "fd00::ff");
    CHECK(six("::/0").last().text() == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST_CASE("prefix: contains what lies within and nothing beside", "[net]") {
    const Prefix4 prefix = four("10.64.0.0/10");
    CHECK(prefix.contains(*Ipv4Address::parse("10.64.0.0")));
    CHECK(prefix.contains(*Ipv4Address::parse("10.127.255.255")));
    CHECK_FALSE(prefix.contains(*Ipv4Address::parse("10.63.255.255")));
    CHECK_FALSE(prefix.contains(*Ipv4Address::parse("10.128.0.0")));
    CHECK(prefix.contains(prefix));
    CHECK(prefix.contains(four("10.65.0.0/16")));
    CHECK_FALSE(prefix.contains(four("10.0.0.0/8")));
    CHECK(prefix.overlaps(four("10.0.0.0/8")));
    CHECK_FALSE(prefix.overlaps(four("10.128.0.0/10")));
}

TEST_CASE("prefix: the families do not contain each other, not even the default routes", "[net]") {
    const IpPrefix all4 = *IpPrefix::parse("0.0.0.0/0");
    const IpPrefix all6 = *IpPrefix::parse("::/0");
    CHECK_FALSE(all4.contains(all6));
    CHECK_FALSE(all6.contains(all4));
    CHECK_FALSE(all4.overlaps(all6));
    CHECK(all6.contains(*IpPrefix::parse("fd00::/8")));
}

TEST_CASE("prefix: order is by address, the shorter one first", "[net]") {
    CHECK(four("10.0.0.0/8") < four("10.0.0.0/9"));
    CHECK(four("10.0.0.0/9") < four("10.128.0.0/9"));
    CHECK(four("9.0.0.0/8") < four("10.0.0.0/8"));
    CHECK(*IpPrefix::parse("255.0.0.0/8") < *IpPrefix::parse("::/0"));
}

TEMPLATE_TEST_CASE("prefix: arithmetic agrees with counting bits, for every length", "[net]", Prefix4, Prefix6) {
    using Address = typename TestType::Address;
    test::Random random("prefix arithmetic");
    for (int length = 0; length <= Address::kBits; ++length) {
        for (int round = 0; round < 40; ++round) {
            const Address seed = random_address(random, Address());
            const TestType prefix(seed, length);
            INFO(prefix.text());
            CHECK(same_bits(prefix.address(), seed, length));
            for (int bit = length; bit < Address::kBits; ++bit) {
                CHECK_FALSE(bit_of(prefix.first(), bit));
                CHECK(bit_of(prefix.last(), bit));
            }
            CHECK(prefix.contains(seed));
            CHECK(prefix.contains(prefix.last()));
            const Address other = random_address(random, Address());
            CHECK(prefix.contains(other) == same_bits(other, seed, length));
            const TestType shorter(seed, static_cast<int>(random.below(static_cast<std::size_t>(length) + 1)));
            CHECK(shorter.contains(prefix));
            CHECK(prefix.contains(shorter) == (shorter.length() == length));
            CHECK(*TestType::parse(prefix.text()) == prefix);
        }
    }
}

// Addresses: text both ways, and what kind of address a number is. Oracle: the C library's inet_pton and inet_ntop.
#include "net/address.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/random.hpp"

using namespace sekisho;

namespace {

std::optional<Ipv4Address> by_libc4(const std::string& text) {
    in_addr raw{};
    if (inet_pton(AF_INET, text.c_str(), &raw) != 1) return std::nullopt;
    return Ipv4Address(ntohl(raw.s_addr));
}

std::optional<Ipv6Address> by_libc6(const std::string& text) {
    Ipv6Wire raw;
    if (inet_pton(AF_INET6, text.c_str(), &raw) != 1) return std::nullopt;
    return raw.address();
}

std::string libc_text(const Ipv6Address& address) {
    const Ipv6Wire raw = Ipv6Wire::from(address);
    char buffer[INET6_ADDRSTRLEN];
    return inet_ntop(AF_INET6, &raw, buffer, sizeof buffer);
}

Ipv6Address ipv6(const char* text) {
    const auto address = Ipv6Address::parse(text);
    REQUIRE(address);
    return *address;
}

// One edit of a text: a byte changed, dropped, doubled or swapped with the next.
std::string edited(std::string text, test::Random& random) {
    static constexpr std::string_view kLetters = "0123456789abcdefABCDEFg.:/%-+ x";
    const std::size_t at = random.below(text.size());
    switch (random.below(4)) {
        case 0: text[at] = kLetters[random.below(kLetters.size())]; break;
        case 1: text.erase(at, 1); break;
        case 2: text.insert(at, 1, text[at]); break;
        default: std::swap(text[at], text[(at + 1) % text.size()]); break;
    }
    return text;
}

}  // namespace

TEST_CASE("IPv4 text: four decimal numbers are read and written alike", "[net]") {
    for (const char* text : {"0.0.0.0", "10.0.0.7", "127.0.0.1", "198.51.100.9", "255.255.255.255"}) {
        INFO(text);
        const auto address = Ipv4Address::parse(text);
        REQUIRE(address);
        CHECK(address->text() == text);
        CHECK(address == by_libc4(text));
    }
    CHECK(Ipv4Address::parse("1.2.3.4")->value() == 0x01020304);
}

TEST_CASE("IPv4 text: what is not exactly four numbers of 0 to 255 is refused", "[net]") {
    for (const char* text :
         {"",         ".",         "1",         "1.2",        "1.2.3",     "1.2.3.",     "1.2.3.4.",         ".1.2.3.4",
          "1..3.4",   "1.2.3.4.5", "256.0.0.1", "1.2.3.256",  "1.2.3.999", "1.2.3.1000", "1.2.3.4294967297", "1.2.3.a",
          "1.2.3.-4", "1.2.3.+4",  "0x1.2.3.4", "1.2.3.4/32", "1.2.3.4 ",  " 1.2.3.4",   "1,2,3,4"}) {
        INFO(text);
        CHECK_FALSE(Ipv4Address::parse(text));
    }
    CHECK_FALSE(Ipv4Address::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("IPv4 text: a leading zero, which some read as octal, is refused", "[net]") {
    for (const char* text : {"01.2.3.4", "1.2.3.04", "00.0.0.0", "010.0.0.1", "1.2.003.4"}) {
        INFO(text);
        CHECK_FALSE(Ipv4Address::parse(text));
    }
}

TEST_CASE("IPv6 text: RFC 4291 §2.2's own examples are read", "[net]") {
    CHECK(ipv6("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789") == Ipv6Address(0xabcdef0123456789, 0xabcdef0123456789));
    CHECK(ipv6("2001:DB8:0:0:8:800:200C:417A") == Ipv6Address(0x20010db800000000, 0x00080800200c417a));
    CHECK(ipv6("2001:DB8::8:800:200C:417A") == Ipv6Address(0x20010db800000000, 0x00080800200c417a));
    CHECK(ipv6("FF01::101") == Ipv6Address(0xff01000000000000, 0x101));
    CHECK(ipv6("::1") == Ipv6Address(0, 1));
    CHECK(ipv6("::") == Ipv6Address(0, 0));
    CHECK(ipv6("0:0:0:0:0:0:13.1.68.3") == Ipv6Address(0, 0x0d014403));
    CHECK(ipv6("::FFFF:129.144.52.38") == Ipv6Address(0, 0xffff81903426));
}

TEST_CASE("IPv6 text: is written as RFC 5952 has it", "[net]") {
    const std::pair<const char*, const char*> cases[] = {
        {"2001:0db8::0001", "2001:db8::1"},                // §4.1: no leading zeros
        {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},         // §4.2.1: as short as can be
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // §4.2.2: not for one group
        {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},   //
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},           // §4.2.3: the longest run
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},     // §4.2.3: the first of equals
        {"2001:DB8::ABCD:EF", "2001:db8::abcd:ef"},        // §4.3: lower case
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},          // §5: mapped IPv4 keeps its dots
        {"::ffff:c000:201", "::ffff:192.0.2.1"},           //
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},      //
        {"0:0:0:0:0:0:0:0", "::"},                         //
        {"0:0:0:0:0:0:0:1", "::1"},                        //
        {"1:0:0:0:0:0:0:0", "1::"},                        //
        {"0:0:1::", "0:0:1::"},                            //
        {"1:0:0:2::", "1:0:0:2::"},                        //
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},              //
        {"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"},              //
        {"0:2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},            //
        {"1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"},            //
        {"fe80:0000:0000:0000:0200:5eff:fe00:5301", "fe80::200:5eff:fe00:5301"},
    };
    for (const auto& [given, written] : cases) {
        INFO(given);
        CHECK(ipv6(given).text() == written);
        CHECK(ipv6(written) == ipv6(given));
    }
}

TEST_CASE("IPv6 text: what is malformed is refused", "[net]") {
    for (const char* text : {"",
                             ":",
                             ":::",
                             "1",
                             "1:2:3:4:5:6:7",
                             "1:2:3:4:5:6:7:8:9",
                             "1:2:3:4:5:6:7:8:",
                             ":1:2:3:4:5:6:7:8",
                             "1::2::3",
                             "::1::",
                             ":::1",
                             "1:::2",
                             "1:",
                             ":1",
                             "::1:",
                             ":1::",
                             "12345::",
                             "::12345",
                             "g::",
                             "::-1",
                             "::+1",
                             "::0x1",
                             "1:2:3:4:5:6:7:8::",
                             "::1:2:3:4:5:6:7:8",
                             "1:2:3:4::5:6:7:8",
                             "1.2.3.4",
                             "::1.2.3",
                             "::1.2.3.4.5",
                             "::1.2.3.256",
                             "::01.2.3.4",
                             "1.2.3.4::",
                             "::1.2.3.4:5",
                             "1:2:3:4:5:6:7:1.2.3.4",
                             "1:2:3:4:5::6:7:1.2.3.4",
                             "fe80::1%eth0",
                             "[::1]",
                             "::1/128",
                             " ::1",
                             "::1 "}) {
        INFO(text);
        CHECK_FALSE(Ipv6Address::parse(text));
        CHECK_FALSE(by_libc6(text));
    }
    CHECK_FALSE(Ipv6Address::parse(std::string_view("::1\0", 4)));
}

TEST_CASE("IPv6 text: \"::\" may stand for a single group", "[net]") {
    CHECK(ipv6("1:2:3:4:5:6:7::") == Ipv6Address(0x0001000200030004, 0x0005000600070000));
    CHECK(ipv6("::2:3:4:5:6:7:8") == Ipv6Address(0x0000000200030004, 0x0005000600070008));
    CHECK(ipv6("1:2:3:4:5::1.2.3.4") == Ipv6Address(0x0001000200030004, 0x0005000001020304));
}

TEST_CASE("address text: random addresses read and write as the C library does", "[net]") {
    test::Random random("address text");
    for (int round = 0; round < 20000; ++round) {
        const Ipv4Address four(random.word32());
        CHECK(Ipv4Address::parse(four.text()) == four);
        CHECK(by_libc4(four.text()) == four);

        // Groups are often zero, or there would be nothing to shorten.
        std::uint64_t halves[2] = {random.word(), random.word()};
        for (int group = 0; group < 8; ++group)
            if (random.one_in(2)) halves[group / 4] &= ~(std::uint64_t{0xffff} << (16 * (group % 4)));
        const Ipv6Address six(halves[0], halves[1]);
        CHECK(Ipv6Address::parse(six.text()) == six);
        CHECK(by_libc6(six.text()) == six);
        // glibc writes ::/96 with dots, a form that RFC 4291 §2.5.5.1 has deprecated.
        const bool compatible = six.high() == 0 && (six.low() >> 32) == 0;
        if (!compatible) CHECK(six.text() == libc_text(six));
    }
}

TEST_CASE("address text: spoilt texts are read or refused as the C library does", "[net]") {
    test::Random random("spoilt address text");
    const std::vector<std::string> seeds = {
        "10.0.0.7",           "198.51.100.255",  "0.0.0.0", "2001:db8::1", "fe80::1:2:3:4",
        "::ffff:1.2.3.4",     "1:2:3:4:5:6:7:8", "::",      "fd00:1:2::",  "1::8",
        "1:2:3:4:5:6:1.2.3.4"};
    for (int round = 0; round < 50000; ++round) {
        std::string text = seeds[random.below(seeds.size())];
        for (std::size_t edits = 1 + random.below(3); edits > 0 && !text.empty(); --edits) text = edited(text, random);
        INFO('"' << text << '"');
        CHECK(Ipv4Address::parse(text) == by_libc4(text));
        CHECK(Ipv6Address::parse(text) == by_libc6(text));
    }
}

TEST_CASE("IP address text: the family follows from the text", "[net]") {
    CHECK(IpAddress::parse("10.0.0.7")->family() == Family::ipv4);
    CHECK(IpAddress::parse("fd00::7")->family() == Family::ipv6);
    CHECK(IpAddress::parse("10.0.0.7")->ipv4() == Ipv4Address(0x0a000007));
    CHECK(IpAddress::parse("fd00::7")->text() == "fd00::7");
    CHECK(IpAddress::parse("::ffff:10.0.0.7")->family() == Family::ipv6);
    CHECK_FALSE(IpAddress::parse("kita"));
    CHECK_FALSE(IpAddress::parse(""));
}

TEST_CASE("MAC text: six pairs of hexadecimal digits are read, and written in lower case", "[net]") {
    const auto mac = MacAddress::parse("02:00:5E:10:aB:ff");
    REQUIRE(mac);
    CHECK(mac->text() == "02:00:5e:10:ab:ff");
    CHECK(mac->bytes() == MacAddress::Bytes{0x02, 0x00, 0x5e, 0x10, 0xab, 0xff});
}

TEST_CASE("MAC text: what is malformed is refused", "[net]") {
    for (const char* text : {"", "02:00:5e:10:ab", "02:00:5e:10:ab:ff:", "02:00:5e:10:ab:ff:00", "02-00-5e-10-ab-ff",
                             "02:00:5e:10:ab:f", "2:0:5e:10:ab:ff", "02:00:5e:10:ab:fg", "02:00:5e:10:ab: f",
                             "02:00:5e:10:ab:+f", "0200.5e10.abff", "02:00:5e:10:ab.ff", "::::::::::::::::::"}) {
        INFO(text);
        CHECK_FALSE(MacAddress::parse(text));
    }
}

TEST_CASE("IPv4 kinds: each range begins and ends where its RFC says", "[net]") {
    const auto ipv4 = [](const char* text) { return *Ipv4Address::parse(text); };
    CHECK(ipv4("0.0.0.0").is_unspecified());
    CHECK_FALSE(ipv4("0.0.0.1").is_unspecified());
    CHECK(ipv4("0.255.255.255").is_this_network());
    CHECK_FALSE(ipv4("1.0.0.0").is_this_network());
    CHECK_FALSE(ipv4("126.255.255.255").is_loopback());
    CHECK(ipv4("127.0.0.0").is_loopback());
    CHECK(ipv4("127.255.255.255").is_loopback());
    CHECK_FALSE(ipv4("128.0.0.0").is_loopback());
    CHECK(ipv4("169.254.0.0").is_link_local());
    CHECK(ipv4("169.254.255.255").is_link_local());
    CHECK_FALSE(ipv4("169.255.0.0").is_link_local());
    CHECK_FALSE(ipv4("223.255.255.255").is_multicast());
    CHECK(ipv4("224.0.0.0").is_multicast());
    CHECK(ipv4("239.255.255.255").is_multicast());
    CHECK_FALSE(ipv4("240.0.0.0").is_multicast());
    CHECK(ipv4("240.0.0.0").is_reserved());
    CHECK(ipv4("255.255.255.255").is_reserved());
    CHECK(ipv4("255.255.255.255").is_limited_broadcast());
    CHECK_FALSE(ipv4("255.255.255.254").is_limited_broadcast());
}

TEST_CASE("IPv6 kinds: each range begins and ends where RFC 4291 says", "[net]") {
    CHECK(ipv6("::").is_unspecified());
    CHECK_FALSE(ipv6("::1").is_unspecified());
    CHECK_FALSE(ipv6("1::").is_unspecified());
    CHECK(ipv6("::1").is_loopback());
    CHECK_FALSE(ipv6("::2").is_loopback());
    CHECK_FALSE(ipv6("1::1").is_loopback());
    CHECK(ipv6("ff00::").is_multicast());
    CHECK(ipv6("ff02::1").is_multicast());
    CHECK_FALSE(ipv6("feff:ffff::").is_multicast());
    CHECK(ipv6("fe80::").is_link_local());
    CHECK(ipv6("febf:ffff::1").is_link_local());
    CHECK_FALSE(ipv6("fe7f::1").is_link_local());
    CHECK_FALSE(ipv6("fec0::1").is_link_local());
    CHECK(ipv6("::ffff:10.0.0.7").is_mapped_ipv4());
    CHECK_FALSE(ipv6("::fffe:10.0.0.7").is_mapped_ipv4());
    CHECK_FALSE(ipv6("1::ffff:10.0.0.7").is_mapped_ipv4());
}

TEST_CASE("IPv6 groups: an owner's solicited-node group keeps its last 24 bits", "[net]") {
    CHECK(ipv6("4037::01:800:200e:8c6c").solicited_node().text() == "ff02::1:ff0e:8c6c");  // RFC 4291 §2.7.1
    CHECK(ipv6("fd00::").solicited_node().text() == "ff02::1:ff00:0");
    CHECK(kAllNodes.text() == "ff02::1");
    CHECK(kAllRouters.text() == "ff02::2");
}

TEST_CASE("MAC groups: an IPv6 group's MAC is 33:33 and its last four bytes", "[net]") {
    CHECK(MacAddress::of_group(ipv6("ff02::1:ff0e:8c6c")).text() == "33:33:ff:0e:8c:6c");
    CHECK(MacAddress::of_group(kAllNodes).text() == "33:33:00:00:00:01");
}

TEST_CASE("MAC kinds: group and locally administered are bits of the first byte", "[net]") {
    CHECK(kBroadcastMac.is_group());
    CHECK(MacAddress::parse("01:00:5e:00:00:01")->is_group());
    CHECK_FALSE(MacAddress::parse("02:00:00:00:00:01")->is_group());
    CHECK(MacAddress::parse("02:00:00:00:00:01")->is_locally_administered());
    CHECK_FALSE(MacAddress::parse("00:00:5e:00:00:01")->is_locally_administered());
    CHECK(MacAddress().is_zero());
    CHECK_FALSE(kBroadcastMac.is_zero());
}

TEST_CASE("addresses: are ordered as the numbers they are", "[net]") {
    CHECK(*Ipv4Address::parse("9.255.255.255") < *Ipv4Address::parse("10.0.0.0"));
    CHECK(ipv6("fd00::1") < ipv6("fd00::2"));
    CHECK(ipv6("fd00::ffff:ffff:ffff:ffff") < ipv6("fd00:0:0:1::"));
    CHECK(*IpAddress::parse("255.255.255.255") < *IpAddress::parse("::"));
    CHECK(*MacAddress::parse("00:00:00:00:00:ff") < *MacAddress::parse("00:00:00:00:01:00"));
}

TEST_CASE("addresses: the wire form keeps the order of the bytes", "[net]") {
    const Ipv6Wire wire = Ipv6Wire::from(ipv6("2001:db8:1:2:3:4:5:6"));
    std::uint8_t bytes[16];
    std::memcpy(bytes, &wire, sizeof bytes);
    const std::uint8_t expected[] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6};
    CHECK(std::memcmp(bytes, expected, sizeof bytes) == 0);
    CHECK(wire.address() == ipv6("2001:db8:1:2:3:4:5:6"));
    CHECK(Ipv4Address(Ipv4Address(0x0a000007).wire()) == Ipv4Address(0x0a000007));
}

// Where a peer is, told by several workers and read by others: whole, or not at all.
#include "dataplane/peer_word.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

using namespace sekisho;
using namespace sekisho::dataplane;

namespace {

// All of it says the same number.
UdpEndpoint numbered(std::uint16_t number) {
    const std::uint64_t all = number * std::uint64_t{0x0001'0001'0001'0001};
    if (number % 3 == 0) return {Ipv4Address(static_cast<std::uint32_t>(all)), L4Port(number)};
    return {Ipv6Address(all, all), L4Port(number)};
}

}  // namespace

TEST_CASE("peer word: nothing at first, then what was told last", "[esp][udp]") {
    PeerWord word;
    CHECK_FALSE(word.now());
    for (const char* text : {"198.51.100.9", "2001:db8::9", "255.255.255.255", "0.0.0.0", "::"}) {
        const UdpEndpoint endpoint{*IpAddress::parse(text), L4Port(65535)};
        REQUIRE(word.follow(endpoint));
        CHECK(word.now() == endpoint);
    }
    CHECK(UdpEndpoint{*IpAddress::parse("198.51.100.9"), L4Port(4500)}.text() == "198.51.100.9:4500");
    CHECK(UdpEndpoint{*IpAddress::parse("2001:db8::9"), L4Port(1)}.text() == "[2001:db8::9]:1");
}

TEST_CASE("peer word: two workers write, two read, and none sees a half", "[esp][udp][worker]") {
    constexpr unsigned kWrites = 20'000;
    PeerWord word;
    REQUIRE(word.follow(numbered(7)));
    std::atomic<unsigned> writing{2}, torn{0}, written{0};
    std::vector<std::thread> threads;
    for (unsigned w = 0; w < 2; ++w)
        threads.emplace_back([&, w] {
            for (unsigned i = 0; i < kWrites; ++i)
                if (word.follow(numbered(static_cast<std::uint16_t>(2 * i + w)))) ++written;
            --writing;
        });
    for (unsigned r = 0; r < 2; ++r)
        threads.emplace_back([&] {
            while (writing != 0)
                if (const auto now = word.now(); !now || *now != numbered(now->port.value())) ++torn;
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(torn == 0);
    CHECK(written >= kWrites / 2);
    CHECK(word.now());
}

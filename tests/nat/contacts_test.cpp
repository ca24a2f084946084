// Addresses that ports have sessions with, beside a map.
#include "nat/contacts.hpp"

#include <map>

#include <catch2/catch.hpp>

#include "tests/nat/support.hpp"

using namespace sekisho;
using namespace sekisho::nat;
using namespace sekisho::test;

namespace {

Ipv4Address address(std::uint64_t n) {
    return Ipv4Address(static_cast<std::uint32_t>(0x0a00'0000 + n));
}

}  // namespace

TEST_CASE("contacts: a pair is there until its last session has ended", "[nat]") {
    Contacts contacts(10, 1);
    CHECK_FALSE(contacts.has(0, address(0)));
    contacts.remove(0, address(0));
    contacts.add(0, address(0));
    contacts.add(0, address(0));
    contacts.remove(0, address(0));
    CHECK(contacts.has(0, address(0)));
    CHECK_FALSE(contacts.has(1, address(0)));
    CHECK_FALSE(contacts.has(0, address(1)));
    contacts.remove(0, address(0));
    CHECK_FALSE(contacts.has(0, address(0)));
    CHECK(contacts.size() == 0);
}

TEST_CASE("contacts: a full table remembers no more, and forgets nothing", "[nat]") {
    Contacts contacts(3, 1);
    for (std::uint32_t n = 0; n < 5; ++n) contacts.add(n, address(7));
    for (std::uint32_t n = 0; n < 5; ++n) CHECK(contacts.has(n, address(7)) == (n < 3));
    contacts.remove(4, address(7));
    contacts.remove(0, address(7));
    contacts.add(4, address(7));
    CHECK(contacts.has(4, address(7)));
    CHECK(contacts.size() == 3);
}

TEST_CASE("contacts: as a map has them, whatever comes and goes", "[nat][random]") {
    Random random("contacts");
    for (std::size_t round = 0; round < 20 * rounds(); ++round) {
        Contacts contacts(64, random.below(1'000'000));
        std::map<std::pair<std::uint32_t, std::uint64_t>, unsigned> known;
        for (unsigned step = 0; step < 2000; ++step) {
            const std::pair pair(static_cast<std::uint32_t>(random.below(8)), random.below(12));
            if (random.below(2) == 0) {
                if (known.size() < 64 || known.contains(pair)) ++known[pair];
                contacts.add(pair.first, address(pair.second));
            } else {
                if (const auto at = known.find(pair); at != known.end() && --at->second == 0) known.erase(at);
                contacts.remove(pair.first, address(pair.second));
            }
            REQUIRE(contacts.size() == known.size());
        }
        for (std::uint32_t mapping = 0; mapping < 8; ++mapping)
            for (std::uint64_t n = 0; n < 12; ++n)
                REQUIRE(contacts.has(mapping, address(n)) == known.contains({mapping, n}));
    }
}

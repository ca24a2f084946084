// What lpm_bench reads its tables from, and what it holds answers against.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "perf/lpm_check.hpp"
#include "perf/lpm_data.hpp"
#include "tests/lpm/text.hpp"

using namespace sekisho;
using namespace sekisho::perf;
using sekisho::lpm::ipv4;
using sekisho::lpm::prefix4;
using sekisho::lpm::prefix6;

namespace {

// A file that is gone with it.
struct File {
    explicit File(const std::string& text) {
        char name[] = "/tmp/sekisho-routes.XXXXXX";
        const int made = ::mkstemp(name);
        REQUIRE(made >= 0);
        ::close(made);
        path = name;
        std::ofstream(path) << text;
    }
    ~File() { std::filesystem::remove(path); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    std::string path;
};

std::string refused_routes(const std::string& text) {
    const File file(text);
    const auto read = read_routes(file.path);
    return read ? "" : read.error().words.substr(file.path.size());
}

std::string refused_ranges(const std::string& text) {
    const File file(text);
    const auto read = read_ranges<Ipv4Address>(file.path);
    return read ? "" : read.error().words.substr(file.path.size());
}

}  // namespace

TEST_CASE("bench data: a line of routes that is none is named, with its file", "[lpm]") {
    CHECK(refused_routes("10.0.0.0/8 a\n\n10.0.0.1/8 a\n") ==
          " line 3: \"10.0.0.1/8\" has host bits set; the prefix would be 10.0.0.0/8");
    CHECK(refused_routes("# a\n2001:db8::/129 a\n") == " line 2: \"2001:db8::/129\": the length must be 0 to 128");
    CHECK(refused_routes("kita a\n") == " line 1: \"kita\" is neither an IPv4 nor an IPv6 prefix");
    CHECK(refused_routes("10.0.0.0/8\n") == " line 1: \"10.0.0.0/8\" has no next hop");
    CHECK(refused_routes("10.0.0.0/8 via a") ==
          " line 1: \"a\" after the next hop of \"10.0.0.0/8\", which is one word");
}

TEST_CASE("bench data: a file without routes is refused", "[lpm]") {
    CHECK(refused_routes("") == ": no routes in it");
    CHECK(refused_routes("# 10.0.0.0/8 a\n\n") == ": no routes in it");
    CHECK(read_routes("/nowhere/routes").error().words == "/nowhere/routes: cannot be read");
    CHECK(read_routes("/tmp").error().words == "/tmp: cannot be read");
}

TEST_CASE("bench data: equal next hops are one row, in order of appearance", "[lpm]") {
    const File file(
        "# both families\n\n 10.1.0.0/16\tkita \r\n2001:db8::/32 minami\n10.0.0.0/8 minami\n0.0.0.0/0 kita");
    const auto read = read_routes(file.path);
    REQUIRE(read);
    CHECK(read->ipv4 ==
          Routes<Ipv4Address>{{prefix4("0.0.0.0/0"), 0}, {prefix4("10.0.0.0/8"), 1}, {prefix4("10.1.0.0/16"), 0}});
    CHECK(read->ipv6 == Routes<Ipv6Address>{{prefix6("2001:db8::/32"), 1}});
}

TEST_CASE("bench data: of a prefix given twice, the first counts", "[lpm]") {
    const File routes("10.0.0.0/8 a\n192.0.2.1 a\n10.0.0.0/8 b\n");
    CHECK(read_routes(routes.path)->ipv4 ==
          Routes<Ipv4Address>{{prefix4("10.0.0.0/8"), 0}, {prefix4("192.0.2.1/32"), 0}});
    const File ranges("10.0.0.0,10.0.0.255,7\n10.0.0.0,10.0.0.255,8\n");
    CHECK(*read_ranges<Ipv4Address>(ranges.path) == Routes<Ipv4Address>{{prefix4("10.0.0.0/24"), 7}});
}

TEST_CASE("bench data: a range is split into prefixes", "[lpm]") {
    const File file("10.0.1.0,10.0.4.255,65536,\"Kita, Inc.\"\n");
    CHECK(*read_ranges<Ipv4Address>(file.path) == Routes<Ipv4Address>{{prefix4("10.0.1.0/24"), 65536},
                                                                      {prefix4("10.0.2.0/23"), 65536},
                                                                      {prefix4("10.0.4.0/24"), 65536}});
}

TEST_CASE("bench data: a line of ranges that is none is named, with its file", "[lpm]") {
    const std::string must = " is not \"first address,last address,AS\"";
    CHECK(refused_ranges("10.0.0.0,10.0.0.255,7\n10.0.1.0,10.0.0.255,7\n") ==
          " line 2: \"10.0.1.0,10.0.0.255,7\"" + must);
    CHECK(refused_ranges("10.0.0.0,10.0.0.255\n") == " line 1: \"10.0.0.0,10.0.0.255\"" + must);
    CHECK(refused_ranges("10.0.0.0,10.0.0.255,AS7\n") == " line 1: \"10.0.0.0,10.0.0.255,AS7\"" + must);
    CHECK(refused_ranges("::,::1,7\n") == " line 1: \"::,::1,7\"" + must);
    CHECK(refused_ranges("") == ": no ranges in it");
}

TEST_CASE("bench data: where no more routes can nest, there are fewer", "[lpm]") {
    Routes<Ipv4Address> routes = {{prefix4("10.0.0.1/32"), 0}};
    Random random(1);
    add_nested(routes, 1000, random);
    CHECK(routes.size() < 34);  // one a length
}

TEST_CASE("bench check: the right row is the longest prefix's, in the table that is asked", "[lpm]") {
    const Reference<Ipv4Address> reference(
        {{{prefix4("10.1.0.0/16"), 2}, {prefix4("0.0.0.0/0"), 1}}, {{prefix4("10.1.2.0/24"), 3}}});
    CHECK(reference.row(0, ipv4("10.1.2.3")) == 2);
    CHECK(reference.row(0, ipv4("10.2.0.0")) == 1);
    CHECK(reference.row(1, ipv4("10.1.2.3")) == 3);
    CHECK(reference.row(1, ipv4("10.1.3.0")) == lpm::kNoRow);
}

TEST_CASE("bench check: each wrong answer of each batch is counted", "[lpm]") {
    std::size_t at = 0;
    const Lookups identity{{"identity", [&at](std::size_t first, std::size_t) { at = first; }},
                           [&at](std::size_t k) { return static_cast<lpm::Row>(at + k); }};
    std::vector<lpm::Row> right;
    for (lpm::Row row = 0; row < 3 * kBatch; ++row) right.push_back(row);
    CHECK(wrong_answers(identity, right) == 0);
    right[0] = right[kBatch + 1] = right.back() = lpm::kNoRow;
    CHECK(wrong_answers(identity, right) == 3);
}

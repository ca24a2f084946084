// Tables and addresses to measure lpm/ with: the announced ranges of the Internet, routes from a file, random ones.
//
// Every draw is from a fixed seed, so that two runs on the same data ask the same questions.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "lpm/types.hpp"
#include "net/expected.hpp"

namespace sekisho::perf {

using Random = std::mt19937_64;

template <class Address>
using Routes = std::vector<lpm::Route<Address>>;

// Addresses to look up, each with its table.
template <class Address>
struct Stream {
    std::string name;
    std::vector<lpm::TableId> tables;
    std::vector<typename lpm::KeyOf<Address>::type> keys;
};

// One table of each family, in order, each prefix once; either may be empty.
struct FullTables {
    Routes<Ipv4Address> ipv4;
    Routes<Ipv6Address> ipv6;
};

// The ranges of a file of "first address,last address,AS,..." lines, split into prefixes; the row is the AS number. Of
// a range given twice, the first counts. Errors name the file and the line; no ranges at all is one.
template <class Address>
Expected<Routes<Address>> read_ranges(const std::string& path);

// The routes of a file of "PREFIX NEXTHOP" lines of both families. A next hop is any word; equal ones are one row, and
// rows count from 0 in order of appearance. Of a prefix given twice, the first counts. Blank lines and those that begin
// with # are skipped. Errors name the file and the line; no routes at all is one.
Expected<FullTables> read_routes(const std::string& path);

// At most `rows` different rows; or, with 0, a different row for each route.
template <class Address>
void number_rows(Routes<Address>& routes, std::uint32_t rows);

// `count` more routes inside or around the given ones: host routes, a few bits longer, a few shorter. Fewer where so
// many are hard to find.
template <class Address>
void add_nested(Routes<Address>& routes, std::size_t count, Random& random);

// `count` different prefixes of 8 to 28 bits (IPv4) or 20 to 64, most of them long.
template <class Address>
Routes<Address> random_routes(std::size_t count, Random& random);

// An address inside the prefix.
Ipv4Address address_in(const Prefix<Ipv4Address>& prefix, Random& random);
Ipv6Address address_in(const Prefix<Ipv6Address>& prefix, Random& random);

// `length` addresses out of a pool of `pool` (0: all fresh), each from a route drawn at random, of a table drawn at
// random if there are more.
template <class Address>
Stream<Address> draw(const std::string& name, const std::vector<Routes<Address>>& tables, std::size_t pool,
                     std::size_t length, Random& random);

// Addresses drawn evenly from all addresses that the routes cover; as often again for each route more that does.
Stream<Ipv4Address> draw_space(const std::string& name, const Routes<Ipv4Address>& routes, std::size_t length,
                               Random& random);

}  // namespace sekisho::perf

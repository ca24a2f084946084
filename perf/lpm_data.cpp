// Reading, splitting and drawing: see lpm_data.hpp.
#include "perf/lpm_data.hpp"

#include <algorithm>
#include <fstream>
#include <set>

#include "lpm/bits.hpp"

namespace sekisho::perf {

namespace {

std::size_t below(Random& random, std::size_t limit) {
    return static_cast<std::size_t>(random() % limit);
}

Ipv4Address any(Random& random, const Ipv4Address&) {
    return Ipv4Address(static_cast<std::uint32_t>(random()));
}
Ipv6Address any(Random& random, const Ipv6Address&) {
    const std::uint64_t high = random();
    return {high, random()};
}

// The prefixes that make up first to last, in order.
template <class Address>
void split(Address first, const Address& last, lpm::Row row, Routes<Address>& routes) {
    for (;;) {
        int length = 0;
        while (Prefix<Address>(first, length).first() != first || Prefix<Address>(first, length).last() > last)
            ++length;
        routes.push_back({Prefix<Address>(first, length), row});
        const Address end = routes.back().prefix.last();
        if (end == last) return;
        first = lpm::next_address(end);
    }
}

}  // namespace

template <class Address>
std::optional<Routes<Address>> read_ranges(const std::string& path) {
    std::ifstream file(path);
    if (!file) return std::nullopt;
    Routes<Address> routes;
    for (std::string line; std::getline(file, line);) {
        const std::size_t one = line.find(',');
        const std::size_t two = line.find(',', one + 1);
        if (two == std::string::npos) return std::nullopt;
        const auto first = Address::parse(line.substr(0, one));
        const auto last = Address::parse(line.substr(one + 1, two - one - 1));
        if (!first || !last || *last < *first) return std::nullopt;
        split(*first, *last, static_cast<lpm::Row>(std::strtoul(line.c_str() + two + 1, nullptr, 10)), routes);
    }
    // A few ranges are in the file twice, for two origins: the first counts.
    std::stable_sort(routes.begin(), routes.end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    const auto same = [](const auto& a, const auto& b) { return a.prefix == b.prefix; };
    routes.erase(std::unique(routes.begin(), routes.end(), same), routes.end());
    return routes;
}

template <class Address>
void number_rows(Routes<Address>& routes, std::uint32_t rows) {
    std::uint32_t next = 1;
    for (auto& route : routes) route.row = rows == 0 ? next++ : 1 + route.row % rows;
}

template <class Address>
void add_nested(Routes<Address>& routes, std::size_t count, Random& random) {
    constexpr int kLong = Address::kBits == 32 ? 24 : 48;
    std::set<Prefix<Address>> known;
    for (const auto& route : routes) known.insert(route.prefix);
    const std::size_t given = routes.size();
    while (routes.size() < given + count) {
        const Prefix<Address>& near = routes[below(random, given)].prefix;
        int length = std::min(Address::kBits, near.length() + 1 + static_cast<int>(below(random, 4)));
        if (below(random, 4) == 0)
            length = kLong + static_cast<int>(below(random, static_cast<std::size_t>(Address::kBits - kLong + 1)));
        if (below(random, 4) == 0) length = std::max(8, near.length() - static_cast<int>(below(random, 12)));
        const Prefix<Address> nested(address_in(near, random), length);
        if (known.insert(nested).second) routes.push_back({nested, static_cast<lpm::Row>(random() >> 40)});
    }
}

template <class Address>
Routes<Address> random_routes(std::size_t count, Random& random) {
    constexpr int kLeast = Address::kBits == 32 ? 8 : 20;
    constexpr int kMost = Address::kBits == 32 ? 28 : 64;
    std::set<Prefix<Address>> known;
    Routes<Address> routes;
    while (routes.size() < count) {
        const auto range = static_cast<std::size_t>(kMost - kLeast + 1);
        const int length = kLeast + static_cast<int>(std::max(below(random, range), below(random, range)));
        const Prefix<Address> prefix(any(random, Address()), length);
        if (known.insert(prefix).second) routes.push_back({prefix, static_cast<lpm::Row>(random() >> 40)});
    }
    return routes;
}

Ipv4Address address_in(const Prefix<Ipv4Address>& prefix, Random& random) {
    return prefix.address() | (any(random, Ipv4Address()) & ~prefix.mask());
}
Ipv6Address address_in(const Prefix<Ipv6Address>& prefix, Random& random) {
    return prefix.address() | (any(random, Ipv6Address()) & ~prefix.mask());
}

template <class Address>
Stream<Address> draw(const std::string& name, const std::vector<Routes<Address>>& tables, std::size_t pool,
                     std::size_t length, Random& random) {
    Stream<Address> drawn{name, {}, {}};
    const auto fresh = [&] {
        const std::size_t table = below(random, tables.size());
        const Routes<Address>& routes = tables[table];
        const Address address = address_in(routes[below(random, routes.size())].prefix, random);
        drawn.tables.push_back(static_cast<lpm::TableId>(table));
        drawn.keys.push_back(lpm::KeyOf<Address>::of(address));
    };
    for (std::size_t i = 0; i < (pool == 0 ? length : pool); ++i) fresh();
    if (pool == 0) return drawn;
    Stream<Address> stream{name, {}, {}};
    for (std::size_t i = 0; i < length; ++i) {
        const std::size_t one = below(random, pool);
        stream.tables.push_back(drawn.tables[one]);
        stream.keys.push_back(drawn.keys[one]);
    }
    return stream;
}

Stream<Ipv4Address> draw_space(const std::string& name, const Routes<Ipv4Address>& routes, std::size_t length,
                               Random& random) {
    std::vector<std::uint64_t> ends;
    std::uint64_t total = 0;
    for (const auto& route : routes) ends.push_back(total += std::uint64_t{1} << (32 - route.prefix.length()));
    Stream<Ipv4Address> stream{name, {}, {}};
    for (std::size_t i = 0; i < length; ++i) {
        const auto at = std::upper_bound(ends.begin(), ends.end(), random() % total);
        const auto& prefix = routes[static_cast<std::size_t>(at - ends.begin())].prefix;
        stream.keys.push_back(address_in(prefix, random).value());
        stream.tables.push_back(0);
    }
    return stream;
}

template std::optional<Routes<Ipv4Address>> read_ranges(const std::string&);
template std::optional<Routes<Ipv6Address>> read_ranges(const std::string&);
template void number_rows(Routes<Ipv4Address>&, std::uint32_t);
template void number_rows(Routes<Ipv6Address>&, std::uint32_t);
template void add_nested(Routes<Ipv4Address>&, std::size_t, Random&);
template void add_nested(Routes<Ipv6Address>&, std::size_t, Random&);
template Routes<Ipv4Address> random_routes(std::size_t, Random&);
template Routes<Ipv6Address> random_routes(std::size_t, Random&);
template Stream<Ipv4Address> draw(const std::string&, const std::vector<Routes<Ipv4Address>>&, std::size_t, std::size_t,
                                  Random&);
template Stream<Ipv6Address> draw(const std::string&, const std::vector<Routes<Ipv6Address>>&, std::size_t, std::size_t,
                                  Random&);

}  // namespace sekisho::perf

// Reading, splitting and drawing: see lpm_data.hpp.
#include "perf/lpm_data.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string_view>

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

// In order; of the same prefix, the first that was given.
template <class Address>
void put_in_order(Routes<Address>& routes) {
    std::stable_sort(routes.begin(), routes.end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    const auto same = [](const auto& a, const auto& b) { return a.prefix == b.prefix; };
    routes.erase(std::unique(routes.begin(), routes.end(), same), routes.end());
}

// Calls with each line until one is refused; its error is given with file and line before it.
template <class Take>
Expected<void> each_line(const std::string& path, const Take& take) {
    std::ifstream file(path);
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
        const Expected<void> taken = take(std::string_view(line));
        if (++number; !taken) return taken.error().at(path + " line " + std::to_string(number));
    }
    if (!file.eof()) return Error{ErrorCode::unavailable, path + ": cannot be read"};
    return {};
}

std::vector<std::string_view> words_of(std::string_view line) {
    constexpr std::string_view kBlank = " \t\r";
    std::vector<std::string_view> words;
    for (std::size_t at = line.find_first_not_of(kBlank); at != std::string_view::npos;) {
        const std::size_t end = std::min(line.find_first_of(kBlank, at), line.size());
        words.push_back(line.substr(at, end - at));
        at = line.find_first_not_of(kBlank, end);
    }
    return words;
}

std::optional<lpm::Row> number_in(std::string_view digits) {
    lpm::Row number = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failed != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return number;
}

}  // namespace

template <class Address>
Expected<Routes<Address>> read_ranges(const std::string& path) {
    Routes<Address> routes;
    const auto take = [&routes](std::string_view line) -> Expected<void> {
        std::string_view fields[3];
        std::string_view rest = line;
        for (std::string_view& field : fields) {
            field = rest.substr(0, rest.find(','));
            rest.remove_prefix(std::min(rest.size(), field.size() + 1));
        }
        const auto first = Address::parse(fields[0]);
        const auto last = Address::parse(fields[1]);
        const auto as = number_in(fields[2]);
        if (!first || !last || *last < *first || !as)
            return Error{ErrorCode::invalid, "\"" + std::string(line) + "\" is not \"first address,last address,AS\""};
        split(*first, *last, *as, routes);
        return {};
    };
    const Expected<void> read = each_line(path, take);
    if (!read) return read.error();
    if (routes.empty()) return Error{ErrorCode::not_found, path + ": no ranges in it"};
    put_in_order(routes);
    return routes;
}

Expected<FullTables> read_routes(const std::string& path) {
    FullTables tables;
    std::map<std::string, lpm::Row> rows;
    const auto take = [&tables, &rows](std::string_view line) -> Expected<void> {
        const std::vector<std::string_view> words = words_of(line);
        if (words.empty() || words[0][0] == '#') return {};
        const auto prefix = IpPrefix::parse(words[0]);
        if (!prefix) return prefix.error();
        const std::string quoted = "\"" + std::string(words[0]) + "\"";
        if (words.size() < 2) return Error{ErrorCode::invalid, quoted + " has no next hop"};
        if (words.size() > 2)
            return Error{ErrorCode::invalid,
                         "\"" + std::string(words[2]) + "\" after the next hop of " + quoted + ", which is one word"};
        const lpm::Row row = rows.try_emplace(std::string(words[1]), static_cast<lpm::Row>(rows.size())).first->second;
        if (prefix->is_ipv4())
            tables.ipv4.push_back({prefix->ipv4(), row});
        else
            tables.ipv6.push_back({prefix->ipv6(), row});
        return {};
    };
    const Expected<void> read = each_line(path, take);
    if (!read) return read.error();
    if (tables.ipv4.empty() && tables.ipv6.empty()) return Error{ErrorCode::not_found, path + ": no routes in it"};
    put_in_order(tables.ipv4);
    put_in_order(tables.ipv6);
    return tables;
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
    for (std::size_t tries = 0; routes.size() < given + count && tries < 16 * count; ++tries) {
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

template Expected<Routes<Ipv4Address>> read_ranges(const std::string&);
template Expected<Routes<Ipv6Address>> read_ranges(const std::string&);
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

// The oracle of lpm/'s tests: a map of routes per table and a scan over all lengths. Slow and plainly right.
//
// Also the random tables that it is compared on: dense nesting around few centres, /0, host routes. Every test prints
// its seed; SEKISHO_TEST_SEED sets it.
#pragma once

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <vector>

#include "lpm/bits.hpp"
#include "lpm/fib.hpp"

namespace sekisho::lpm {

inline std::uint64_t test_seed(const char* test) {
    const char* const given = std::getenv("SEKISHO_TEST_SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << test << ": SEKISHO_TEST_SEED=" << seed << "\n";
    return seed;
}

template <class Address>
class Oracle {
  public:
    explicit Oracle(std::size_t tables) : tables_(tables) {}

    void insert(TableId table, const Prefix<Address>& prefix, Row row) { tables_[table][prefix] = row; }
    bool erase(TableId table, const Prefix<Address>& prefix) { return tables_[table].erase(prefix) != 0; }
    void clear(TableId table) { tables_[table].clear(); }

    Row find(TableId table, const Address& address) const {
        if (table >= tables_.size()) return kNoRow;
        for (int length = Address::kBits; length >= 0; --length) {
            const auto found = tables_[table].find(Prefix<Address>(address, length));
            if (found != tables_[table].end()) return found->second;
        }
        return kNoRow;
    }

    const std::map<Prefix<Address>, Row>& routes(TableId table) const { return tables_[table]; }

  private:
    std::vector<std::map<Prefix<Address>, Row>> tables_;
};

using Random = std::mt19937_64;

inline std::uint64_t below(Random& random, std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
}

inline Ipv4Address any_address(Random& random, const Ipv4Address&) {
    return Ipv4Address(static_cast<std::uint32_t>(random()));
}
inline Ipv6Address any_address(Random& random, const Ipv6Address&) {
    return {random(), random()};
}

// An address inside the prefix: its first, its last, or any.
template <class Address>
Address inside(Random& random, const Prefix<Address>& prefix) {
    switch (below(random, 4)) {
        case 0: return prefix.first();
        case 1: return prefix.last();
        default: return prefix.address() | (any_address(random, Address()) & ~prefix.mask());
    }
}

// A prefix near one of the centres: nested in others that this gave, sometimes 0/0, sometimes a host route.
template <class Address>
Prefix<Address> near_prefix(Random& random, const std::vector<Address>& centres) {
    const Address& centre = centres[below(random, centres.size())];
    const int keep = static_cast<int>(below(random, Address::kBits + 1));
    const Address address = (centre & mask_of(centre, keep)) | (any_address(random, centre) & ~mask_of(centre, keep));
    switch (below(random, 16)) {
        case 0: return {};
        case 1:
        case 2: return {address, Address::kBits};
        case 3: return {address, static_cast<int>(below(random, Address::kBits + 1))};
        default: return {address, std::min(Address::kBits, keep + static_cast<int>(below(random, 9)))};
    }
}

template <class Address>
std::vector<Address> some_centres(Random& random, std::size_t count) {
    std::vector<Address> centres;
    for (std::size_t i = 0; i < count; ++i) centres.push_back(any_address(random, Address()));
    return centres;
}

// An address worth asking for: in, at the edges of, and one beside a route of the table; or any.
template <class Address>
Address probe(Random& random, const Oracle<Address>& oracle, TableId table) {
    const auto& routes = oracle.routes(table);
    if (routes.empty() || below(random, 8) == 0) return any_address(random, Address());
    auto at = routes.lower_bound(Prefix<Address>(any_address(random, Address()), Address::kBits));
    if (at == routes.end()) at = routes.begin();
    for (std::uint64_t skip = below(random, 16); skip > 0 && std::next(at) != routes.end(); --skip) ++at;
    const Address address = inside(random, at->first);
    return below(random, 4) == 0 ? next_address(address) : address;
}

// Asks the view for many addresses in every table at once, and one by one; gives the number of wrong answers.
template <class Address>
std::size_t wrong_answers(Random& random, const Oracle<Address>& oracle, const FibView<Address>& view,
                          std::size_t tables, std::size_t count) {
    std::vector<TableId> ids;
    std::vector<Address> addresses;
    std::vector<typename KeyOf<Address>::type> keys;
    for (std::size_t i = 0; i < count; ++i) {
        ids.push_back(static_cast<TableId>(below(random, tables)));
        addresses.push_back(probe(random, oracle, ids.back()));
        keys.push_back(KeyOf<Address>::of(addresses.back()));
    }
    std::vector<Row> rows(count + 1, 0x5e5e5e5eU);
    view.find(ids.data(), keys.data(), rows.data(), count);
    std::size_t wrong = rows[count] != 0x5e5e5e5eU;
    for (std::size_t i = 0; i < count; ++i) {
        const Row right = oracle.find(ids[i], addresses[i]);
        if (rows[i] == right && view.find(ids[i], addresses[i]) == right) continue;
        if (++wrong == 1)
            std::cout << "table " << ids[i] << " " << addresses[i].text() << ": " << rows[i] << ", should be " << right
                      << "\n";
    }
    const TableId table = ids.empty() ? TableId{0} : ids[0];
    view.find(table, keys.data(), rows.data(), count);
    for (std::size_t i = 0; i < count; ++i) wrong += rows[i] != oracle.find(table, addresses[i]);
    return wrong;
}

}  // namespace sekisho::lpm

// Whether what is timed is right: a figure for wrong answers would be worth nothing.
//
// The right rows come from the routes themselves, by a binary search for each length: slow, plainly right, and nothing
// of lpm/ is in it.
#pragma once

#include <algorithm>
#include <functional>
#include <set>

#include "perf/lpm_data.hpp"
#include "perf/lpm_measure.hpp"

namespace sekisho::perf {

inline Ipv4Address address_of(lpm::Key4 key) {
    return Ipv4Address(key);
}
inline Ipv6Address address_of(const lpm::Key6& key) {
    return {key.high, key.low};
}

// The routes of each table; of a prefix given twice, the first.
template <class Address>
class Reference {
  public:
    explicit Reference(const std::vector<Routes<Address>>& tables) {
        for (const Routes<Address>& routes : tables) {
            Table table{routes, {}};
            std::stable_sort(table.routes.begin(), table.routes.end(), before);
            for (const auto& route : routes) table.lengths.insert(route.prefix.length());
            tables_.push_back(std::move(table));
        }
    }

    // The row of the longest prefix of the table that covers the address, or kNoRow.
    lpm::Row row(lpm::TableId id, const Address& address) const {
        const Table& table = tables_[id];
        for (const int length : table.lengths) {
            const lpm::Route<Address> wanted{Prefix<Address>(address, length)};
            const auto found = std::lower_bound(table.routes.begin(), table.routes.end(), wanted, before);
            if (found != table.routes.end() && found->prefix == wanted.prefix) return found->row;
        }
        return lpm::kNoRow;
    }

    // Of the first `count` of the stream.
    std::vector<lpm::Row> rows(const Stream<Address>& stream, std::size_t count) const {
        std::vector<lpm::Row> right;
        for (std::size_t i = 0; i < count; ++i) right.push_back(row(stream.tables[i], address_of(stream.keys[i])));
        return right;
    }

  private:
    struct Table {
        Routes<Address> routes;                    // in order
        std::set<int, std::greater<int>> lengths;  // of its routes
    };
    static bool before(const lpm::Route<Address>& a, const lpm::Route<Address>& b) { return a.prefix < b.prefix; }

    std::vector<Table> tables_;
};

// How many rows of the stream's beginning are not the right ones, by the very calls that are timed. `right`: a multiple
// of kBatch.
inline std::size_t wrong_answers(const Lookups& lookups, const std::vector<lpm::Row>& right) {
    std::size_t wrong = 0;
    for (std::size_t first = 0; first + kBatch <= right.size(); first += kBatch) {
        lookups.subject.work(first, kBatch);
        for (std::size_t k = 0; k < kBatch; ++k) wrong += lookups.row(k) != right[first + k];
    }
    return wrong;
}

}  // namespace sekisho::perf

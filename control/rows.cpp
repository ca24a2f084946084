// Comparing sorted routes. Compiler thread only.
#include "control/rows.hpp"

#include <algorithm>

namespace sekisho::control {
namespace {

// A table of which more than one route in this many changes is loaded whole.
constexpr std::size_t kLoadFraction = 8;
// Numbers beyond those of the rows that are wanted: one for so many rows, and some that any table may have.
constexpr std::size_t kHoleFraction = 4;
constexpr std::size_t kMostHoles = 256;

// Walks two ascending lists of routes side by side: `call` gets what each has of a prefix, nullptr for nothing.
template <class Address, class Call>
void side_by_side(const std::vector<lpm::Route<Address>>& before, const std::vector<lpm::Route<Address>>& after,
                  const Call& call) {
    auto a = before.begin();
    auto b = after.begin();
    while (a != before.end() || b != after.end()) {
        if (b == after.end() || (a != before.end() && a->prefix < b->prefix))
            call(&*a++, nullptr);
        else if (a == before.end() || b->prefix < a->prefix)
            call(nullptr, &*b++);
        else
            call(&*a++, &*b++);
    }
}

template <class Address>
Expected<void> change_table(lpm::Fib<Address>& fib, lpm::TableId table, const std::vector<lpm::Route<Address>>& before,
                            const std::vector<lpm::Route<Address>>& after) {
    using TableRoute = lpm::Route<Address>;
    std::vector<const TableRoute*> gone;
    std::vector<const TableRoute*> fresh;
    side_by_side(before, after, [&](const TableRoute* was, const TableRoute* is) {
        if (is == nullptr)
            gone.push_back(was);
        else if (was == nullptr || was->row != is->row)
            fresh.push_back(is);
    });
    if ((gone.size() + fresh.size()) * kLoadFraction > after.size()) return fib.load(table, after);
    for (const TableRoute* route : gone)
        if (auto erased = fib.erase(table, route->prefix); !erased) return erased;
    for (const TableRoute* route : fresh)
        if (auto inserted = fib.insert(table, route->prefix, route->row); !inserted) return inserted;
    return {};
}

}  // namespace

template <class Address>
TableRoutes<Address> routes_in(const lpm::Fib<Address>& fib) {
    TableRoutes<Address> routes(fib.tables());
    for (std::size_t table = 0; table < routes.size(); ++table) {
        const auto id = static_cast<lpm::TableId>(table);
        routes[table].reserve(fib.size(id));
        fib.for_each(id, [&](const lpm::Route<Address>& route) { routes[table].push_back(route); });
    }
    return routes;
}

template <class Address>
RowNumbers number_rows(const TableRoutes<Address>& installed, const TableRoutes<Address>& wanted) {
    using TableRoute = lpm::Route<Address>;
    RowNumbers numbers;
    std::vector<bool> taken;
    std::size_t rows = 0;
    for (const auto& routes : wanted) rows += routes.size();
    const std::size_t end = rows + rows / kHoleFraction + kMostHoles;
    for (std::size_t table = 0; table < wanted.size(); ++table) {
        std::vector<lpm::Row>& of = numbers.of.emplace_back();
        of.reserve(wanted[table].size());
        side_by_side(installed[table], wanted[table], [&](const TableRoute* was, const TableRoute* is) {
            if (is == nullptr) return;
            const bool stays = was != nullptr && was->row < end;
            of.push_back(stays ? was->row : lpm::kNoRow);
            if (!stays) return;
            if (taken.size() <= was->row) taken.resize(was->row + std::size_t{1});
            taken[was->row] = true;
        });
    }
    std::size_t next = 0;
    for (std::vector<lpm::Row>& of : numbers.of)
        for (lpm::Row& row : of) {
            if (row == lpm::kNoRow) {
                while (next < taken.size() && taken[next]) ++next;
                row = static_cast<lpm::Row>(next++);
            }
            numbers.size = std::max<std::size_t>(numbers.size, row + std::size_t{1});
        }
    return numbers;
}

template <class Address>
Expected<void> change(lpm::Fib<Address>& fib, const TableRoutes<Address>& installed,
                      const TableRoutes<Address>& wanted) {
    static const std::vector<lpm::Route<Address>> nothing;
    for (std::size_t table = 0; table < installed.size(); ++table) {
        const auto& after = table < wanted.size() ? wanted[table] : nothing;
        if (installed[table] == after) continue;
        if (auto changed = change_table(fib, static_cast<lpm::TableId>(table), installed[table], after); !changed)
            return changed;
    }
    return {};
}

template TableRoutes<Ipv4Address> routes_in<Ipv4Address>(const lpm::Fib4&);
template TableRoutes<Ipv6Address> routes_in<Ipv6Address>(const lpm::Fib6&);
template RowNumbers number_rows<Ipv4Address>(const TableRoutes<Ipv4Address>&, const TableRoutes<Ipv4Address>&);
template RowNumbers number_rows<Ipv6Address>(const TableRoutes<Ipv6Address>&, const TableRoutes<Ipv6Address>&);
template Expected<void> change<Ipv4Address>(lpm::Fib4&, const TableRoutes<Ipv4Address>&,
                                            const TableRoutes<Ipv4Address>&);
template Expected<void> change<Ipv6Address>(lpm::Fib6&, const TableRoutes<Ipv6Address>&,
                                            const TableRoutes<Ipv6Address>&);

}  // namespace sekisho::control

// The interface of fib.hpp over tables.hpp and the lookup versions: checks, errors in words, nothing else.
#include "lpm/fib.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "lpm/lookup.hpp"
#include "lpm/tables.hpp"

namespace sekisho::lpm {

namespace {

void find_many(const Lookup& lookup, const TableId* tables, const Key4* keys, Row* rows, std::size_t count) noexcept {
    kernel().many4(lookup, tables, keys, rows, count);
}
void find_many(const Lookup& lookup, const TableId* tables, const Key6* keys, Row* rows, std::size_t count) noexcept {
    kernel().many6(lookup, tables, keys, rows, count);
}
void find_one(const Lookup& lookup, TableId table, const Key4* keys, Row* rows, std::size_t count) noexcept {
    kernel().one4(lookup, table, keys, rows, count);
}
void find_one(const Lookup& lookup, TableId table, const Key6* keys, Row* rows, std::size_t count) noexcept {
    kernel().one6(lookup, table, keys, rows, count);
}

}  // namespace

template <class Address>
void FibView<Address>::find(const TableId* tables, const Key* keys, Row* rows, std::size_t count) const noexcept {
    if (!state_) return static_cast<void>(std::fill_n(rows, count, kNoRow));
    find_many(state_->lookup(), tables, keys, rows, count);
}

template <class Address>
void FibView<Address>::find(TableId table, const Key* keys, Row* rows, std::size_t count) const noexcept {
    if (!state_) return static_cast<void>(std::fill_n(rows, count, kNoRow));
    find_one(state_->lookup(), table, keys, rows, count);
}

template <class Address>
Row FibView<Address>::find(TableId table, const Address& address) const noexcept {
    const Key key = KeyOf<Address>::of(address);
    Row row = kNoRow;
    find(table, &key, &row, 1);
    return row;
}

template <class Address>
struct Fib<Address>::Impl : Tables<Address> {
    using Tables<Address>::Tables;

    Expected<void> check(TableId table) const {
        if (table < this->count()) return {};
        return Error{ErrorCode::not_found,
                     "no table " + std::to_string(table) + "; there are " + std::to_string(this->count())};
    }
    Expected<void> check(TableId table, const Prefix<Address>& prefix, Row row) const {
        if (row != kNoRow) return check(table);
        return Error{ErrorCode::invalid, prefix.text() + ": row " + std::to_string(row) + " stands for no row"};
    }
    Error limit_error(TableId table, const std::string& what) const {
        return {ErrorCode::limit, "table " + std::to_string(table) + ": no memory left for " + what +
                                      "; all tables take " + std::to_string(this->bytes()) + " bytes"};
    }
};

template <class Address>
Fib<Address>::Fib(std::size_t tables, std::size_t memory_limit) {
    if (tables > kMostTables) throw std::length_error("a Fib of " + std::to_string(tables) + " tables");
    impl_ = std::make_unique<Impl>(tables, memory_limit);
}
template <class Address>
Fib<Address>::~Fib() = default;
template <class Address>
Fib<Address>::Fib(Fib&&) noexcept = default;
template <class Address>
Fib<Address>& Fib<Address>::operator=(Fib&&) noexcept = default;

template <class Address>
std::size_t Fib<Address>::tables() const noexcept {
    return impl_->count();
}

template <class Address>
Expected<void> Fib<Address>::insert(TableId table, const Prefix<Address>& prefix, Row row) {
    if (auto fine = impl_->check(table, prefix, row); !fine) return fine;
    if (!impl_->set(table, prefix, row)) return impl_->limit_error(table, prefix.text());
    return {};
}

template <class Address>
Expected<void> Fib<Address>::erase(TableId table, const Prefix<Address>& prefix) {
    if (auto fine = impl_->check(table); !fine) return fine;
    if (!impl_->rib(table).exact(prefix))
        return Error{ErrorCode::not_found, "table " + std::to_string(table) + " has no route " + prefix.text()};
    if (!impl_->set(table, prefix, kNoRow)) return impl_->limit_error(table, "what is left without " + prefix.text());
    return {};
}

template <class Address>
Expected<void> Fib<Address>::load(TableId table, std::span<const Route<Address>> routes) {
    if (auto fine = impl_->check(table); !fine) return fine;
    // In order, so that neighbours in the trie are made one after the other.
    std::vector<Route<Address>> sorted(routes.begin(), routes.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    Rib<Address> fresh;
    for (const Route<Address>& route : sorted) {
        if (auto fine = impl_->check(table, route.prefix, route.row); !fine) return fine;
        const std::optional<Row> before = fresh.insert(route.prefix, route.row);
        if (before && *before != route.row)
            return Error{ErrorCode::invalid, route.prefix.text() + " is given twice, with rows " +
                                                 std::to_string(*before) + " and " + std::to_string(route.row)};
    }
    if (!impl_->replace(table, std::move(fresh)))
        return impl_->limit_error(table, std::to_string(routes.size()) + " routes");
    return {};
}

template <class Address>
void Fib<Address>::clear(TableId table) {
    if (table < impl_->count() && !impl_->replace(table, {})) throw std::bad_alloc();
}

template <class Address>
std::optional<Row> Fib<Address>::exact(TableId table, const Prefix<Address>& prefix) const {
    if (table >= impl_->count()) return std::nullopt;
    return impl_->rib(table).exact(prefix);
}

template <class Address>
std::optional<Route<Address>> Fib<Address>::covering(TableId table, const Prefix<Address>& inside) const {
    if (table >= impl_->count()) return std::nullopt;
    return impl_->rib(table).covering(inside);
}

template <class Address>
void Fib<Address>::for_each(TableId table, const std::function<void(const Route<Address>&)>& call) const {
    if (table < impl_->count()) impl_->rib(table).for_each(call);
}

template <class Address>
void Fib<Address>::for_each_from(TableId table, const Prefix<Address>& from,
                                 const std::function<bool(const Route<Address>&)>& call) const {
    if (table < impl_->count()) impl_->rib(table).for_each_from(from, call);
}

template <class Address>
std::size_t Fib<Address>::size(TableId table) const noexcept {
    return table < impl_->count() ? impl_->rib(table).size() : 0;
}

template <class Address>
FibView<Address> Fib<Address>::view() const {
    return FibView<Address>(impl_->view());
}

template <class Address>
FibView<Address> Fib<Address>::follow(Retire retire) {
    return FibView<Address>(impl_->follow(std::move(retire)));
}

template <class Address>
std::size_t Fib<Address>::memory() const noexcept {
    return impl_->bytes();
}

template <class Address>
typename Fib<Address>::Root Fib<Address>::root(TableId table) const noexcept {
    return table < impl_->count() ? static_cast<Root>(impl_->wide(table)) : Root::slots;
}

template class FibView<Ipv4Address>;
template class FibView<Ipv6Address>;
template class Fib<Ipv4Address>;
template class Fib<Ipv6Address>;

}  // namespace sekisho::lpm

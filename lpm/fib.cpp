// A Fib of ranges: each table is its RIB cut into disjoint pieces, found by binary search.
//
// The pieces of a table are made again when a view is asked for after a change, and shared by all views until the next.
#include "lpm/fib.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lpm/rib.hpp"

namespace sekisho::lpm {

template <class Address>
struct FibState {
    using Pieces = std::vector<Piece<Address>>;
    std::vector<std::shared_ptr<const Pieces>> tables;

    Row find(TableId table, const Address& address) const noexcept {
        if (table >= tables.size()) return kNoRow;
        const Pieces& pieces = *tables[table];
        const auto after =
            std::upper_bound(pieces.begin(), pieces.end(), address,
                             [](const Address& wanted, const Piece<Address>& piece) { return wanted < piece.first; });
        return std::prev(after)->row;
    }
};

namespace {

Ipv4Address address_of(Key4 key) noexcept {
    return Ipv4Address(key);
}
Ipv6Address address_of(const Key6& key) noexcept {
    return {key.high, key.low};
}

}  // namespace

template <class Address>
void FibView<Address>::find(const TableId* tables, const Key* keys, Row* rows, std::size_t count) const noexcept {
    for (std::size_t i = 0; i < count; ++i) rows[i] = find(tables[i], address_of(keys[i]));
}

template <class Address>
void FibView<Address>::find(TableId table, const Key* keys, Row* rows, std::size_t count) const noexcept {
    for (std::size_t i = 0; i < count; ++i) rows[i] = find(table, address_of(keys[i]));
}

template <class Address>
Row FibView<Address>::find(TableId table, const Address& address) const noexcept {
    return state_ ? state_->find(table, address) : kNoRow;
}

template <class Address>
struct Fib<Address>::Impl {
    explicit Impl(std::size_t tables) : ribs(tables), changed(tables, true) { state.tables.resize(tables); }

    Expected<void> check_table(TableId table) const {
        if (table < ribs.size()) return {};
        return Error{ErrorCode::not_found,
                     "no table " + std::to_string(table) + "; there are " + std::to_string(ribs.size())};
    }

    std::vector<Rib<Address>> ribs;
    mutable std::vector<bool> changed;
    mutable FibState<Address> state;
};

template <class Address>
Fib<Address>::Fib(std::size_t tables) : impl_(std::make_unique<Impl>(tables)) {}
template <class Address>
Fib<Address>::~Fib() = default;
template <class Address>
Fib<Address>::Fib(Fib&&) noexcept = default;
template <class Address>
Fib<Address>& Fib<Address>::operator=(Fib&&) noexcept = default;

template <class Address>
std::size_t Fib<Address>::tables() const noexcept {
    return impl_->ribs.size();
}

template <class Address>
Expected<void> Fib<Address>::insert(TableId table, const Prefix<Address>& prefix, Row row) {
    if (auto known = impl_->check_table(table); !known) return known;
    if (row == kNoRow) return Error{ErrorCode::invalid, prefix.text() + ": this row number means that there is none"};
    impl_->ribs[table].insert(prefix, row);
    impl_->changed[table] = true;
    return {};
}

template <class Address>
Expected<void> Fib<Address>::erase(TableId table, const Prefix<Address>& prefix) {
    if (auto known = impl_->check_table(table); !known) return known;
    if (!impl_->ribs[table].erase(prefix))
        return Error{ErrorCode::not_found, "table " + std::to_string(table) + " has no route " + prefix.text()};
    impl_->changed[table] = true;
    return {};
}

template <class Address>
Expected<void> Fib<Address>::load(TableId table, std::span<const Route<Address>> routes) {
    if (auto known = impl_->check_table(table); !known) return known;
    Rib<Address> fresh;
    for (const Route<Address>& route : routes) {
        if (route.row == kNoRow)
            return Error{ErrorCode::invalid, route.prefix.text() + ": this row number means that there is none"};
        const std::optional<Row> before = fresh.insert(route.prefix, route.row);
        if (before && *before != route.row)
            return Error{ErrorCode::invalid, route.prefix.text() + " is given twice, with rows " +
                                                 std::to_string(*before) + " and " + std::to_string(route.row)};
    }
    impl_->ribs[table] = std::move(fresh);
    impl_->changed[table] = true;
    return {};
}

template <class Address>
void Fib<Address>::clear(TableId table) {
    if (table >= impl_->ribs.size()) return;
    impl_->ribs[table] = {};
    impl_->changed[table] = true;
}

template <class Address>
std::optional<Row> Fib<Address>::exact(TableId table, const Prefix<Address>& prefix) const {
    if (table >= impl_->ribs.size()) return std::nullopt;
    return impl_->ribs[table].exact(prefix);
}

template <class Address>
void Fib<Address>::for_each(TableId table, const std::function<void(const Route<Address>&)>& call) const {
    if (table < impl_->ribs.size()) impl_->ribs[table].for_each(call);
}

template <class Address>
std::size_t Fib<Address>::size(TableId table) const noexcept {
    return table < impl_->ribs.size() ? impl_->ribs[table].size() : 0;
}

template <class Address>
FibView<Address> Fib<Address>::view() const {
    for (std::size_t table = 0; table < impl_->ribs.size(); ++table) {
        if (!impl_->changed[table]) continue;
        typename FibState<Address>::Pieces pieces;
        impl_->ribs[table].pieces(Prefix<Address>(), pieces);
        impl_->state.tables[table] = std::make_shared<typename FibState<Address>::Pieces>(std::move(pieces));
        impl_->changed[table] = false;
    }
    return FibView<Address>(std::make_shared<FibState<Address>>(impl_->state));
}

template <class Address>
std::size_t Fib<Address>::memory() const noexcept {
    std::size_t bytes = 0;
    for (const auto& pieces : impl_->state.tables)
        if (pieces) bytes += pieces->capacity() * sizeof(Piece<Address>);
    return bytes;
}

template class FibView<Ipv4Address>;
template class FibView<Ipv6Address>;
template class Fib<Ipv4Address>;
template class Fib<Ipv6Address>;

}  // namespace sekisho::lpm

// From the routes that a Fib has to those that the next generation wants, with as few changes as possible.
//
// A prefix that stays keeps its row number, so that only what is new or gone touches a lookup structure; the Fib itself
// remembers who had which. Which rows these are is control/compile's business. Compiler thread only.
#pragma once

#include <cstddef>
#include <vector>

#include "lpm/fib.hpp"
#include "lpm/types.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

template <class Address>
using TableRoutes = std::vector<std::vector<lpm::Route<Address>>>;  // by table; ascending by prefix, all different

// All that `fib` has.
template <class Address>
TableRoutes<Address> routes_in(const lpm::Fib<Address>& fib);

// A row number for each of the wanted prefixes, in their order, whatever rows `wanted` holds: those of `installed` keep
// theirs, unless that is far beyond what so many rows need; the others get the lowest that are free. No two are the
// same.
struct RowNumbers {
    std::vector<std::vector<lpm::Row>> of;  // by table, then in the order of `wanted`
    std::size_t size = 0;                   // one more than the highest
};
template <class Address>
RowNumbers number_rows(const TableRoutes<Address>& installed, const TableRoutes<Address>& wanted);

// Changes `fib` from `installed`, which it has, to `wanted`, which has at most as many tables. On an error the Fib is
// somewhere between the two.
template <class Address>
Expected<void> change(lpm::Fib<Address>& fib, const TableRoutes<Address>& installed,
                      const TableRoutes<Address>& wanted);

}  // namespace sekisho::control

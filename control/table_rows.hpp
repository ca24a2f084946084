// The rows of the lookup tables, for people: one by its exact prefix, or page by page.
//
// A question and its answer, as values with names; Compiler::rows() answers it from the structures that lookups use,
// not from the policy. Values only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/prefix.hpp"

namespace sekisho::control {

struct RowQuestion {
    enum class Table : std::uint8_t { who, hub, where };
    Table table = Table::hub;
    Family family = Family::ipv4;
    std::string operator_id;        // whose table; of who and where
    std::optional<IpPrefix> exact;  // this one alone
    std::optional<IpPrefix> after;  // those that come behind it, ascending by address, shorter prefixes first
    std::size_t limit = 1000;
};

struct TableRow {
    IpPrefix prefix = Prefix4();
    std::uint32_t number = 0;  // the lookup's result
    // Of who and hub: whose it is, and the same prefix on the other side of the translation; "" and none for what is
    // behind a port block, and for the addresses that those behind one share.
    std::string institution;
    std::string operator_id;  // of hub
    std::optional<IpPrefix> other_side;
    bool port_block = false;
    // Of hub and where: how packets leave. "resolve" (by `where`), "gateway", "tunnel", "connected", "blackhole" or
    // "group"; by an attachment, to a gateway.
    std::string way;
    std::string attachment;
    std::optional<IpAddress> gateway;
};

struct TableRows {
    std::uint64_t generation = 0;
    std::size_t size = 0;  // rows of the whole table
    std::vector<TableRow> rows;
    bool more = false;  // behind the last one
};

}  // namespace sekisho::control

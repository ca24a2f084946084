// From pieces of address space to nodes in the arena, for both families.
//
// An IPv4 address fills the first 32 of 128 bits here. The builder writes fresh blocks only, which no reader sees until
// the caller stores their value; undo() takes back all of them. Writer's thread.
#pragma once

#include <span>
#include <vector>

#include "lpm/arena.hpp"
#include "lpm/layout.hpp"
#include "lpm/nodes.hpp"
#include "lpm/rib.hpp"

namespace sekisho::lpm {

__extension__ using Bits = unsigned __int128;

constexpr Bits bits_of(Ipv4Address address) noexcept {
    return Bits{address.value()} << 96;
}
constexpr Bits bits_of(const Ipv6Address& address) noexcept {
    return Bits{address.high()} << 64 | address.low();
}
constexpr Ipv4Address address_of(Bits bits, Ipv4Address) noexcept {
    return Ipv4Address(static_cast<std::uint32_t>(bits >> 96));
}
constexpr Ipv6Address address_of(Bits bits, const Ipv6Address&) noexcept {
    return {static_cast<std::uint64_t>(bits >> 64), static_cast<std::uint64_t>(bits)};
}
// How many bits all addresses that the root looks at have in common.
constexpr unsigned region_bits(const TableHead& head) noexcept {
    return head.position - head.bits;
}

// Addresses from `first` up to the next cut's first have this row.
struct Cut {
    Bits first = 0;
    Row row = kNoRow;
};
using Cuts = std::span<const Cut>;

class Builder {
  public:
    // A root may have `root_slots` slots, however few the routes, if nearly all addresses are then found in it.
    Builder(Arena& arena, std::size_t root_slots) noexcept : arena_(arena), root_slots_(root_slots) {}

    void set_epoch(std::uint32_t epoch) noexcept { epoch_ = epoch; }

    // The value of the block of addresses that starts at `first` and whose first `position` bits are decided; the cuts
    // are those of the block, the first at or before its start. In a direct node a chunk is preferred to another direct
    // node: batches search chunks together, and few addresses then have a third node. What comes back after failed()
    // names nothing.
    Value value(Cuts cuts, Bits first, unsigned position, bool in_direct = false);

    // A root over the block that starts at `region` with `position` bits decided (at most 24, or 56 for IPv6); all
    // addresses outside of it have the row `outside`. The cuts are those of the whole space.
    TableHead root(Cuts cuts, Bits region, unsigned position, Row outside, unsigned address_bits);
    // Wide roots: of words over the whole IPv4 space, and a top over a block that leaves bits to the first 16.
    TableHead wide_root(Cuts cuts);
    TableHead top_root(Cuts cuts, Bits region, unsigned position, Row outside);

    // The word of a block with `position` bits decided, and the word of a top.
    WideWord wide_word_of(Cuts cuts, Bits first, unsigned position);
    WideWord top_word_of(Cuts cuts, Bits first);
    // A word whose slots have these values, neighbours sharing one where they are equal.
    WideWord wide_word_of(std::span<const Value, 1U << kWideGroupBits> values);
    // The values of the slots of 2^stride parts of a block, one after the other into `values`.
    void values_of(Cuts cuts, Bits first, unsigned position, unsigned stride, Value* values);

    // Adds the ranges of a part of a chunk's block: it starts at `first` and has `decided` bits decided, the chunk's
    // block `position` of them. False, and nothing is built, where they are more than `room`.
    bool add_ranges(ChunkRanges& chunk, std::size_t room, Cuts cuts, Bits first, unsigned decided, unsigned position);
    Value chunk(const ChunkRanges& ranges);

    // A copy of a block, born now.
    Block copy(Block block);

    bool failed() const noexcept { return failed_; }
    // Frees what was built since start() or, when all is well, forgets about it; gives the bytes that were built.
    void start() noexcept;
    void undo();
    std::size_t built_bytes() const noexcept;

  private:
    struct Ranges;

    Block allocate(std::size_t bytes);
    Value value_of_row(Row row);
    Value leaf(Cuts cuts, unsigned position);
    Value direct(Cuts cuts, Bits first, unsigned position, unsigned stride);
    unsigned root_stride(Cuts cuts, unsigned position, unsigned address_bits) const;

    Arena& arena_;
    std::size_t root_slots_;
    std::uint32_t epoch_ = 0;
    bool failed_ = false;
    std::vector<Block> built_;
};

}  // namespace sekisho::lpm

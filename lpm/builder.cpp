// How tables are laid out: which node, which stride. Figures behind the choices: docs/decisions/0004-lpm-structure.md.
#include "lpm/builder.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>

namespace sekisho::lpm {

namespace {

constexpr std::size_t kFewestDense = 8;  // cuts
constexpr std::size_t kDenseSlots = 2;   // that a cut may take: 8 bytes, where a chunk takes 6
constexpr unsigned kMostRootStride = 17;
// A group takes 16 KiB: at most 32 bytes a cut.
constexpr std::size_t kFewestGrouped = 512;

// The last address of the block that starts at `first` with `position` bits decided.
constexpr Bits last_of(Bits first, unsigned position) noexcept {
    return position >= 128 ? first : first | (~Bits{0} >> position);
}

// How many bits from the first on decide an address that has only zeros after them.
constexpr unsigned last_bit(Bits first) noexcept {
    const auto low = static_cast<std::uint64_t>(first);
    const auto high = static_cast<std::uint64_t>(first >> 64);
    return low != 0 ? 128U - static_cast<unsigned>(std::countr_zero(low))
                    : 64U - static_cast<unsigned>(std::countr_zero(high));
}

// How many of the cuts after the first begin a range of their own in a chunk, if the block is split by `stride` bits.
std::size_t served_by(Cuts cuts, unsigned position, unsigned stride) {
    const unsigned below = position + stride;
    std::size_t served = 0;
    for (std::size_t i = 1; i < cuts.size();) {
        const Bits slot_last = last_of(cuts[i].first, below);
        std::size_t ranges = 1;
        std::size_t deeper = 0;
        std::size_t end = i;
        Bits before = 0;
        for (; end < cuts.size() && cuts[end].first <= slot_last; ++end) {
            const Bits window_last = last_of(cuts[end].first, below + kWindowBits);
            ranges += end == i || window_last != before;
            deeper += (cuts[end].first & last_of(0, below + kWindowBits)) != 0;
            before = window_last;
        }
        if (ranges <= kMostRanges) served += end - i - deeper;
        i = end;
    }
    return served;
}

// The shortest stride by which nineteen in twenty of the cuts are found in the node after; at most about one slot a
// cut, four behind a group, where few blocks have many cuts, or 2^`cheap` slots where that is more.
unsigned stride_for(Cuts cuts, unsigned position, unsigned most, unsigned cheap) {
    const std::size_t inner = cuts.size() - 1;
    const auto log = static_cast<unsigned>(std::bit_width(inner));
    const unsigned longest = std::min(std::max(position < kGroupPosition ? log : log + 2, cheap), most);
    unsigned stride = std::clamp(log < 5 ? 1 : log - 4, 1U, longest);
    while (stride < longest && served_by(cuts, position, stride) * 20 < inner * 19) ++stride;
    return stride;
}

// The shortest stride by which nine in ten of the cuts begin a slot, so that their addresses need no other node; 0 if
// that takes more than `slots`, 2^`most`, or there are too few to bother. What is numbered evenly is like that.
unsigned dense_stride(Cuts cuts, unsigned position, unsigned most, std::size_t slots) {
    const std::size_t inner = cuts.size() - 1;
    if (inner < kFewestDense) return 0;
    std::array<std::size_t, kMostRootStride + 1> begin{};  // by the stride that they need
    for (const Cut& cut : cuts.subspan(1)) {
        const unsigned needed = last_bit(cut.first) > position ? last_bit(cut.first) - position : 0;
        if (needed <= most) ++begin[needed];
    }
    std::size_t found = begin[0];
    for (unsigned stride = 1; stride <= most && std::size_t{1} << stride <= slots; ++stride) {
        found += begin[stride];
        if (found * 10 >= inner * 9) return stride;
    }
    return 0;
}

// Whether a leaf has room for the block, and a chunk would need other nodes.
bool is_for_leaf(Cuts cuts, unsigned position) {
    if (cuts.size() > Leaf::kMostRanges) return false;
    bool deep = false;
    for (const Cut& cut : cuts.subspan(1)) {
        if ((cut.first & last_of(0, position + Leaf::kWindowBits)) != 0) return false;
        deep = deep || (cut.first & last_of(0, position + kWindowBits)) != 0;
    }
    return deep;
}

// Calls with the cuts and the first address of each of 2^stride slots of the block.
template <class Call>
void for_each_slot(Cuts cuts, Bits first, unsigned position, unsigned stride, const Call& call) {
    std::size_t from = 0;
    for (std::size_t slot = 0; slot < std::size_t{1} << stride; ++slot) {
        const Bits start = first | Bits{slot} << (128 - position - stride);
        const Bits last = last_of(start, position + stride);
        while (from + 1 < cuts.size() && cuts[from + 1].first <= start) ++from;
        std::size_t end = from + 1;
        while (end < cuts.size() && cuts[end].first <= last) ++end;
        call(slot, cuts.subspan(from, end - from), start);
    }
}

}  // namespace

// The ranges of a chunk before they have values: each from `start` to the next one's, with the cuts in it.
struct Builder::Ranges {
    struct Range {
        Bits start;
        std::size_t from;
        std::size_t count;
    };
    std::size_t count = 0;
    std::array<Range, kMostRanges> all;

    bool cut(Cuts cuts, Bits first, Bits last, unsigned below, std::size_t room);
};

Block Builder::allocate(std::size_t bytes) {
    if (failed_) return {};
    const Block block = arena_.allocate(bytes, epoch_);
    if (block.unit == 0)
        failed_ = true;
    else
        built_.push_back(block);
    return block;
}

Value Builder::value_of_row(Row row) {
    if (fits_value(row)) return lpm::value_of(row);
    const Block block = allocate(sizeof row);
    if (failed_) return 0;
    std::memcpy(arena_.at(block.unit), &row, sizeof row);
    return cell_value(block.unit);
}

Value Builder::value(Cuts cuts, Bits first, unsigned position, bool in_direct) {
    if (failed_) return 0;
    if (cuts.size() == 1) return value_of_row(cuts[0].row);
    if (is_for_leaf(cuts, position)) return leaf(cuts, position);
    ChunkRanges ranges;
    const auto fits_chunk = [&] { return add_ranges(ranges, kMostRanges, cuts, first, position, position); };
    if (in_direct && fits_chunk()) return chunk(ranges);
    const unsigned most = std::min(kMostStride, 128 - position);
    if (const unsigned stride = dense_stride(cuts, position, most, kDenseSlots * cuts.size()); stride != 0)
        return direct(cuts, first, position, stride);
    if (!in_direct && fits_chunk()) return chunk(ranges);
    return direct(cuts, first, position, stride_for(cuts, position, most, 1));
}

// Cuts the block from `first` to `last` into ranges of whole windows, which have `below` bits decided; a window with
// more than one cut in it is a range of its own. False if there are more than `room`.
bool Builder::Ranges::cut(Cuts cuts, Bits first, Bits last, unsigned below, std::size_t room) {
    Bits start = first;
    for (std::size_t i = 0;;) {
        if (count == room) return false;
        const Bits window_last = last_of(start, below);
        std::size_t end = i + 1;
        while (end < cuts.size() && cuts[end].first <= window_last) ++end;
        all[count++] = {start, i, end - i};
        if (end > i + 1) {
            if (window_last == last) return true;
            start = window_last + 1;
            i = end < cuts.size() && cuts[end].first == start ? end : end - 1;
        } else {
            if (end == cuts.size()) return true;
            const Bits aligned = cuts[end].first & ~last_of(0, below);
            i = aligned == cuts[end].first ? end : end - 1;
            start = aligned;
        }
    }
}

bool Builder::add_ranges(ChunkRanges& chunk, std::size_t room, Cuts cuts, Bits first, unsigned decided,
                         unsigned position) {
    Ranges ranges;
    if (!ranges.cut(cuts, first, last_of(first, decided), position + kWindowBits, room)) return false;
    for (std::size_t i = 0; i < ranges.count; ++i) {
        const auto& range = ranges.all[i];
        const auto window = static_cast<std::uint16_t>((range.start << position) >> (128 - kWindowBits));
        chunk.add(window, value(cuts.subspan(range.from, range.count), range.start, position + kWindowBits));
    }
    return true;
}

Value Builder::chunk(const ChunkRanges& ranges) {
    const Block block = allocate(chunk_bytes(ranges.count));
    if (failed_) return 0;
    std::byte* const at = arena_.at(block.unit);
    std::uint16_t keys[kMostRanges];
    keys[0] = static_cast<std::uint16_t>(ranges.count);
    for (std::size_t i = 1; i < ranges.count; ++i) keys[i] = ranges.starts[i] ^ kKeyBias;
    std::memcpy(at, keys, sizeof(std::uint16_t) * ranges.count);
    std::memcpy(at + chunk_values_offset(ranges.count), ranges.values.data(), sizeof(Value) * ranges.count);
    return chunk_value(block.unit);
}

Value Builder::leaf(Cuts cuts, unsigned position) {
    const Block block = allocate(sizeof(Leaf));
    if (failed_) return 0;
    Leaf leaf;
    std::fill(std::begin(leaf.starts), std::end(leaf.starts), ~std::uint64_t{0});
    std::fill(std::begin(leaf.rows), std::end(leaf.rows), cuts.back().row);
    for (std::size_t i = 0; i < cuts.size(); ++i) leaf.rows[i] = cuts[i].row;
    for (std::size_t i = 1; i < cuts.size(); ++i)
        leaf.starts[i - 1] = static_cast<std::uint64_t>((cuts[i].first << position) >> 64);
    std::memcpy(arena_.at(block.unit), &leaf, sizeof leaf);
    return leaf_value(block.unit);
}

Value Builder::direct(Cuts cuts, Bits first, unsigned position, unsigned stride) {
    // Named by line, so it takes whole lines.
    const Block block = allocate(std::max(kLineBytes, sizeof(Value) << stride));
    if (failed_) return 0;
    std::byte* const slots = arena_.at(block.unit);
    for_each_slot(cuts, first, position, stride, [&](std::size_t slot, Cuts inside, Bits start) {
        store_slot<Value>(slots + slot * sizeof(Value), value(inside, start, position + stride, true));
    });
    return direct_value(block.unit, stride);
}

// How many bits of the address index the root.
unsigned Builder::root_stride(Cuts cuts, unsigned position, unsigned address_bits) const {
    if (cuts.size() == 1) return 1;
    const unsigned most = std::min(kMostRootStride, (address_bits == 32 ? 32U : 64U) - position);
    if (const unsigned stride = dense_stride(cuts, position, most, std::max(root_slots_, kDenseSlots * cuts.size())))
        return stride;
    // The first 16 bits of a global IPv6 address hardly tell routes apart; the 16 after them do.
    if (address_bits == 128 && cuts.size() > 1024 && position < 16) return 16 - position;
    return stride_for(cuts, position, most, 8);
}

TableHead Builder::root(Cuts cuts, Bits region, unsigned position, Row outside, unsigned address_bits) {
    TableHead head;
    const unsigned stride = root_stride(cuts, position, address_bits);
    head.first = static_cast<std::uint64_t>(region >> 64);
    head.bits = static_cast<std::uint8_t>(stride);
    head.shift = static_cast<std::uint8_t>(64 - position - stride);
    head.position = static_cast<std::uint8_t>(position + stride);
    const std::size_t slots = std::size_t{1} << stride;
    const Block block = allocate((slots + 1) * sizeof(Value));
    if (failed_) return head;
    head.root = block.unit;
    std::byte* const at = arena_.at(block.unit);
    for_each_slot(cuts, region, position, stride, [&](std::size_t slot, Cuts inside, Bits start) {
        store_slot<Value>(at + slot * sizeof(Value), value(inside, start, head.position));
    });
    store_slot<Value>(at + slots * sizeof(Value), value_of_row(outside));
    return head;
}

TableHead Builder::wide_root(Cuts cuts) {
    TableHead head;
    head.wide = 1;
    head.bits = kWideBits;
    head.shift = 64 - kWideBits;
    head.position = kWidePosition;
    const Block block = allocate(kWideWords * sizeof(WideWord));
    if (failed_) return head;
    head.root = block.unit;
    std::byte* const at = arena_.at(block.unit);
    for_each_slot(cuts, 0, 0, kWideBits, [&](std::size_t word, Cuts inside, Bits start) {
        store_slot<WideWord>(at + word * sizeof(WideWord), wide_word_of(inside, start, kWideBits));
    });
    return head;
}

TableHead Builder::top_root(Cuts cuts, Bits region, unsigned position, Row outside) {
    TableHead head;
    head.wide = 2;
    head.first = static_cast<std::uint64_t>(region >> 64);
    head.bits = static_cast<std::uint8_t>(kTopPosition - position);
    head.shift = 64 - kTopPosition;
    head.position = kTopPosition;
    const std::size_t slots = std::size_t{1} << head.bits;
    const Block block = allocate((slots + 1) * sizeof(WideWord));
    if (failed_) return head;
    head.root = block.unit;
    std::byte* const at = arena_.at(block.unit);
    for_each_slot(cuts, region, position, head.bits, [&](std::size_t slot, Cuts inside, Bits start) {
        store_slot<WideWord>(at + slot * sizeof(WideWord), top_word_of(inside, start));
    });
    store_slot<WideWord>(at + slots * sizeof(WideWord), wide_word(value_of_row(outside)));
    return head;
}

WideWord Builder::top_word_of(Cuts cuts, Bits first) {
    if (cuts.size() < kFewestGrouped) return wide_word(value(cuts, first, kTopPosition));
    const Block block = allocate(kGroupWords * sizeof(WideWord));
    if (failed_) return 0;
    std::byte* const at = arena_.at(block.unit);
    for_each_slot(cuts, first, kTopPosition, kGroupBits, [&](std::size_t word, Cuts inside, Bits start) {
        store_slot<WideWord>(at + word * sizeof(WideWord), wide_word_of(inside, start, kTopPosition + kGroupBits));
    });
    return wide_word(block.unit, 1);
}

WideWord Builder::wide_word_of(Cuts cuts, Bits first, unsigned position) {
    if (cuts.size() == 1) return wide_word(value_of_row(cuts[0].row));
    std::array<Value, 1U << kWideGroupBits> values;
    values_of(cuts, first, position, kWideGroupBits, values.data());
    return wide_word_of(values);
}

void Builder::values_of(Cuts cuts, Bits first, unsigned position, unsigned stride, Value* values) {
    for_each_slot(cuts, first, position, stride, [&](std::size_t slot, Cuts inside, Bits start) {
        // A cell is shared by the slots of its range.
        const bool goes_on = slot > 0 && inside.size() == 1 && inside[0].first < start && !is_node(values[slot - 1]);
        values[slot] = goes_on ? values[slot - 1] : value(inside, start, position + stride);
    });
}

WideWord Builder::wide_word_of(std::span<const Value, 1U << kWideGroupBits> values) {
    std::array<Value, 1U << kWideGroupBits> run;
    std::uint32_t bitmap = 0;
    std::size_t length = 0;
    for (std::size_t slot = 0; slot < values.size(); ++slot) {
        if (slot > 0 && values[slot] == values[slot - 1]) continue;  // nodes are never equal
        bitmap |= 1U << slot;
        run[length++] = values[slot];
    }
    if (length == 1) return wide_word(run[0]);
    const Block block = allocate(length * sizeof(Value));
    if (failed_) return 0;
    std::memcpy(arena_.at(block.unit), run.data(), length * sizeof(Value));
    return wide_word(block.unit, bitmap);
}

Block Builder::copy(Block block) {
    const Block fresh = allocate(block.bytes);
    if (!failed_) std::memcpy(arena_.at(fresh.unit), arena_.at(block.unit), block.bytes);
    return fresh;
}

void Builder::start() noexcept {
    built_.clear();
    failed_ = false;
}

void Builder::undo() {
    for (const Block& block : built_) arena_.free(block);
    start();
}

std::size_t Builder::built_bytes() const noexcept {
    std::size_t bytes = 0;
    for (const Block& block : built_) bytes += whole_units(block.bytes);
    return bytes;
}

}  // namespace sekisho::lpm

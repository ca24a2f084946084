// The way down from a head to what a change touches. See patcher.hpp.
#include "lpm/patcher.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "lpm/nodes.hpp"

namespace sekisho::lpm {

namespace {

constexpr std::size_t kSlots = std::size_t{1} << kWideGroupBits;  // of a word

}  // namespace

template <class Address>
void Patcher<Address>::start(std::uint32_t epoch) {
    epoch_ = epoch;
    stores_.clear();
    dead_.clear();
    builder_.start();
}

template <class Address>
TableHead Patcher<Address>::patch(const Rib<Address>& rib, const TableHead& head, const Prefix<Address>& changed) {
    rib_ = &rib;
    changed_ = &changed;
    TableHead after = head;
    after.root = owned({head.root, static_cast<std::uint32_t>(root_bytes(head))}).unit;
    if (builder_.failed()) return head;
    if (head.wide == 1)
        words(after.root, 0, 0, kWideBits);
    else if (head.wide == 2)
        top(after);
    else
        root(after);
    return after;
}

template <class Address>
void Patcher<Address>::let_go(const TableHead& head) {
    gather_root(arena_, head, dead_);
}

template <class Address>
void Patcher<Address>::store() const noexcept {
    for (const Store& store : stores_) {
        if (store.bytes == sizeof(WideWord))
            store_slot<WideWord>(store.slot, store.content);
        else
            store_slot<Value>(store.slot, static_cast<Value>(store.content));
    }
}

template <class Address>
Cuts Patcher<Address>::cuts_of(const Rib<Address>& rib, Bits first, unsigned position) {
    rib.pieces(Prefix<Address>(address_of(first, Address()), static_cast<int>(position)), pieces_);
    cuts_.clear();
    for (const Piece<Address>& piece : pieces_) cuts_.push_back({bits_of(piece.first), piece.row});
    return cuts_;
}

// Of the 2^stride parts of a block.
template <class Address>
auto Patcher<Address>::touched(Bits first, unsigned position, unsigned stride) const noexcept -> Slots {
    if (length() <= position) return {0, std::size_t{1} << stride};
    const unsigned below = position + stride;
    const auto from = static_cast<std::size_t>((bits_of(changed_->first()) - first) >> (128 - below));
    return {from, from + (length() >= below ? 1 : std::size_t{1} << (below - length()))};
}

// The block itself if no view shows it, else its copy.
template <class Address>
Block Patcher<Address>::owned(Block block) {
    if (arena_.birth(block.unit) == epoch_) return block;
    dead_.push_back(block);
    return builder_.copy(block);
}

template <class Address>
void Patcher<Address>::root(TableHead& head) {
    if (length() == 0) {
        std::byte* const outside = arena_.at(head.root) + (std::size_t{1} << head.bits) * sizeof(Value);
        const Cut everywhere{0, rib_->exact(*changed_).value_or(kNoRow)};
        gather_value(arena_, load_slot<Value>(outside), dead_);
        stores_.push_back({outside, builder_.value(Cuts(&everywhere, 1), 0, 0), sizeof(Value)});
    }
    slots(head.root, Bits{head.first} << 64, region_bits(head), head.bits);
}

template <class Address>
void Patcher<Address>::top(TableHead& head) {
    const Bits region = Bits{head.first} << 64;
    if (length() == 0) {
        std::byte* const outside = arena_.at(head.root) + (std::size_t{1} << head.bits) * sizeof(WideWord);
        const Cut everywhere{0, rib_->exact(*changed_).value_or(kNoRow)};
        gather_top_word(arena_, load_slot<WideWord>(outside), dead_);
        stores_.push_back({outside, wide_word(builder_.value(Cuts(&everywhere, 1), 0, 0)), sizeof(WideWord)});
    }
    auto [slot, end] = touched(region, region_bits(head), head.bits);
    for (; slot < end && !builder_.failed(); ++slot) {
        std::byte* const at = arena_.at(head.root) + slot * sizeof(WideWord);
        const auto old = load_slot<WideWord>(at);
        const WideWord fresh = top_word(old, region | Bits{slot} << (128 - kTopPosition));
        if (fresh != old) stores_.push_back({at, fresh, sizeof(WideWord)});
    }
}

template <class Address>
WideWord Patcher<Address>::top_word(WideWord old, Bits first) {
    const auto upper = static_cast<std::uint32_t>(old >> 32);
    if (length() <= kTopPosition) {
        gather_top_word(arena_, old, dead_);
        return builder_.top_word_of(cuts_of(*rib_, first, kTopPosition), first);
    }
    if (static_cast<std::uint32_t>(old) == 0) return wide_word(value(upper, first, kTopPosition));
    const Unit group = owned({upper, kGroupWords * sizeof(WideWord)}).unit;
    if (builder_.failed()) return old;
    words(group, first, kTopPosition, kGroupBits);
    return wide_word(group, 1);
}

// Of 2^stride words at `node`: those that the change touches. `first` and `position` are the block of all of them.
template <class Address>
void Patcher<Address>::words(Unit node, Bits first, unsigned position, unsigned stride) {
    const unsigned below = position + stride;
    auto [slot, end] = touched(first, position, stride);
    for (; slot < end && !builder_.failed(); ++slot) {
        std::byte* const at = arena_.at(node) + slot * sizeof(WideWord);
        const auto old = load_slot<WideWord>(at);
        const WideWord fresh = word(old, first | Bits{slot} << (128 - below), below);
        if (fresh != old) stores_.push_back({at, fresh, sizeof(WideWord)});
    }
}

// Where the change is inside the node of a slot, the run stays.
template <class Address>
WideWord Patcher<Address>::word(WideWord old, Bits first, unsigned position) {
    const unsigned below = position + kWideGroupBits;
    if (length() <= below) return run(old, first, position);
    const auto bitmap = static_cast<std::uint32_t>(old);
    const auto upper = static_cast<std::uint32_t>(old >> 32);
    const std::size_t slot = touched(first, position, kWideGroupBits).from;
    const auto rank = static_cast<std::size_t>(std::popcount(bitmap << (kSlots - 1 - slot)));
    const Value node = bitmap == 0 ? upper : load_slot<Value>(arena_.at(upper) + (rank - 1) * sizeof(Value));
    if (!is_node(node)) return run(old, first, position);
    const auto values = static_cast<std::size_t>(std::popcount(bitmap));
    const Unit kept = owned({upper, static_cast<std::uint32_t>(values * sizeof(Value))}).unit;
    if (builder_.failed()) return old;
    const Value fresh = value(node, first | Bits{slot} << (128 - below), below);
    if (fresh != node) stores_.push_back({arena_.at(kept) + (rank - 1) * sizeof(Value), fresh, sizeof(Value)});
    return wide_word(kept, bitmap);
}

// The word made again, with what its other slots have.
template <class Address>
WideWord Patcher<Address>::run(WideWord old, Bits first, unsigned position) {
    const auto upper = static_cast<std::uint32_t>(old >> 32);
    const auto bitmap = static_cast<std::uint32_t>(old);
    const unsigned below = position + kWideGroupBits;
    const auto [from, end] = touched(first, position, kWideGroupBits);
    std::array<Value, kSlots> values;
    const std::byte* next = arena_.at(upper);
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
        const bool begins = (bitmap >> slot & 1) != 0;
        values[slot] = begins ? load_slot<Value>(next) : slot == 0 ? upper : values[slot - 1];
        next += begins ? sizeof(Value) : 0;
    }
    // What only touched slots had is let go.
    for (std::size_t slot = from, last; slot < end; slot = last + 1) {
        for (last = slot; last + 1 < end && values[last + 1] == values[slot];) ++last;
        const bool kept = (slot > 0 && slot == from && values[slot - 1] == values[slot]) ||
                          (last + 1 < kSlots && values[last + 1] == values[slot]);
        if (!kept) gather_value(arena_, values[slot], dead_);
    }
    // A cell on both sides of them becomes two: each is let go once.
    if (from > 0 && end < kSlots && is_cell(values[end]) && values[end] == values[from - 1]) {
        const Cut same{0, load_slot<Row>(arena_.at(unit_of(values[end])))};
        const Value fresh = builder_.value(Cuts(&same, 1), 0, 0);
        for (std::size_t slot = end; slot < kSlots && values[slot] == values[from - 1]; ++slot) values[slot] = fresh;
    }
    const auto inner = static_cast<unsigned>(std::countr_zero(end - from));
    const Bits start = first | Bits{from} << (128 - below);
    builder_.values_of(cuts_of(*rib_, start, below - inner), start, below - inner, inner, values.data() + from);
    const auto count = static_cast<std::size_t>(std::popcount(bitmap));
    if (bitmap != 0) dead_.push_back({upper, static_cast<std::uint32_t>(count * sizeof(Value))});
    return builder_.wide_word_of(values);
}

// Of the slots of one node: those that the change touches. `first` and `position` are the node's block.
template <class Address>
void Patcher<Address>::slots(Unit node, Bits first, unsigned position, unsigned stride) {
    const unsigned below = position + stride;
    auto [slot, end] = touched(first, position, stride);
    for (; slot < end; ++slot) {
        std::byte* const at = arena_.at(node) + slot * sizeof(Value);
        const Value old = load_slot<Value>(at);
        const Value fresh = value(old, first | Bits{slot} << (128 - below), below);
        if (builder_.failed()) return;
        if (fresh != old) stores_.push_back({at, fresh, sizeof(Value)});
    }
}

// The new value of a block. A direct node stays if the change is inside it, and of a chunk what is beside the change;
// all else is built.
template <class Address>
Value Patcher<Address>::value(Value old, Bits first, unsigned position) {
    if (is_direct(old) && length() > position) {
        const unsigned stride = stride_of(old);
        const Unit node = owned({direct_unit(old), static_cast<std::uint32_t>(direct_bytes(stride))}).unit;
        if (builder_.failed()) return old;
        slots(node, first, position, stride);
        return direct_value(node, stride);
    }
    if (is_chunk(old) && length() > position) {
        if (const auto kept = below_chunk(old, first, position)) return *kept;
        if (const auto fresh = chunk(old, first, position)) return *fresh;
    }
    gather_value(arena_, old, dead_);
    return builder_.value(cuts_of(*rib_, first, position), first, position);
}

// A chunk stays if the change is inside a node below it.
template <class Address>
std::optional<Value> Patcher<Address>::below_chunk(Value old, Bits first, unsigned position) {
    if (length() <= position + kWindowBits) return std::nullopt;
    const Bits window = first | (bits_of(changed_->first()) - first) >> (112 - position) << (112 - position);
    const auto key = static_cast<std::uint16_t>((window << position) >> (128 - kWindowBits));
    const std::size_t offset = value_offset_in(arena_.at(unit_of(old)), key);
    const Value below = load_slot<Value>(arena_.at(unit_of(old)) + offset);
    // Only a window with a node of its own stays a range of its own, whatever becomes of the node.
    if (!is_node(below)) return std::nullopt;
    const Unit node = owned(chunk_block(arena_, old)).unit;
    if (builder_.failed()) return old;
    const Value fresh = value(below, window, position + kWindowBits);
    if (fresh != below) stores_.push_back({arena_.at(node) + offset, fresh, sizeof(Value)});
    return chunk_value(node);
}

// A chunk made again, with the ranges beside the windows that the change touches. Nothing where it may get more ranges
// than a chunk has.
template <class Address>
std::optional<Value> Patcher<Address>::chunk(Value old, Bits first, unsigned position) {
    if (position + kWindowBits > 128) return std::nullopt;
    const auto [from, end] = touched(first, position, kWindowBits);
    const ChunkRanges ranges = chunk_ranges(arena_.at(unit_of(old)));
    const std::size_t inside = ranges.before(from);
    const std::size_t after = ranges.before(end);
    // Where no range begins after the change, the one that was there goes on; a cell would then be in two.
    const bool goes_on = end < kWindows && (after == ranges.count || ranges.starts[after] != end);
    if (goes_on && is_cell(ranges.values[after - 1])) return std::nullopt;
    ChunkRanges fresh;
    for (std::size_t i = 0; i < inside; ++i) fresh.add(ranges.starts[i], ranges.values[i]);
    const std::size_t rest = ranges.count - after + (goes_on ? 1 : 0);
    const Bits start = first | Bits{from} << (112 - position);
    const unsigned decided = std::min(length(), position + kWindowBits);
    if (inside + rest > kMostRanges || !builder_.add_ranges(fresh, kMostRanges - inside - rest,
                                                            cuts_of(*rib_, start, decided), start, decided, position))
        return std::nullopt;
    if (goes_on) fresh.add(end, ranges.values[after - 1]);
    for (std::size_t i = after; i < ranges.count; ++i) fresh.add(ranges.starts[i], ranges.values[i]);
    for (std::size_t i = inside; i < after; ++i) gather_value(arena_, ranges.values[i], dead_);
    dead_.push_back(chunk_block(arena_, old));
    return fresh.count == 1 ? fresh.values[0] : builder_.chunk(fresh);
}

template class Patcher<Ipv4Address>;
template class Patcher<Ipv6Address>;

}  // namespace sekisho::lpm

// How tables change: built beside, stored slot by slot, let go. See tables.hpp.
#include "lpm/tables.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <utility>

#include "lpm/nodes.hpp"

namespace sekisho::lpm {

namespace {

unsigned region_bits(const TableHead& head) noexcept {
    return head.position - head.bits;
}

Ipv4Address address_of(Bits bits, const Ipv4Address&) noexcept {
    return Ipv4Address(static_cast<std::uint32_t>(bits >> 96));
}
Ipv6Address address_of(Bits bits, const Ipv6Address&) noexcept {
    return {static_cast<std::uint64_t>(bits >> 64), static_cast<std::uint64_t>(bits)};
}

// Of the 2^stride parts of the block that starts at `first`, the first one that the prefix touches and the one after
// the last.
template <class Address>
std::pair<std::size_t, std::size_t> touched(const Prefix<Address>& changed, Bits first, unsigned position,
                                            unsigned stride) {
    const auto length = static_cast<unsigned>(changed.length());
    if (length <= position) return {0, std::size_t{1} << stride};
    const unsigned below = position + stride;
    const auto from = static_cast<std::size_t>((bits_of(changed.first()) - first) >> (128 - below));
    return {from, from + (length >= below ? 1 : std::size_t{1} << (below - length))};
}

}  // namespace

template <class Address>
Tables<Address>::Tables(std::size_t count, std::size_t limit_bytes)
    : arena_(std::make_shared<Arena>(limit_bytes)),
      builder_(*arena_, kRootSlots / std::max(count, std::size_t{1})),
      tables_(count),
      limbo_(std::make_shared<Limbo>(arena_)) {
    builder_.set_epoch(epoch_);
    const Cut nothing;
    empty_ = builder_.root(Cuts(&nothing, 1), 0, 0, kNoRow, Address::kBits);
    // One head more, without routes, for the tables that do not exist.
    heads_ = arena_->allocate((count + 1) * sizeof(TableHead), epoch_);
    if (builder_.failed() || heads_.unit == 0) throw std::bad_alloc();
    for (std::size_t i = 0; i <= count; ++i) *(reinterpret_cast<TableHead*>(arena_->at(heads_.unit)) + i) = empty_;
    bytes_ = builder_.built_bytes() + whole_units(heads_.bytes);
}

template <class Address>
bool Tables<Address>::set(TableId table, const Prefix<Address>& prefix, Row row) {
    Rib<Address>& rib = tables_[table].rib;
    const std::optional<Row> before = row == kNoRow ? rib.erase(prefix) : rib.insert(prefix, row);
    if (before == row || (!before && row == kNoRow)) return true;
    if (change(table, &prefix)) return true;
    if (before)
        rib.insert(prefix, *before);
    else
        rib.erase(prefix);
    return false;
}

template <class Address>
bool Tables<Address>::replace(TableId table, Rib<Address>&& rib) {
    Rib<Address> before = std::exchange(tables_[table].rib, std::move(rib));
    if (change(table, nullptr)) return true;
    tables_[table].rib = std::move(before);
    return false;
}

// Makes the nodes say what the routes say, where they changed; everywhere if `changed` is null.
template <class Address>
bool Tables<Address>::change(TableId id, const Prefix<Address>* changed) {
    Table& table = tables_[id];
    builder_.start();
    stores_.clear();
    dead_.clear();
    const TableHead before = head_of(id);
    TableHead after = before;
    const bool lay_out_again = changed == nullptr || must_lay_out(table, before, *changed);
    if (lay_out_again) {
        after = lay_out(table.rib);
        if (before.root != empty_.root) gather_root(*arena_, before, dead_);
    } else if (before.wide == 1) {
        after.root = owned({before.root, static_cast<std::uint32_t>(root_bytes(before))}).unit;
        patch_words(table.rib, after.root, 0, 0, kWideBits, *changed);
    } else if (before.wide == 2) {
        patch_top(table.rib, after, *changed);
    } else {
        patch_root(table, after, *changed);
    }
    const Block heads_before = heads_;
    const bool head_moves = lay_out_again || after.root != before.root;
    // Readers that follow read heads without a lock: they get new ones, whole.
    const bool copy_heads = head_moves && (followed_ || !written_since_view(heads_.unit));
    const Block heads = copy_heads ? builder_.copy(heads_) : heads_;
    if (builder_.failed()) {
        builder_.undo();
        return false;
    }
    for (const Store& store : stores_) {
        if (store.bytes == sizeof(WideWord))
            store_slot<WideWord>(store.slot, store.content);
        else
            store_slot<Value>(store.slot, static_cast<Value>(store.content));
    }
    if (copy_heads) {
        heads_ = heads;
        dead_.push_back(heads_before);
    }
    if (head_moves) head_of(id) = after;
    any_wide_ = any_wide_ || after.wide != 0;
    if (followed_) {
        followed_->any_wide.store(any_wide_, std::memory_order_relaxed);
        followed_->heads.store(heads_.unit, std::memory_order_release);
    }
    if (lay_out_again) table.built_for = table.rib.size();
    bytes_ += builder_.built_bytes();
    last_view_.reset();
    release_dead();
    return true;
}

template <class Address>
bool Tables<Address>::must_lay_out(const Table& table, const TableHead& head, const Prefix<Address>& changed) const {
    const std::size_t routes = table.rib.size();
    if (head.root == empty_.root || routes == 0) return true;
    if (head.wide == 1) return routes < kWideRoutes / 2;
    if (kIpv4 && routes > kWideRoutes) return true;
    if (routes > 2 * table.built_for + 32 || routes < table.built_for / 4) return true;
    if (changed.length() == 0) return false;
    const Bits region = Bits{head.first} << 64;
    const auto length = static_cast<int>(region_bits(head));
    return !Prefix<Address>(address_of(region, Address()), length).contains(changed);
}

// Whether a top is worth its words, which are one for each /16 of the region.
template <class Address>
bool Tables<Address>::deserves_top(const Rib<Address>& rib, int region_length) const {
    return !kIpv4 && region_length < kTopPosition && rib.size() >= std::size_t{2} << (kTopPosition - region_length);
}

template <class Address>
TableHead Tables<Address>::lay_out(const Rib<Address>& rib) {
    if (rib.size() == 0) return empty_;
    const Cuts cuts = cuts_of(rib, 0, 0);
    if (kIpv4 && rib.size() > kWideRoutes) return builder_.wide_root(cuts);
    const Prefix<Address> region = rib.region();
    const int length = std::min(region.length(), kMostRegion);
    const Bits first = bits_of(mask_of(region.address(), length) & region.address());
    const auto position = static_cast<unsigned>(length);
    const Row outside = rib.exact({}).value_or(kNoRow);
    if (deserves_top(rib, length)) return builder_.top_root(cuts, first, position, outside);
    return builder_.root(cuts, first, position, outside, Address::kBits);
}

template <class Address>
Cuts Tables<Address>::cuts_of(const Rib<Address>& rib, Bits first, unsigned position) {
    rib.pieces(Prefix<Address>(address_of(first, Address()), static_cast<int>(position)), pieces_);
    cuts_.clear();
    for (const Piece<Address>& piece : pieces_) cuts_.push_back({bits_of(piece.first), piece.row});
    return cuts_;
}

// The block itself if no view shows it, else its copy.
template <class Address>
Block Tables<Address>::owned(Block block) {
    if (written_since_view(block.unit)) return block;
    dead_.push_back(block);
    return builder_.copy(block);
}

template <class Address>
void Tables<Address>::patch_root(const Table& table, TableHead& head, const Prefix<Address>& changed) {
    head.root = owned({head.root, static_cast<std::uint32_t>(root_bytes(head))}).unit;
    if (builder_.failed()) return;
    if (changed.length() == 0) {
        std::byte* const outside = arena_->at(head.root) + (std::size_t{1} << head.bits) * sizeof(Value);
        const Cut everywhere{0, table.rib.exact(changed).value_or(kNoRow)};
        gather_value(*arena_, load_slot<Value>(outside), dead_);
        stores_.push_back({outside, builder_.value(Cuts(&everywhere, 1), 0, 0), sizeof(Value)});
    }
    patch_slots(table.rib, head.root, Bits{head.first} << 64, region_bits(head), head.bits, changed);
}

// Of the slots of one node: those that the prefix touches. `first` and `position` are the node's block.
template <class Address>
void Tables<Address>::patch_slots(const Rib<Address>& rib, Unit node, Bits first, unsigned position, unsigned stride,
                                  const Prefix<Address>& changed) {
    const unsigned below = position + stride;
    auto [slot, end] = touched(changed, first, position, stride);
    for (; slot < end; ++slot) {
        std::byte* const at = arena_->at(node) + slot * sizeof(Value);
        const Value old = load_slot<Value>(at);
        const Value fresh = patch(rib, old, first | Bits{slot} << (128 - below), below, changed);
        if (builder_.failed()) return;
        if (fresh != old) stores_.push_back({at, fresh, sizeof(Value)});
    }
}

// The new value of a block. A direct node stays if the change is inside it, and a chunk if it is inside a node below;
// all else is built.
template <class Address>
Value Tables<Address>::patch(const Rib<Address>& rib, Value old, Bits first, unsigned position,
                             const Prefix<Address>& changed) {
    if (is_direct(old) && static_cast<unsigned>(changed.length()) > position) {
        const unsigned stride = stride_of(old);
        const Unit node = owned({direct_unit(old), static_cast<std::uint32_t>(direct_bytes(stride))}).unit;
        if (builder_.failed()) return old;
        patch_slots(rib, node, first, position, stride, changed);
        return direct_value(node, stride);
    }
    if (is_chunk(old) && static_cast<unsigned>(changed.length()) > position + kWindowBits) {
        const Bits window = first | ((bits_of(changed.first()) - first) >> (112 - position) << (112 - position));
        const auto key = static_cast<std::uint16_t>((window << position) >> (128 - kWindowBits));
        const std::size_t offset = value_offset_in(arena_->at(unit_of(old)), key);
        const Value below = load_slot<Value>(arena_->at(unit_of(old)) + offset);
        // Only a window with a node of its own stays a range of its own, whatever becomes of the node.
        if (is_chunk(below) || is_direct(below)) {
            const Unit node = owned(chunk_block(*arena_, old)).unit;
            if (builder_.failed()) return old;
            const Value fresh = patch(rib, below, window, position + kWindowBits, changed);
            if (fresh != below) stores_.push_back({arena_->at(node) + offset, fresh, sizeof(Value)});
            return chunk_value(node);
        }
    }
    gather_value(*arena_, old, dead_);
    return builder_.value(cuts_of(rib, first, position), first, position);
}

template <class Address>
void Tables<Address>::patch_top(const Rib<Address>& rib, TableHead& head, const Prefix<Address>& changed) {
    head.root = owned({head.root, static_cast<std::uint32_t>(root_bytes(head))}).unit;
    if (builder_.failed()) return;
    const Bits region = Bits{head.first} << 64;
    if (changed.length() == 0) {
        std::byte* const outside = arena_->at(head.root) + (std::size_t{1} << head.bits) * sizeof(WideWord);
        const Cut everywhere{0, rib.exact(changed).value_or(kNoRow)};
        gather_top_word(*arena_, load_slot<WideWord>(outside), dead_);
        const Value fresh = builder_.value(Cuts(&everywhere, 1), 0, 0);
        stores_.push_back({outside, wide_word(fresh), sizeof(WideWord)});
    }
    auto [slot, end] = touched(changed, region, region_bits(head), head.bits);
    for (; slot < end && !builder_.failed(); ++slot) {
        std::byte* const at = arena_->at(head.root) + slot * sizeof(WideWord);
        const auto old = load_slot<WideWord>(at);
        const WideWord fresh = patch_top_word(rib, old, region | Bits{slot} << (128 - kTopPosition), changed);
        if (fresh != old) stores_.push_back({at, fresh, sizeof(WideWord)});
    }
}

template <class Address>
WideWord Tables<Address>::patch_top_word(const Rib<Address>& rib, WideWord old, Bits first,
                                         const Prefix<Address>& changed) {
    const auto upper = static_cast<std::uint32_t>(old >> 32);
    const bool inside = changed.length() > kTopPosition;
    if (inside && static_cast<std::uint32_t>(old) == 0)
        return wide_word(patch(rib, upper, first, kTopPosition, changed));
    if (inside) {
        const Unit group = owned({upper, kGroupWords * sizeof(WideWord)}).unit;
        patch_words(rib, group, first, kTopPosition, kGroupBits, changed);
        return wide_word(group, 1);
    }
    gather_top_word(*arena_, old, dead_);
    return builder_.top_word_of(cuts_of(rib, first, kTopPosition), first);
}

// Of 2^stride words at `node`: those that the prefix touches. `first` and `position` are the block of all of them.
template <class Address>
void Tables<Address>::patch_words(const Rib<Address>& rib, Unit node, Bits first, unsigned position, unsigned stride,
                                  const Prefix<Address>& changed) {
    const unsigned below = position + stride;
    auto [word, end] = touched(changed, first, position, stride);
    for (; word < end && !builder_.failed(); ++word) {
        std::byte* const at = arena_->at(node) + word * sizeof(WideWord);
        const auto old = load_slot<WideWord>(at);
        const WideWord fresh = patch_word(rib, old, first | Bits{word} << (128 - below), below, changed);
        if (fresh != old) stores_.push_back({at, fresh, sizeof(WideWord)});
    }
}

// The new word of a block. Where the change is inside the node of a slot, the run stays; else it is made again, and
// what its other slots have is kept.
template <class Address>
WideWord Tables<Address>::patch_word(const Rib<Address>& rib, WideWord old, Bits first, unsigned position,
                                     const Prefix<Address>& changed) {
    constexpr std::size_t kSlots = 1U << kWideGroupBits;
    const auto upper = static_cast<std::uint32_t>(old >> 32);
    const auto bitmap = static_cast<std::uint32_t>(old);
    const unsigned below = position + kWideGroupBits;
    const auto run_bytes = static_cast<std::uint32_t>(static_cast<std::size_t>(std::popcount(bitmap)) * sizeof(Value));
    const auto [from, end] = touched(changed, first, position, kWideGroupBits);
    const auto rank = [bitmap](std::size_t slot) {
        return static_cast<std::size_t>(std::popcount(bitmap << (kSlots - 1 - slot))) - 1;
    };
    const auto value_at = [&](std::size_t slot) {
        return bitmap == 0 ? upper : load_slot<Value>(arena_->at(upper) + rank(slot) * sizeof(Value));
    };
    if (const Value node = value_at(from);
        static_cast<unsigned>(changed.length()) > below && (is_chunk(node) || is_direct(node))) {
        const Unit run = owned({upper, run_bytes}).unit;
        if (builder_.failed()) return old;
        const Value fresh = patch(rib, node, first | Bits{from} << (128 - below), below, changed);
        if (fresh != node) stores_.push_back({arena_->at(run) + rank(from) * sizeof(Value), fresh, sizeof(Value)});
        return wide_word(run, bitmap);
    }
    std::array<Value, kSlots> values;
    for (std::size_t slot = 0; slot < kSlots; ++slot) values[slot] = value_at(slot);
    // What only touched slots had is let go.
    for (std::size_t slot = from, last; slot < end; slot = last + 1) {
        for (last = slot; last + 1 < end && values[last + 1] == values[slot];) ++last;
        const bool kept = (slot > 0 && slot == from && values[slot - 1] == values[slot]) ||
                          (last + 1 < kSlots && values[last + 1] == values[slot]);
        if (!kept) gather_value(*arena_, values[slot], dead_);
    }
    // A cell on both sides of them becomes two: each is let go once.
    if (from > 0 && end < kSlots && is_cell(values[end]) && values[end] == values[from - 1]) {
        const Cut same{0, load_slot<Row>(arena_->at(unit_of(values[end])))};
        const Value fresh = builder_.value(Cuts(&same, 1), 0, 0);
        for (std::size_t slot = end; slot < kSlots && values[slot] == values[from - 1]; ++slot) values[slot] = fresh;
    }
    const auto inner = static_cast<unsigned>(std::countr_zero(end - from));
    const Bits start = first | Bits{from} << (128 - below);
    builder_.values_of(cuts_of(rib, start, below - inner), start, below - inner, inner, values.data() + from);
    if (bitmap != 0) dead_.push_back({upper, run_bytes});
    return builder_.wide_word_of(values);
}

template <class Address>
void Tables<Address>::release_dead() {
    for (const Block& block : dead_) {
        bytes_ -= whole_units(block.bytes);
        if (!followed_ && written_since_view(block.unit))
            arena_->free(block);
        else
            limbo_->blocks.push_back(block);
    }
    if (limbo_->blocks.size() >= kLimboBlocks) turn_over();
}

// Closes the limbo: it goes when the last view before it has gone and readers that follow have been quiescent.
template <class Address>
void Tables<Address>::turn_over() {
    auto fresh = std::make_shared<Limbo>(arena_);
    limbo_->next = fresh;
    const std::shared_ptr<Limbo> closed = std::exchange(limbo_, std::move(fresh));
    if (retire_) retire_(closed);
}

template <class Address>
std::shared_ptr<const FibState<Address>> Tables<Address>::view() {
    if (last_view_) return last_view_;
    turn_over();
    auto state = std::make_shared<State>();
    state->arena = arena_;
    state->limbo = limbo_;
    state->tables = static_cast<std::uint32_t>(tables_.size());
    state->any_wide = any_wide_;
    state->heads = heads_.unit;
    builder_.set_epoch(++epoch_);
    last_view_ = state;
    return state;
}

template <class Address>
std::shared_ptr<const FibState<Address>> Tables<Address>::follow(typename Fib<Address>::Retire retire) {
    if (followed_) return followed_;
    followed_ = std::make_shared<State>();
    followed_->arena = arena_;
    followed_->tables = static_cast<std::uint32_t>(tables_.size());
    followed_->any_wide = any_wide_;
    followed_->heads = heads_.unit;
    retire_ = std::move(retire);
    return followed_;
}

template class Tables<Ipv4Address>;
template class Tables<Ipv6Address>;

}  // namespace sekisho::lpm

// How tables change: built beside, stored slot by slot, let go. See tables.hpp.
#include "lpm/tables.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "lpm/nodes.hpp"

namespace sekisho::lpm {

template <class Address>
Tables<Address>::Tables(std::size_t count, std::size_t limit_bytes)
    : arena_(std::make_shared<Arena>(limit_bytes)),
      builder_(*arena_, kRootSlots / std::max(count, std::size_t{1})),
      patcher_(*arena_, builder_),
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
    patcher_.start(epoch_);
    const TableHead before = head_of(id);
    TableHead after = before;
    const bool lay_out_again = changed == nullptr || must_lay_out(table, before, *changed);
    if (lay_out_again) {
        after = lay_out(table.rib);
        if (before.root != empty_.root) patcher_.let_go(before);
    } else {
        after = patcher_.patch(table.rib, before, *changed);
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
    patcher_.store();
    if (copy_heads) {
        heads_ = heads;
        patcher_.let_go(heads_before);
    }
    if (head_moves) head_of(id) = after;
    if (followed_) followed_->heads.store(heads_.unit, std::memory_order_release);
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
    const Cuts cuts = patcher_.cuts_of(rib, 0, 0);
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
void Tables<Address>::release_dead() {
    for (const Block& block : patcher_.dead()) {
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
    followed_->heads = heads_.unit;
    retire_ = std::move(retire);
    return followed_;
}

template class Tables<Ipv4Address>;
template class Tables<Ipv6Address>;

}  // namespace sekisho::lpm

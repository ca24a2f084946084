// The writer's side of a Fib: its tables as routes and as nodes, kept alike, and what readers may still hold.
//
// A change is made in three steps: everything new is built beside what is there; if that met the limit it is undone and
// the routes with it; else the slots are stored, each in one piece, and what they named before is let go. A node that a
// view shows is never written again: its copy is. Writer's thread; only a Limbo's end may come from another.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "lpm/builder.hpp"
#include "lpm/fib.hpp"
#include "lpm/lookup.hpp"
#include "lpm/patcher.hpp"

namespace sekisho::lpm {

// What a view shows. The state of a view that follows has its heads moved by the writer; in others nothing changes.
template <class Address>
struct FibState {
    std::shared_ptr<Arena> arena;
    std::shared_ptr<Limbo> limbo;  // what the view shows is let go there, or in one after it
    std::uint32_t tables = 0;
    std::atomic<Unit> heads = 0;

    Lookup lookup() const noexcept {
        const Unit at = heads.load(std::memory_order_acquire);
        return {arena->base(), reinterpret_cast<const TableHead*>(arena->at(at)), tables};
    }
};

template <class Address>
class Tables {
  public:
    using State = FibState<Address>;

    Tables(std::size_t count, std::size_t limit_bytes);
    ~Tables() = default;
    Tables(const Tables&) = delete;
    Tables& operator=(const Tables&) = delete;

    std::size_t count() const noexcept { return tables_.size(); }
    const Rib<Address>& rib(TableId table) const noexcept { return tables_[table].rib; }

    // Sets the row of one prefix; kNoRow removes it. False at the limit of memory: nothing has changed.
    bool set(TableId table, const Prefix<Address>& prefix, Row row);
    // Replaces all routes of the table. False at the limit of memory: nothing has changed.
    bool replace(TableId table, Rib<Address>&& rib);

    std::shared_ptr<const State> view();
    std::shared_ptr<const State> follow(typename Fib<Address>::Retire retire);

    std::size_t bytes() const noexcept { return bytes_; }
    std::uint8_t wide(TableId table) const noexcept { return head_of(table).wide; }

  private:
    struct Table {
        Rib<Address> rib;
        std::size_t built_for = 0;  // routes when the root was laid out
    };
    static constexpr bool kIpv4 = Address::kBits == 32;
    // A wide root takes 4 MiB and is the fastest; from here on the other kind is no smaller.
    static constexpr std::size_t kWideRoutes = 200'000;
    // A root's first bits must lie in the first 32 or 64, eight of them at least after the region's.
    static constexpr int kMostRegion = kIpv4 ? 24 : 56;
    static constexpr std::size_t kLimboBlocks = 64;
    // Of all tables together, for routes that are evenly numbered: half a megabyte, most of it never read.
    static constexpr std::size_t kRootSlots = std::size_t{1} << 17;

    TableHead& head_of(TableId table) const noexcept {
        return *(reinterpret_cast<TableHead*>(arena_->at(heads_.unit)) + table);
    }
    bool written_since_view(Unit unit) const noexcept { return arena_->birth(unit) == epoch_; }

    TableHead lay_out(const Rib<Address>& rib);
    bool deserves_top(const Rib<Address>& rib, int region_length) const;
    bool must_lay_out(const Table& table, const TableHead& head, const Prefix<Address>& changed) const;

    bool change(TableId table, const Prefix<Address>* changed);
    void release_dead();
    void turn_over();

    std::shared_ptr<Arena> arena_;
    Builder builder_;
    Patcher<Address> patcher_;
    std::vector<Table> tables_;
    Block heads_;
    TableHead empty_;          // what every table without routes shares
    std::uint32_t epoch_ = 1;  // grows with each view: blocks born before it may be shown
    std::shared_ptr<Limbo> limbo_;
    std::shared_ptr<const State> last_view_;  // while nothing has changed since
    std::shared_ptr<State> followed_;
    typename Fib<Address>::Retire retire_;
    std::size_t bytes_ = 0;
};

extern template class Tables<Ipv4Address>;
extern template class Tables<Ipv6Address>;

}  // namespace sekisho::lpm

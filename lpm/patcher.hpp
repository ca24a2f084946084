// How the change of one prefix goes into the nodes of its table: what is built, what is stored, what is let go.
//
// Nothing that readers may see is touched before store(): until then all that is new lies beside what is there, and
// the builder can undo it. What a change does not touch is kept: the other slots of a word, the other ranges of a
// chunk. A node that a view shows is never written again: its copy is. Writer's thread.
#pragma once

#include <optional>
#include <vector>

#include "lpm/builder.hpp"

namespace sekisho::lpm {

template <class Address>
class Patcher {
  public:
    Patcher(Arena& arena, Builder& builder) noexcept : arena_(arena), builder_(builder) {}

    // A change begins; blocks born in `epoch` are shown by no view.
    void start(std::uint32_t epoch);
    // Makes the nodes of a table say what its routes say where `changed` is. What comes back after builder.failed()
    // names nothing.
    TableHead patch(const Rib<Address>& rib, const TableHead& head, const Prefix<Address>& changed);
    // The whole table is let go, for one that was built afresh.
    void let_go(const TableHead& head);
    void let_go(Block block) { dead_.push_back(block); }
    // Stores the slots, each in one piece.
    void store() const noexcept;
    // What readers may still hold, from here on.
    const std::vector<Block>& dead() const noexcept { return dead_; }

    // The pieces of the block that starts at `first` with `position` bits decided; until the next call.
    Cuts cuts_of(const Rib<Address>& rib, Bits first, unsigned position);

  private:
    struct Store {
        std::byte* slot;
        std::uint64_t content;
        std::size_t bytes;
    };
    // The slots from the first that the change touches up to the one after the last.
    struct Slots {
        std::size_t from;
        std::size_t end;
    };

    unsigned length() const noexcept { return static_cast<unsigned>(changed_->length()); }
    Slots touched(Bits first, unsigned position, unsigned stride) const noexcept;
    Block owned(Block block);

    // Each of these changes, or makes anew, what decides addresses from `position` on in the block that starts at
    // `first`; their order is the way down.
    void root(TableHead& head);
    void top(TableHead& head);
    WideWord top_word(WideWord old, Bits first);
    void words(Unit node, Bits first, unsigned position, unsigned stride);
    WideWord word(WideWord old, Bits first, unsigned position);
    WideWord run(WideWord old, Bits first, unsigned position);
    void slots(Unit node, Bits first, unsigned position, unsigned stride);
    Value value(Value old, Bits first, unsigned position);
    std::optional<Value> below_chunk(Value old, Bits first, unsigned position);
    std::optional<Value> chunk(Value old, Bits first, unsigned position);

    Arena& arena_;
    Builder& builder_;
    std::uint32_t epoch_ = 0;
    const Rib<Address>* rib_ = nullptr;
    const Prefix<Address>* changed_ = nullptr;
    std::vector<Store> stores_;
    std::vector<Block> dead_;
    std::vector<Piece<Address>> pieces_;
    std::vector<Cut> cuts_;
};

extern template class Patcher<Ipv4Address>;
extern template class Patcher<Ipv6Address>;

}  // namespace sekisho::lpm

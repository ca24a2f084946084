// The RIB of one table: its routes as they were told, in a path-compressed binary trie.
//
// It answers what the control side asks: exact match, the route that covers a prefix, all routes in order, and the
// pieces that a lookup structure is built from. It is not for the packet path: FibView is. One thread; memory follows
// the routes (at most two nodes a route), and freed nodes are used again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "lpm/bits.hpp"
#include "lpm/types.hpp"

namespace sekisho::lpm {

// Addresses from `first` up to the next piece's first have this row.
template <class Address>
struct Piece {
    Address first;
    Row row = kNoRow;

    friend bool operator==(const Piece&, const Piece&) = default;
};

template <class Address>
class Rib {
  public:
    std::size_t size() const noexcept { return size_; }

    // Adds a route or replaces its row; gives the row that was there.
    std::optional<Row> insert(const Prefix<Address>& prefix, Row row) {
        Index at = kTop;
        while (nodes_[at].prefix.length() < prefix.length()) {
            const unsigned side = bit_at(prefix.address(), nodes_[at].prefix.length());
            const Index below = nodes_[at].child[side];
            if (below == kNone) {
                const Index fresh = make(prefix);
                nodes_[at].child[side] = fresh;
                at = fresh;
            } else if (nodes_[below].prefix.contains(prefix)) {
                at = below;
            } else {
                at = split(at, side, prefix);
            }
        }
        const Row before = std::exchange(nodes_[at].row, row);
        if (before != kNoRow) return before;
        ++size_;
        return std::nullopt;
    }

    // Removes exactly this prefix; gives its row, or nothing where there was none.
    std::optional<Row> erase(const Prefix<Address>& prefix) {
        Index path[Address::kBits + 1];
        int depth = 0;
        Index at = kTop;
        while (at != kNone && nodes_[at].prefix.length() < prefix.length()) {
            path[depth++] = at;
            at = nodes_[at].child[bit_at(prefix.address(), nodes_[at].prefix.length())];
        }
        if (at == kNone || nodes_[at].prefix != prefix || nodes_[at].row == kNoRow) return std::nullopt;
        const Row before = std::exchange(nodes_[at].row, kNoRow);
        --size_;
        // A node without a row is kept only where two branches part; its removal may leave its parent as one of those.
        for (; depth > 0 && removable(at); at = path[depth]) {
            --depth;
            const Index only = nodes_[at].child[0] != kNone ? nodes_[at].child[0] : nodes_[at].child[1];
            nodes_[path[depth]].child[bit_at(nodes_[at].prefix.address(), nodes_[path[depth]].prefix.length())] = only;
            free_.push_back(at);
        }
        return before;
    }

    std::optional<Row> exact(const Prefix<Address>& prefix) const {
        Index at = kTop;
        while (at != kNone && nodes_[at].prefix.length() < prefix.length())
            at = nodes_[at].child[bit_at(prefix.address(), nodes_[at].prefix.length())];
        if (at == kNone || nodes_[at].prefix != prefix || nodes_[at].row == kNoRow) return std::nullopt;
        return nodes_[at].row;
    }

    // The longest route that contains `inside`, itself included; nothing where none does.
    std::optional<Route<Address>> covering(const Prefix<Address>& inside) const {
        std::optional<Route<Address>> found;
        for (Index at = kTop; at != kNone && nodes_[at].prefix.contains(inside);) {
            const Node& node = nodes_[at];
            if (node.row != kNoRow) found = {node.prefix, node.row};
            if (node.prefix.length() == inside.length()) break;
            at = node.child[bit_at(inside.address(), node.prefix.length())];
        }
        return found;
    }

    // The longest prefix that holds every route but 0/0; 0/0 where there is none.
    Prefix<Address> region() const noexcept {
        const Node& top = nodes_[kTop];
        if ((top.child[0] == kNone) == (top.child[1] == kNone)) return {};
        return nodes_[top.child[0] != kNone ? top.child[0] : top.child[1]].prefix;
    }

    // Every route, in ascending order of address, shorter prefixes first.
    template <class Call>
    void for_each(const Call& call) const {
        for_each_from({}, [&call](const Route<Address>& route) {
            call(route);
            return true;
        });
    }

    // The same from `from` on, which need not be there, until `call` says false.
    template <class Call>
    void for_each_from(const Prefix<Address>& from, const Call& call) const {
        walk(kTop, from, call);
    }

    // What lookups answer inside `block`: pieces in ascending order, the first at the block's first address, neighbours
    // with different rows. `pieces` is replaced.
    void pieces(const Prefix<Address>& block, std::vector<Piece<Address>>& pieces) const {
        pieces.clear();
        Row row = kNoRow;
        Index at = kTop;
        while (at != kNone && nodes_[at].prefix.length() < block.length() && nodes_[at].prefix.contains(block)) {
            if (nodes_[at].row != kNoRow) row = nodes_[at].row;
            at = nodes_[at].child[bit_at(block.address(), nodes_[at].prefix.length())];
        }
        emit(pieces, block.first(), row);
        if (at == kNone || !block.contains(nodes_[at].prefix)) return;
        cut(at, row, pieces);
        if (nodes_[at].prefix.last() != block.last()) emit(pieces, next_address(nodes_[at].prefix.last()), row);
    }

  private:
    using Index = std::uint32_t;
    static constexpr Index kNone = 0xffff'ffffU;
    static constexpr Index kTop = 0;  // the node of 0/0: always there, with or without a row

    struct Node {
        Prefix<Address> prefix;
        Row row = kNoRow;  // kNoRow: only a parting of ways
        Index child[2] = {kNone, kNone};
    };

    Index make(const Prefix<Address>& prefix) {
        if (free_.empty()) {
            nodes_.push_back(Node{prefix});
            return static_cast<Index>(nodes_.size() - 1);
        }
        const Index at = free_.back();
        free_.pop_back();
        nodes_[at] = Node{prefix};
        return at;
    }

    // Puts a node between `above` and its child on `side`, where the way to `prefix` leaves the way to that child.
    Index split(Index above, unsigned side, const Prefix<Address>& prefix) {
        const Index below = nodes_[above].child[side];
        const Address other = nodes_[below].prefix.address();
        const int length = std::min(common_length(prefix.address(), other), prefix.length());
        const Index middle = make(Prefix<Address>(prefix.address(), length));
        nodes_[middle].child[bit_at(other, length)] = below;
        nodes_[above].child[side] = middle;
        return middle;
    }

    bool removable(Index at) const noexcept {
        const Node& node = nodes_[at];
        return at != kTop && node.row == kNoRow && (node.child[0] == kNone || node.child[1] == kNone);
    }

    // False once `call` has said so.
    template <class Call>
    bool walk(Index at, const Prefix<Address>& from, const Call& call) const {
        const Node& node = nodes_[at];
        if (node.prefix.last() < from.address()) return true;  // with all that lies in it
        if (node.row != kNoRow && node.prefix >= from && !call(Route<Address>{node.prefix, node.row})) return false;
        for (const Index below : node.child)
            if (below != kNone && !walk(below, from, call)) return false;
        return true;
    }

    void cut(Index at, Row inherited, std::vector<Piece<Address>>& pieces) const {
        const Node& node = nodes_[at];
        const Row row = node.row == kNoRow ? inherited : node.row;
        emit(pieces, node.prefix.first(), row);
        for (const Index below : node.child) {
            if (below == kNone) continue;
            cut(below, row, pieces);
            const Address last = nodes_[below].prefix.last();
            if (last != node.prefix.last()) emit(pieces, next_address(last), row);
        }
    }

    static void emit(std::vector<Piece<Address>>& pieces, const Address& first, Row row) {
        if (!pieces.empty() && pieces.back().first == first) pieces.pop_back();
        if (pieces.empty() || pieces.back().row != row) pieces.push_back({first, row});
    }

    std::vector<Node> nodes_{Node{}};
    std::vector<Index> free_;
    std::size_t size_ = 0;
};

}  // namespace sekisho::lpm

// The hash of a set of objects: the root of a tree of SHA-256, whatever order and history they came in.
//
// A leaf is the hash of an object's kind, a newline and its canonical text; leaves with the same first two bytes,
// ascending, are hashed to a node of the second byte, 256 of those to one of the first, 256 of those to the root; where
// no leaf is there are 32 zero bytes. Copies are cheap, and share what does not change. Pure; any thread.
#pragma once

#include <span>
#include <vector>

#include "control/copy_on_write.hpp"
#include "control/document.hpp"
#include "control/sha256.hpp"

namespace sekisho::control {

class HashTree {
  public:
    using Hash = Sha256::Digest;

    HashTree();  // of nothing
    explicit HashTree(std::span<const Hash> leaves);

    static Hash leaf_of(Kind kind, std::string_view canonical_text);

    // Those that are not there are not taken out.
    void change(std::span<const Hash> gone, std::span<const Hash> come);
    Hash root() const;

  private:
    struct Group {                      // leaves with the same first byte
        std::vector<Hash> leaves;       // ascending
        std::array<Hash, 256> nodes{};  // by the second byte
        Hash hash{};
    };
    static void refresh(Group& group, unsigned second);  // the node of that byte
    static void refresh(Group& group);                   // what is above the nodes

    std::vector<CopyOnWrite<Group>> groups_;  // 256
};

}  // namespace sekisho::control

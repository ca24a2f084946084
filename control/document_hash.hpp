// The hash of a document: 64 digits that name what a generation says, and follow a small change in microseconds.
//
// It is the root of a tree of SHA-256 over the set of the document's objects, whatever order, spaces and history they
// came in. A leaf is the hash of the object's kind, a newline and its canonical text; leaves with the same first two
// bytes, ascending, are hashed to a node of the second byte, 256 of those to one of the first, 256 of those to the
// root; where no leaf is there are 32 zero bytes. Two nodes that run the same document have the same hash; so have the
// store's copy and the one in the state directory (docs/decisions/0019). Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/copy_on_write.hpp"
#include "control/document.hpp"

namespace sekisho::control {

struct DocumentHash {
    std::string text;         // 64 hexadecimal digits, small letters
    std::uint64_t bytes = 0;  // of the canonical text
};

// The tree of one document. Copies are cheap, and share what does not change.
class DocumentDigest {
  public:
    DocumentDigest();  // of the empty document
    explicit DocumentDigest(const Document& document);

    // It was that of `before`, and becomes that of `after`.
    void change(const Document& before, const Document& after);
    DocumentHash hash() const;

  private:
    using Hash = std::array<unsigned char, 32>;
    struct Group {                      // leaves with the same first byte
        std::vector<Hash> leaves;       // ascending
        std::array<Hash, 256> nodes{};  // by the second byte
        Hash hash{};
    };
    static Hash leaf_of(Kind kind, const Object& object);
    static void refresh(Group& group, unsigned second);  // the node of that byte
    static void refresh(Group& group);                   // what is above the nodes
    void count(Kind kind, const Object& object, bool comes);

    std::vector<CopyOnWrite<Group>> groups_;  // 256
    // By kind, for the length of the text.
    std::array<std::uint64_t, kKinds.size()> objects_{};
    std::array<std::uint64_t, kKinds.size()> bytes_{};
};

DocumentHash hash_of(const Document& document);
std::string sha256_text(std::string_view bytes);       // of anything, as DocumentHash::text
std::string sha256_of_text(const Document& document);  // of its canonical text, likewise
bool is_hash(std::string_view text) noexcept;          // 64 hexadecimal digits, small letters

}  // namespace sekisho::control

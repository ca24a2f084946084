// The hash of a document: 64 digits that name what a generation says, and follow a small change in microseconds.
//
// It is the root of the tree of its objects' hashes (control/hash_tree). Two nodes that run the same document have the
// same hash; so have the store's copy and the one in the state directory (docs/decisions/0019). Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/document.hpp"
#include "control/hash_tree.hpp"

namespace sekisho::control {

struct DocumentHash {
    std::string text;         // 64 hexadecimal digits, small letters
    std::uint64_t bytes = 0;  // of the canonical text
};

// The tree of one document. Copies are cheap, and share what does not change.
class DocumentDigest {
  public:
    DocumentDigest() = default;  // of the empty document
    explicit DocumentDigest(const Document& document);

    // It was that of `before`, and becomes that of `after`.
    void change(const Document& before, const Document& after);
    DocumentHash hash() const;

  private:
    // What the object's leaf is, counted in or out.
    HashTree::Hash count(Kind kind, const Object& object, bool comes);

    HashTree tree_;
    // By kind, for the length of the text.
    std::array<std::uint64_t, kKinds.size()> objects_{};
    std::array<std::uint64_t, kKinds.size()> bytes_{};
};

DocumentHash hash_of(const Document& document);
std::string sha256_text(std::string_view bytes);       // of anything, as DocumentHash::text
std::string sha256_of_text(const Document& document);  // of its canonical text, likewise
bool is_hash(std::string_view text) noexcept;          // 64 hexadecimal digits, small letters

}  // namespace sekisho::control

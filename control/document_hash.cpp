#include "control/document_hash.hpp"

#include <algorithm>

namespace sekisho::control {

HashTree::Hash DocumentDigest::count(Kind kind, const Object& object, bool comes) {
    const auto index = static_cast<std::size_t>(kind);
    objects_[index] += comes ? 1 : ~std::uint64_t{0};
    bytes_[index] += comes ? object.text.size() : ~std::uint64_t{object.text.size()} + 1;
    return HashTree::leaf_of(kind, object.text);
}

DocumentDigest::DocumentDigest(const Document& document) {
    std::vector<HashTree::Hash> leaves;
    leaves.reserve(document.size());
    for (const Kind kind : kKinds)
        document.for_each(kind, [&](const ObjectPtr& object) { leaves.push_back(count(kind, *object, true)); });
    tree_ = HashTree(leaves);
}

void DocumentDigest::change(const Document& before, const Document& after) {
    struct Moved {
        Kind kind;
        ObjectPtr was, is;
    };
    std::vector<Moved> moved;
    for (const Kind kind : kKinds)
        ObjectMap<Object>::differences(before.objects(kind), after.objects(kind),
                                       [&](const ObjectPtr& was, const ObjectPtr& is) {
                                           moved.push_back({kind, was, is});
                                       });
    if (moved.size() > after.size() / 4) {
        *this = DocumentDigest(after);
        return;
    }
    std::vector<HashTree::Hash> gone, come;
    for (const auto& [kind, was, is] : moved) {
        if (was != nullptr) gone.push_back(count(kind, *was, false));
        if (is != nullptr) come.push_back(count(kind, *is, true));
    }
    tree_.change(gone, come);
}

DocumentHash DocumentDigest::hash() const {
    DocumentHash hash{text_of(tree_.root()), 0};
    // As Document::write() has it: "{" and the end, for each kind its name and what is around and between its objects.
    hash.bytes = 4;
    bool is_first = true;
    for (const Kind kind : kKinds) {
        const auto index = static_cast<std::size_t>(kind);
        if (objects_[index] == 0) continue;
        hash.bytes += (is_first ? 1 : 2) + name_of(kind).size() + 4 + bytes_[index];
        is_first = false;
        if (kind != Kind::hub) hash.bytes += 2 + 2 * (objects_[index] - 1) + 2;
    }
    return hash;
}

DocumentHash hash_of(const Document& document) {
    return DocumentDigest(document).hash();
}

std::string sha256_text(std::string_view bytes) {
    sha256().take(bytes);
    return text_of(sha256().end());
}

std::string sha256_of_text(const Document& document) {
    document.write([](std::string_view piece) { sha256().take(piece); });
    return text_of(sha256().end());
}

bool is_hash(std::string_view text) noexcept {
    return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char letter) {
               return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
           });
}

}  // namespace sekisho::control

#include "control/document_hash.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <openssl/evp.h>

namespace sekisho::control {

namespace {

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
        if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
            throw std::bad_alloc();
    }
    void take(std::string_view bytes) {
        if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) throw std::bad_alloc();
    }
    void take(const unsigned char* bytes, std::size_t count) {
        if (EVP_DigestUpdate(context_.get(), bytes, count) != 1) throw std::bad_alloc();
    }
    // And it begins anew.
    std::array<unsigned char, 32> end() {
        std::array<unsigned char, 32> digest;
        if (EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1 ||
            EVP_DigestInit_ex(context_.get(), nullptr, nullptr) != 1)
            throw std::bad_alloc();
        return digest;
    }

  private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string text_of(const std::array<unsigned char, 32>& digest) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : digest) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 0xf];
    }
    return text;
}

// One a thread: to make one costs as much as to hash an object.
Sha256& sha256() {
    thread_local Sha256 hasher;
    return hasher;
}

}  // namespace

DocumentDigest::Hash DocumentDigest::leaf_of(Kind kind, const Object& object) {
    Sha256& hasher = sha256();
    hasher.take(name_of(kind));
    hasher.take("\n");
    hasher.take(object.text);
    return hasher.end();
}

void DocumentDigest::refresh(Group& group, unsigned second) {
    const auto second_of = [](const Hash& leaf) { return unsigned{leaf[1]}; };
    const auto first = std::partition_point(group.leaves.begin(), group.leaves.end(),
                                            [&](const Hash& leaf) { return second_of(leaf) < second; });
    auto last = first;
    while (last != group.leaves.end() && second_of(*last) == second) ++last;
    group.nodes[second] = {};
    if (first == last) return;
    for (auto leaf = first; leaf != last; ++leaf) sha256().take(leaf->data(), leaf->size());
    group.nodes[second] = sha256().end();
}

void DocumentDigest::refresh(Group& group) {
    group.hash = {};
    if (group.leaves.empty()) return;
    for (const Hash& node : group.nodes) sha256().take(node.data(), node.size());
    group.hash = sha256().end();
}

void DocumentDigest::count(Kind kind, const Object& object, bool comes) {
    const auto index = static_cast<std::size_t>(kind);
    objects_[index] += comes ? 1 : ~std::uint64_t{0};
    bytes_[index] += comes ? object.text.size() : ~std::uint64_t{object.text.size()} + 1;
}

DocumentDigest::DocumentDigest() {
    static const CopyOnWrite<Group> empty;
    groups_.assign(256, empty);
}

DocumentDigest::DocumentDigest(const Document& document) : DocumentDigest() {
    for (const Kind kind : kKinds)
        document.for_each(kind, [&](const ObjectPtr& object) {
            const Hash leaf = leaf_of(kind, *object);
            groups_[leaf[0]].own().leaves.push_back(leaf);
            count(kind, *object, true);
        });
    for (CopyOnWrite<Group>& shared : groups_) {
        if (shared->leaves.empty()) continue;
        Group& group = shared.own();
        std::sort(group.leaves.begin(), group.leaves.end());
        for (unsigned second = 0; second < group.nodes.size(); ++second) refresh(group, second);
        refresh(group);
    }
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
    std::array<std::array<bool, 256>, 256> stale{};
    for (const auto& [kind, was, is] : moved) {
        for (const bool comes : {false, true}) {
            const ObjectPtr& object = comes ? is : was;
            if (object == nullptr) continue;
            const Hash leaf = leaf_of(kind, *object);
            std::vector<Hash>& leaves = groups_[leaf[0]].own().leaves;
            const auto place = std::lower_bound(leaves.begin(), leaves.end(), leaf);
            if (comes)
                leaves.insert(place, leaf);
            else if (place != leaves.end() && *place == leaf)
                leaves.erase(place);
            stale[leaf[0]][leaf[1]] = true;
            count(kind, *object, comes);
        }
    }
    for (std::size_t first = 0; first < groups_.size(); ++first) {
        bool any = false;
        for (unsigned second = 0; second < 256; ++second) {
            if (!stale[first][second]) continue;
            any = true;
            refresh(groups_[first].own(), second);
        }
        if (any) refresh(groups_[first].own());
    }
}

DocumentHash DocumentDigest::hash() const {
    for (const CopyOnWrite<Group>& group : groups_) sha256().take(group->hash.data(), group->hash.size());
    DocumentHash hash{text_of(sha256().end()), 0};
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

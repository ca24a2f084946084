#include "control/hash_tree.hpp"

#include <algorithm>

namespace sekisho::control {

HashTree::HashTree() {
    static const CopyOnWrite<Group> empty;
    groups_.assign(256, empty);
}

HashTree::HashTree(std::span<const Hash> leaves) : HashTree() {
    for (const Hash& leaf : leaves) groups_[leaf[0]].own().leaves.push_back(leaf);
    for (CopyOnWrite<Group>& shared : groups_) {
        if (shared->leaves.empty()) continue;
        Group& group = shared.own();
        std::sort(group.leaves.begin(), group.leaves.end());
        for (unsigned second = 0; second < group.nodes.size(); ++second) refresh(group, second);
        refresh(group);
    }
}

HashTree::Hash HashTree::leaf_of(Kind kind, std::string_view canonical_text) {
    Sha256& hasher = sha256();
    hasher.take(name_of(kind));
    hasher.take("\n");
    hasher.take(canonical_text);
    return hasher.end();
}

void HashTree::refresh(Group& group, unsigned second) {
    const auto second_of = [](const Hash& leaf) { return unsigned{leaf[1]}; };
    const auto first = std::partition_point(group.leaves.begin(), group.leaves.end(),
                                            [&](const Hash& leaf) { return second_of(leaf) < second; });
    auto last = first;
    while (last != group.leaves.end() && second_of(*last) == second) ++last;
    group.nodes[second] = {};
    if (first == last) return;
    for (auto leaf = first; leaf != last; ++leaf) sha256().take(*leaf);
    group.nodes[second] = sha256().end();
}

void HashTree::refresh(Group& group) {
    group.hash = {};
    if (group.leaves.empty()) return;
    for (const Hash& node : group.nodes) sha256().take(node);
    group.hash = sha256().end();
}

void HashTree::change(std::span<const Hash> gone, std::span<const Hash> come) {
    std::array<std::array<bool, 256>, 256> stale{};
    for (const Hash& leaf : gone) {
        std::vector<Hash>& leaves = groups_[leaf[0]].own().leaves;
        const auto place = std::lower_bound(leaves.begin(), leaves.end(), leaf);
        if (place != leaves.end() && *place == leaf) leaves.erase(place);
        stale[leaf[0]][leaf[1]] = true;
    }
    for (const Hash& leaf : come) {
        std::vector<Hash>& leaves = groups_[leaf[0]].own().leaves;
        leaves.insert(std::lower_bound(leaves.begin(), leaves.end(), leaf), leaf);
        stale[leaf[0]][leaf[1]] = true;
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

HashTree::Hash HashTree::root() const {
    for (const CopyOnWrite<Group>& group : groups_) sha256().take(group->hash);
    return sha256().end();
}

}  // namespace sekisho::control

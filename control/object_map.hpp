// A sorted map from id to shared object whose copies are cheap: a transaction stages on a copy of 100,000 objects.
//
// Entries lie in sorted chunks of a few hundred; a copy shares all chunks, and a change copies only the chunk that it
// touches, and only when another map shares it. Object needs a member `id`. One thread a map; chunks and objects are
// immutable once shared, so copies may live on different threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "control/copy_on_write.hpp"

namespace sekisho::control {

template <class Object>
class ObjectMap {
  public:
    using Pointer = std::shared_ptr<const Object>;

    std::size_t size() const noexcept { return size_; }

    Pointer find(std::string_view id) const {
        if (chunks_.empty()) return nullptr;
        const Chunk& chunk = *chunks_[chunk_of(id)];
        const auto at = lower_bound(chunk, id);
        return at != chunk.end() && (*at)->id == id ? *at : nullptr;
    }

    // Whether no other map shares the place of this id.
    bool is_own(std::string_view id) const { return !chunks_.empty() && chunks_[chunk_of(id)].sole(); }

    // Adds the object or replaces the one of its id; returns the one that was replaced, or nullptr.
    Pointer put(Pointer object) {
        if (chunks_.empty()) chunks_.emplace_back();
        // What is loaded mostly ascends.
        const bool is_last = !chunks_.back()->empty() && chunks_.back()->front()->id <= object->id;
        const std::size_t index = is_last ? chunks_.size() - 1 : chunk_of(object->id);
        Chunk& chunk = chunks_[index].own();
        const auto at = chunk.begin() + (lower_bound(chunk, object->id) - chunk.cbegin());
        if (at != chunk.end() && (*at)->id == object->id) {
            std::swap(*at, object);
            return object;
        }
        chunk.insert(at, std::move(object));
        ++size_;
        if (chunk.size() > kChunk) split(index);
        return nullptr;
    }

    // Removes and returns the object of this id, or nullptr when there is none.
    Pointer erase(std::string_view id) {
        if (find(id) == nullptr) return nullptr;
        const std::size_t index = chunk_of(id);
        Chunk& chunk = chunks_[index].own();
        const auto at = chunk.begin() + (lower_bound(chunk, id) - chunk.cbegin());
        Pointer removed = std::move(*at);
        chunk.erase(at);
        --size_;
        if (chunk.empty()) chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(index));
        return removed;
    }

    // By ascending id; valid until the map is changed.
    class Iterator {
      public:
        using iterator_category = std::forward_iterator_tag;
        using value_type = Pointer;
        using difference_type = std::ptrdiff_t;
        using pointer = const Pointer*;
        using reference = const Pointer&;

        Iterator() = default;
        reference operator*() const { return (*(*chunks_)[chunk_])[entry_]; }
        pointer operator->() const { return &**this; }
        Iterator& operator++() {
            if (++entry_ == (*chunks_)[chunk_]->size()) {
                ++chunk_;
                entry_ = 0;
            }
            return *this;
        }
        Iterator operator++(int) {
            Iterator before = *this;
            ++*this;
            return before;
        }
        friend bool operator==(const Iterator&, const Iterator&) = default;

      private:
        friend class ObjectMap;
        const std::vector<CopyOnWrite<std::vector<Pointer>>>* chunks_ = nullptr;
        std::size_t chunk_ = 0;
        std::size_t entry_ = 0;
    };
    Iterator begin() const { return at(0, 0); }
    Iterator end() const { return at(size_ == 0 ? 0 : chunks_.size(), 0); }
    Iterator iterator_to(std::string_view id) const {  // end() when there is none
        if (size_ == 0) return end();
        const std::size_t index = chunk_of(id);
        const Chunk& chunk = *chunks_[index];
        const auto found = lower_bound(chunk, id);
        if (found == chunk.end() || (*found)->id != id) return end();
        return at(index, static_cast<std::size_t>(found - chunk.begin()));
    }

    // Calls with every object, by ascending id.
    template <class Call>
    void for_each(Call&& call) const {
        for (const auto& chunk : chunks_)
            for (const Pointer& object : *chunk) call(object);
    }

    // Calls with the objects whose ids come after `id` (all of them, if there is none), ascending, until it says false.
    template <class Call>
    void for_each_after(const std::optional<std::string_view>& id, Call&& call) const {
        for (std::size_t index = id && !chunks_.empty() ? chunk_of(*id) : 0; index < chunks_.size(); ++index)
            for (const Pointer& object : *chunks_[index])
                if ((!id || object->id > *id) && !call(object)) return;
    }

    // Calls with (before, after) for every id whose object differs between the two maps, nullptr where there is none,
    // by ascending id. Objects that are shared are passed over without being looked at.
    template <class Call>
    static void differences(const ObjectMap& before, const ObjectMap& after, Call&& call) {
        Cursor left(before);
        Cursor right(after);
        while (!left.done() || !right.done()) {
            if (left.at_same_chunk(right)) {
                left.skip_chunk();
                right.skip_chunk();
                continue;
            }
            const int order = left.done() ? 1 : right.done() ? -1 : left->id.compare(right->id);
            if (order < 0) {
                call(left.object(), Pointer());
                left.next();
            } else if (order > 0) {
                call(Pointer(), right.object());
                right.next();
            } else {
                if (left.object() != right.object()) call(left.object(), right.object());
                left.next();
                right.next();
            }
        }
    }

  private:
    static constexpr std::size_t kChunk = 512;
    using Chunk = std::vector<Pointer>;  // never empty within chunks_, but for the first put

    class Cursor {
      public:
        explicit Cursor(const ObjectMap& map) : map_(map) {}
        bool done() const { return chunk_ == map_.chunks_.size(); }
        const Pointer& object() const { return (*map_.chunks_[chunk_])[entry_]; }
        const Object* operator->() const { return object().get(); }
        void next() {
            if (++entry_ == map_.chunks_[chunk_]->size()) skip_chunk();
        }
        void skip_chunk() {
            ++chunk_;
            entry_ = 0;
        }
        bool at_same_chunk(const Cursor& other) const {
            return !done() && !other.done() && entry_ == 0 && other.entry_ == 0 &&
                   map_.chunks_[chunk_].same(other.map_.chunks_[other.chunk_]);
        }

      private:
        const ObjectMap& map_;
        std::size_t chunk_ = 0;
        std::size_t entry_ = 0;
    };

    Iterator at(std::size_t chunk, std::size_t entry) const {
        Iterator iterator;
        iterator.chunks_ = &chunks_;
        iterator.chunk_ = chunk;
        iterator.entry_ = entry;
        return iterator;
    }

    static auto lower_bound(const Chunk& chunk, std::string_view id) {
        return std::lower_bound(chunk.begin(), chunk.end(), id,
                                [](const Pointer& object, std::string_view key) { return object->id < key; });
    }

    // The last chunk that starts at or before `id`, or the first.
    std::size_t chunk_of(std::string_view id) const {
        const auto after = std::upper_bound(chunks_.begin(), chunks_.end(), id,
                                            [](std::string_view key, const CopyOnWrite<Chunk>& chunk) {
                                                return !chunk->empty() && key < chunk->front()->id;
                                            });
        return after == chunks_.begin() ? 0 : static_cast<std::size_t>(after - chunks_.begin()) - 1;
    }

    void split(std::size_t index) {
        Chunk& chunk = chunks_[index].own();
        const auto middle =
            chunk.begin() + static_cast<std::ptrdiff_t>(index + 1 == chunks_.size()
                                                            ? chunk.size() - 1
                                                            : chunk.size() / 2);  // ascending loads fill chunks whole
        Chunk rest(middle, chunk.end());
        chunk.erase(middle, chunk.end());
        chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index) + 1, CopyOnWrite(std::move(rest)));
    }

    std::vector<CopyOnWrite<Chunk>> chunks_;
    std::size_t size_ = 0;
};

}  // namespace sekisho::control

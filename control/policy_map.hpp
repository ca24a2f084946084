// The objects of one kind in a policy, by id: what std::map<std::string, Value> would be, shared with the document.
//
// A view of the document's own objects (control/object_map.hpp): a copy costs a few pointers for each thousand, and two
// policies share what is the same in both, which differences() passes over. Value is one alternative of what Object
// holds. Changing one object copies that one. One thread a map; copies may live on different threads.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "control/object_map.hpp"

namespace sekisho::control {

template <class Object, class Value>
class PolicyMap {
  public:
    using Entry = std::pair<const std::string&, const Value&>;

    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;  // but for what it gives, a forward one
        using value_type = Entry;
        using difference_type = std::ptrdiff_t;
        using reference = Entry;
        struct Arrow {
            Entry entry;
            const Entry* operator->() const { return &entry; }
        };
        using pointer = Arrow;

        Iterator() = default;
        explicit Iterator(typename ObjectMap<Object>::Iterator at) : at_(at) {}
        Entry operator*() const { return {(*at_)->id, std::get<Value>((*at_)->value)}; }
        Arrow operator->() const { return {**this}; }
        Iterator& operator++() {
            ++at_;
            return *this;
        }
        Iterator operator++(int) { return Iterator(at_++); }
        friend bool operator==(const Iterator&, const Iterator&) = default;

      private:
        typename ObjectMap<Object>::Iterator at_;
    };

    PolicyMap() = default;
    explicit PolicyMap(ObjectMap<Object> objects) : objects_(std::move(objects)) {}

    std::size_t size() const noexcept { return objects_.size(); }
    bool empty() const noexcept { return size() == 0; }
    Iterator begin() const { return Iterator(objects_.begin()); }
    Iterator end() const { return Iterator(objects_.end()); }
    Iterator find(std::string_view id) const { return Iterator(objects_.iterator_to(id)); }
    bool contains(std::string_view id) const { return objects_.find(id) != nullptr; }
    const Value& at(std::string_view id) const {
        const auto found = objects_.find(id);
        if (found == nullptr) throw std::out_of_range("no object " + std::string(id));
        return std::get<Value>(found->value);
    }
    // Calls with (before, after) for every id that has not the same object in both, nullptr for none, ascending.
    template <class Call>
    static void differences(const PolicyMap& before, const PolicyMap& after, const Call& call) {
        const auto value = [](const typename ObjectMap<Object>::Pointer& object) -> const Value* {
            return object == nullptr ? nullptr : &std::get<Value>(object->value);
        };
        ObjectMap<Object>::differences(before.objects_, after.objects_,
                                       [&](const auto& was, const auto& is) { call(value(was), value(is)); });
    }
    // Whether both have the same objects: shared ones, not equal ones.
    bool same(const PolicyMap& other) const {
        bool same = true;
        ObjectMap<Object>::differences(objects_, other.objects_, [&](const auto&, const auto&) { same = false; });
        return same;
    }
    const ObjectMap<Object>& objects() const noexcept { return objects_; }

    // To be changed, until the map is copied; a new one if there is none.
    Value& operator[](std::string_view id) {
        auto found = objects_.find(id);
        // Its holders: the map and `found`. What documents and other policies share is copied.
        const bool is_own = found != nullptr && found.use_count() == 2 && objects_.is_own(id);
        if (!is_own) {
            Object object = found == nullptr ? Object{std::string(id), {}, Value()} : *found;
            found = std::make_shared<Object>(std::move(object));
            objects_.put(found);
        }
        return std::get<Value>(const_cast<Object&>(*found).value);  // made just so, by this map, and nobody else's
    }
    Value& at(std::string_view id) {
        if (!contains(id)) throw std::out_of_range("no object " + std::string(id));
        return (*this)[id];
    }
    std::size_t erase(std::string_view id) { return objects_.erase(id) == nullptr ? 0 : 1; }
    void clear() { objects_ = {}; }

  private:
    ObjectMap<Object> objects_;
};

}  // namespace sekisho::control

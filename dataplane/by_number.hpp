// What is kept for each of many numbered things, of which a node mostly has few: an array over all numbers that there
// may be, zero at first, whose memory comes page by page as it is touched.
//
// Nothing is allocated after the start, so a worker may meet a new number at any packet. Not locked.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include "dataplane/attachment_sets.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

template <class Id, class T>
class ByNumber {
    // calloc() begins their lives (C++20 [intro.object]), as zeros; an atomic of zeros is one of 0.
    static_assert(std::is_aggregate_v<T> || std::is_trivially_copyable_v<T>);
    static_assert(std::is_trivially_destructible_v<T>);

  public:
    // `count` numbers from 0. Throws std::bad_alloc.
    explicit ByNumber(std::size_t count) : values_(static_cast<T*>(std::calloc(count, sizeof(T)))) {
        if (values_ == nullptr && count != 0) throw std::bad_alloc();
    }
    T& operator[](Id id) noexcept { return values_.get()[id.index()]; }
    const T& operator[](Id id) const noexcept { return values_.get()[id.index()]; }

  private:
    struct Free {
        void operator()(T* values) const noexcept { std::free(values); }
    };
    std::unique_ptr<T, Free> values_;
};

template <class T>
class ByAttachment : public ByNumber<AttachmentId, T> {
  public:
    ByAttachment() : ByNumber<AttachmentId, T>(kMostAttachments) {}
};

}  // namespace sekisho::dataplane

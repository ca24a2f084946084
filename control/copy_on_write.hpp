// A pointer to a value that copies of it share until one of them changes it: own() copies a value that others share.
//
// What std::shared_ptr cannot say: that nobody else holds the value any more, AND that all they read of it lies before
// what is written now. Copies may live on different threads; one copy belongs to one thread. Never null, but for one
// that was moved from, which may only be destroyed or assigned to.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace sekisho::control {

template <class Value>
class CopyOnWrite {
  public:
    CopyOnWrite() : shared_(new Shared{}) {}
    explicit CopyOnWrite(Value value) : shared_(new Shared{std::move(value)}) {}
    CopyOnWrite(const CopyOnWrite& other) noexcept : shared_(other.shared_) {
        shared_->holders.fetch_add(1, std::memory_order_relaxed);
    }
    CopyOnWrite(CopyOnWrite&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
    CopyOnWrite& operator=(CopyOnWrite other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~CopyOnWrite() {
        // Release: what was read here lies before what the last holder does. Acquire: for the last holder.
        if (shared_ != nullptr && shared_->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete shared_;
    }

    const Value& operator*() const noexcept { return shared_->value; }
    const Value* operator->() const noexcept { return &shared_->value; }

    // The value, to be changed: a copy of it when it was shared. Valid until this is copied.
    Value& own() {
        // A count of one cannot rise meanwhile: only a holder could raise it. The acquire meets the release above.
        if (shared_->holders.load(std::memory_order_acquire) != 1) *this = CopyOnWrite(shared_->value);
        return shared_->value;
    }

    bool sole() const noexcept { return shared_->holders.load(std::memory_order_acquire) == 1; }
    bool same(const CopyOnWrite& other) const noexcept { return shared_ == other.shared_; }

  private:
    struct Shared {
        Value value{};
        std::atomic<std::size_t> holders{1};
    };
    Shared* shared_;
};

}  // namespace sekisho::control

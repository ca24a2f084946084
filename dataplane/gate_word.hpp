// A word of the gates, or the MTU of a tunnel: control changes it in place, at any time, while workers read.
//
// They are the one part of a published snapshot that does not wait for the next: closing must not wait for a compiler.
// Each word stands for itself, so relaxed order is enough, and a read costs what a plain one does. Copied only before
// it is published.
#pragma once

#include <atomic>

namespace sekisho::dataplane {

template <class Value>
class GateWord {
  public:
    GateWord(Value value = Value()) noexcept : value_(value) {}
    GateWord(const GateWord& other) noexcept : value_(other) {}
    GateWord& operator=(const GateWord& other) noexcept {
        set(other);
        return *this;
    }
    GateWord& operator=(Value value) noexcept {
        set(value);
        return *this;
    }
    GateWord& operator|=(Value value) noexcept { return *this = *this | value; }

    operator Value() const noexcept { return value_.load(std::memory_order_relaxed); }
    // By control, of a published snapshot too, which is otherwise immutable.
    void set(Value value) const noexcept { value_.store(value, std::memory_order_relaxed); }

  private:
    mutable std::atomic<Value> value_;
};

}  // namespace sekisho::dataplane
